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
from scipy.stats import norm
from torch import Tensor

from fathom.core.prediction import Array, Prediction
from fathom.core.task import SupervisedTask
from fathom.tasks import selection

Views = Literal["one", "mirrored", "shifted", "mirrored_shifted"]

SHIFT = 28  # a view is moved by about a twenty-eighth of the side
NOISE = 2.0
"""A gain counts from so many standard errors of the paired difference; see `_noise`."""


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
    where what models are chosen by rises, and with it how well each example is answered, by more
    than noise; and that only for a dearer one where both rise again.
    """
    plain = standing = _Seen("one", task, outputs("one"), targets)
    told, noise = [], _noise(len(candidates))
    for views in sorted(candidates, key=lambda name: len(VIEWS[name])):
        other = _Seen(views, task, outputs(views), targets)
        told.append(_called(views))
        gain, error = other.gain(standing)
        if other.chosen.score > standing.chosen.score and gain > noise * error:
            standing = other
    if not told:
        return "one", "Each example is seen once: there was no other view to try."
    if standing is plain:
        return "one", (
            f"Averaging over {' or '.join(told)} gained no more than noise on "
            f"{len(targets):,} validation examples."
        )
    gain, error = standing.gain(plain)
    passes = len(VIEWS[standing.views])
    return standing.views, (
        f"Averaging over {_called(standing.views)} took "
        f"{plain.chosen.metric} on {len(targets):,} validation examples from "
        f"{abs(plain.chosen.score):.4f} to {abs(standing.chosen.score):.4f}; the mean "
        f"{standing.quantity} rose by {gain:.3g}, with a standard error of {error:.2g}. It costs "
        f"{passes} passes for each answer."
    )


def _called(views: Views) -> str:
    return f"{len(VIEWS[views])} {views.replace('_', ' and ')} views"


def _noise(tests: int) -> float:
    """Standard errors that count as more than noise: the more, the more often it is looked."""
    return float(norm.isf(norm.sf(NOISE) / max(tests, 1)))


class _Seen:
    """What is answered with some views, and how well."""

    def __init__(self, views: Views, task: SupervisedTask, outputs: Tensor, targets: Array) -> None:
        prediction = task.predict(outputs)
        self.views = views
        self.chosen = selection(task.metrics(prediction, targets), task.primary, len(targets))
        self.quantity, self.merit = _merit(self.chosen.metric, prediction, targets)

    def gain(self, other: _Seen) -> tuple[float, float]:
        """The mean gain of an example over another's, and its standard error."""
        each = self.merit - other.merit
        return float(each.mean()), float(each.std() / np.sqrt(max(len(each), 1)))


def _merit(metric: str, prediction: Prediction, targets: Array) -> tuple[str, Array]:
    """What the noise of a gain is told by, in words, and its value for each example, (n,).

    An accuracy is a mean over examples itself. An area under a curve is not, nor is a root: for
    those, what the network has learned to make large.
    """
    right = prediction.right(targets)
    if metric == "accuracy" and right is not None:
        return "share of right answers", right.astype(np.float64)
    what = "squared error, its sign turned," if prediction.logits() is None else "log-probability"
    return what, prediction.merit(targets)
