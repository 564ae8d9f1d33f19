"""Views: an example seen several times, a little moved or mirrored, and the answers averaged.

Each view's error is in part its own, and averaging takes that part away (Krizhevsky et al. 2012,
section 4.1). It costs as many passes as there are views, so it is done only where validation shows
that it pays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fathom.core.prediction import (
    Array,
    ClassPrediction,
    LabelsPrediction,
    NumberPrediction,
    Prediction,
)
from fathom.core.task import SupervisedTask
from fathom.tasks import HIGHER_IS_BETTER

Views = Literal["one", "mirrored", "shifted", "mirrored_shifted"]

SHIFT = 28  # a view is moved by about a twenty-eighth of the side
NOISE = 2.0
"""A gain counts from so many standard errors of the paired difference."""


class View(NamedTuple):
    """How far a picture is moved down and to the right, in steps, and whether it is mirrored."""

    down: int = 0
    right: int = 0
    mirror: bool = False


_SHIFTED = (View(), View(1, 1), View(-1, -1))
VIEWS: dict[Views, tuple[View, ...]] = {
    "one": (View(),),
    "mirrored": (View(), View(mirror=True)),
    "shifted": _SHIFTED,
    "mirrored_shifted": (View(), View(1, 1, True), View(-1, -1), View(mirror=True)),
}


def seen(inputs: dict[str, Tensor], view: View) -> dict[str, Tensor]:
    """The inputs with every picture (B, C, H, W) as the view shows it; the rim is reflected."""
    if view == View():
        return inputs
    return {name: _moved(x, view) if x.ndim == 4 else x for name, x in inputs.items()}


def _moved(pictures: Tensor, view: View) -> Tensor:
    height, width = pictures.shape[2:]
    rows = _places(height, view.down, pictures.device)
    columns = _places(width, view.right, pictures.device)
    if view.mirror:
        columns = columns.flip(0)
    return pictures.index_select(2, rows).index_select(3, columns)


def _places(length: int, steps: int, device: torch.device) -> Tensor:
    """Where each position of a moved side comes from, (length,)."""
    most = min(max(1, length // SHIFT), length - 1)
    place = (torch.arange(length, device=device) - steps * most).abs()
    return length - 1 - (length - 1 - place).abs()


def candidates(*, flip: bool) -> list[Views]:
    """What is worth trying; mirror images only where the network has learned from such."""
    return ["mirrored", "mirrored_shifted"] if flip else ["shifted"]


def choose_views(
    task: SupervisedTask,
    outputs: Callable[[Views], Tensor],
    targets: Array,
    candidates: Sequence[Views],
) -> tuple[Views, str]:
    """The views that answer best on validation examples, and why.

    `outputs(views)` are the network's outputs (n, size) for those examples. One view is left only
    for what gains more than noise, and that only for a dearer one that gains more than noise again.
    """
    best: Views = "one"
    plain = standing = task.predict(outputs("one"))
    told = []
    for views in sorted(candidates, key=lambda name: len(VIEWS[name])):
        seen_so = task.predict(outputs(views))
        gain, error = _gain(task, standing, seen_so, targets)
        told.append(f"{len(VIEWS[views])} {views.replace('_', ' and ')} views")
        if gain > NOISE * error and gain > 0:
            best, standing = views, seen_so
    if not told:
        return "one", "Each example is seen once: there was no other view to try."
    if best == "one":
        return "one", (
            f"Averaging over {' or '.join(told)} gained no more than noise on "
            f"{len(targets):,} validation examples."
        )
    before = task.metrics(plain, targets)[task.primary]
    now = task.metrics(standing, targets)[task.primary]
    return best, (
        f"Averaging over {len(VIEWS[best])} {best.replace('_', ' and ')} views took "
        f"{task.primary} on {len(targets):,} validation examples from {before:.4f} to {now:.4f}, "
        f"more than noise, and costs {len(VIEWS[best])} passes for each answer."
    )


def _gain(
    task: SupervisedTask, before: Prediction, after: Prediction, targets: Array
) -> tuple[float, float]:
    """The mean gain of an example and its standard error; none where the metric does not gain."""
    sign = 1.0 if HIGHER_IS_BETTER[task.primary] else -1.0
    first, second = task.metrics(before, targets), task.metrics(after, targets)
    if not sign * (second[task.primary] - first[task.primary]) > 0:
        return 0.0, 0.0
    of_each = _merit(task, after, targets) - _merit(task, before, targets)
    return float(of_each.mean()), float(of_each.std() / np.sqrt(max(len(of_each), 1)))


def _merit(task: SupervisedTask, prediction: Prediction, targets: Array) -> Array:
    """How well each example is answered, (n,), higher being better."""
    if isinstance(prediction, NumberPrediction):
        wrong: Array = -((prediction.values - targets) ** 2)
        return wrong
    assert isinstance(prediction, ClassPrediction | LabelsPrediction)
    if task.primary == "accuracy":
        return prediction.right(targets).astype(np.float64)
    merit: Array = np.log(np.maximum(prediction.of_truth(targets), 1e-12)).mean(axis=1)
    return merit
