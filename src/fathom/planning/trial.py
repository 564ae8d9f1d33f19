"""Trial: a fit of so many steps in a temporary folder, scored on validation. For races and search.

What a trial learns is thrown away; only its score is kept, and the choice that was made by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace as changed
from torch import nn

from fathom.core.budget import Budget
from fathom.core.errors import PlanError
from fathom.training.settings import TrainingSpec
from fathom.training.supervised import Supervised
from fathom.training.trainer import Trainer, Validation
from fathom.training.transfer import what_learns

# So often a trial is validated: the best weights count, as in a run, and a hopeless one can end.
VALIDATIONS = 8
WARMUP_SHARE = 0.1

Watcher = Callable[[float], bool]
"""Hears each score on validation, and says whether the trial may end there."""


@dataclass(frozen=True)
class Trial:
    """The best score on validation (`tasks.selection`, higher is better), steps and seconds.

    The score is minus infinity where training gave numbers that are not finite.
    """

    score: float
    steps: int
    seconds: float


class _EndedError(Exception):
    """Whoever asked for the trial has seen enough of it."""


def run_trial(
    what: Supervised,
    *,
    steps: int,
    budget: Budget | None = None,
    watcher: Watcher | None = None,
    validations: int = VALIDATIONS,
) -> Trial:
    """Train `what` from fresh weights for `steps` steps, and say how well it does on validation.

    The curve of the learning rate is brought down to zero over these steps. A `watcher` ends the
    trial at a validation by saying True. Should the machine slow down, `budget` makes the trial
    shorter; without one, the same arguments give the same score. Raises PlanError where the network
    does not fit the data.
    """
    what = what_learns(what)
    best, network = -inf, what.build()
    with TemporaryDirectory(prefix="fathom-trial-") as folder:

        def validate(network: nn.Module) -> Validation:
            nonlocal best
            found = what.validate(network)
            best = max(best, found.score if found.score == found.score else -inf)  # NaN: no score
            if watcher is not None and watcher(found.score):
                raise _EndedError
            return found

        trainer = Trainer(
            network,
            what.task,
            what.source(),
            short(what.training, steps, validations),
            seed=what.seed,
            folder=Path(folder),
            device=what.device,
            validate=validate,
            budget=budget,
            sizes=what.sizes,
        )
        try:
            trainer.fit()
        except _EndedError:
            pass
        except PlanError:  # its numbers were not finite, however small the learning rate
            best = -inf
        return Trial(best, trainer.state.step, trainer.seconds)


def short(training: TrainingSpec, steps: int, validations: int = VALIDATIONS) -> TrainingSpec:
    """The same training within `steps` steps, never more of them, and never compiled anew."""
    return changed(
        training,
        steps=steps,
        compile=False,
        most_steps=0,
        warmup_steps=int(WARMUP_SHARE * steps),
        validate_every=max(1, steps // validations),
        save_every=steps + 1,
        log_every=steps,
    )
