"""The learning-rate curve: one curve stretched over the steps, and stretched anew by re-plans.

Everything here is a pure function of the step, so that resuming needs no scheduler state.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from fathom.core.errors import ArtefactError
from fathom.core.files import read_lines
from fathom.training.settings import TrainingSpec


class Replan(Struct, frozen=True, forbid_unknown_fields=True):
    """After `at_step` steps the run was given a new length of `steps` steps in all."""

    at_step: int
    steps: int


def total_steps(planned: int, replans: Sequence[Replan], step: int) -> int:
    """How long the run is, as known once `step` steps are done."""
    return next((r.steps for r in reversed(replans) if r.at_step <= step), planned)


def progress(position: float, planned: int, replans: Sequence[Replan]) -> float:
    """How far along its curve the run is at `position` steps, in [0, 1].

    Piecewise linear: each re-plan stretches what is left of the curve over what is left of the run,
    without a jump.
    """
    start, done, end = 0.0, 0.0, planned
    for replan in replans:
        if replan.at_step >= position:
            break
        done += (1 - done) * (replan.at_step - start) / (end - start)
        start, end = float(replan.at_step), replan.steps
    return min(1.0, done + (1 - done) * (position - start) / (end - start))


def learning_rate_factor(spec: TrainingSpec, replans: Sequence[Replan], step: int) -> float:
    """The share of the full learning rate in `step` (1, 2, …): warm-up, then down to zero.

    It is read in the middle of the step, so that neither the first nor the last step is wasted on a
    learning rate of zero.
    """
    done = progress(step - 0.5, spec.steps, replans)
    warm = spec.warmup_steps / spec.steps
    if done < warm:
        return done / warm
    left = (1 - done) / (1 - warm)
    if spec.schedule == "linear":
        return left
    return 0.5 - 0.5 * math.cos(math.pi * left) if spec.schedule == "cosine" else 1.0


def load_replans(path: Path) -> list[Replan]:
    """The re-plans that a run wrote down, none where there is no such file.

    Raises ArtefactError where a line is damaged.
    """
    try:
        return msgspec.convert(read_lines(path), list[Replan])
    except msgspec.ValidationError as error:
        raise ArtefactError(f"{path} is damaged: {error}.") from None
