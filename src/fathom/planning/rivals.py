"""Rivals: the traditional methods, fitted inside their share of the budget and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from fathom.baselines import BASELINES, Baseline, Limit, applicable, fit_baseline
from fathom.baselines.picture_cache import shared_features
from fathom.core.budget import Budget, format_duration
from fathom.core.examples import Examples
from fathom.core.prediction import Array, Prediction
from fathom.core.progress import Progress
from fathom.core.task import SupervisedTask
from fathom.inference import fit_trust
from fathom.planning.prepare import Prepared
from fathom.tasks import selection

# A weak baseline is a lie, so the baselines get a real share of the time.
BASELINE_SHARE = 0.2
# How the baselines share it. What a cheap one leaves goes to those after it.
WEIGHTS = {
    "constant": 0.1,
    "linear": 1.0,
    "boosting": 4.0,
    "pictures": 3.0,
    "picture_kernel": 4.0,
    "picture_boosting": 0.1,
    "texts": 3.0,
    "series": 4.0,
    "audio": 4.0,
    "mixture": 4.0,
}

LEAST_TIMED = 64
TIMED = 512  # validation examples that are answered once more, to foresee the cost of evidence
# What a plan may lack. Any other baseline that it lacks is fitted as far as it helps.
DISPENSABLE = ("picture_boosting", "mixture")


@dataclass(frozen=True)
class Rivals:
    """Fitted baselines by name, their scores on validation (higher is better), and the best."""

    fitted: Mapping[str, Baseline]
    scores: Mapping[str, float]
    seconds: Mapping[str, float]
    answer_seconds: float = 0.0
    """How long all of them together take to answer one example."""
    left_out: tuple[str, ...] = ()
    """Sentences on baselines for which there was no time."""

    @property
    def best(self) -> str:
        """The name of the baseline that is best on validation; of equals the simplest."""
        return max(self.fitted, key=lambda name: self.scores[name])

    @property
    def settled(self) -> bool:
        """Whether none was cut short by the budget."""
        return all(model.settled for model in self.fitted.values())

    @property
    def limits(self) -> dict[str, Limit]:
        """What each baseline used of its iterations, so that a repeat uses the same."""
        return {name: model.limit for name, model in self.fitted.items()}


NO_RIVALS = Rivals({}, {}, {})


def score(task: SupervisedTask, prediction: Prediction, targets: Array) -> float:
    """What models are chosen by on validation; higher is better."""
    return selection(task.metrics(prediction, targets), task.primary, len(targets)).score


@shared_features()
def fit_rivals(
    prepared: Prepared,
    task: SupervisedTask,
    *,
    seed: int,
    budget: Budget,
    limits: Mapping[str, Limit],
    progress: Progress,
    guaranteed: bool = False,
) -> Rivals:
    """Fit the baselines that apply to this kind of data; `limits` come from a repeated plan.

    One whose smallest fit worth having does not fit into its share is left out, and a sentence says
    so; a repeat leaves it out too. `guaranteed` is for runs that no clock ends: there a baseline
    has its portion of the share even where others took longer than theirs.
    """
    progress.stage("fitting baselines")
    names = [name for name in applicable(prepared.schema) if not _left_out(name, limits)]
    share = budget.share(BASELINE_SHARE * budget.seconds)
    validation = prepared.examples["validation"]
    assert validation.targets is not None
    fitted: dict[str, Baseline] = {}
    scores: dict[str, float] = {}
    seconds: dict[str, float] = {}
    left_out: list[str] = []
    answering = 0.0
    for position, name in enumerate(names):
        progress.advance(position, len(names), name)
        before = share.elapsed
        own = share.share(share.remaining * _portion(names[position:]))
        if guaranteed:
            whole = share.seconds * _portion([name, *names[:position], *names[position + 1 :]])
            own = Budget(max(own.seconds, whole), clock=share.clock)
        least = BASELINES[name].least_seconds(prepared.examples["train"], prepared.schema)
        if limits.get(name) is None and own.seconds < least:
            left_out.append(_no_time(name, least, own.seconds))
            progress.say(left_out[-1])
            continue
        model = fit_baseline(
            name,
            prepared.examples["train"],
            prepared.schema,
            prepared.schema.task,
            seed=seed,
            budget=own,
            limit=limits.get(name),
            validation=validation,
        )
        fitted[name] = _calibrated(model, prepared.examples["calibration"])
        answering += _answer_seconds(fitted[name], validation)
        scores[name] = score(task, fitted[name].predict(validation), validation.targets)
        seconds[name] = share.elapsed - before
    progress.advance(len(names), len(names), "")
    return Rivals(fitted, scores, seconds, answering, tuple(left_out))


def _left_out(name: str, limits: Mapping[str, Limit]) -> bool:
    """Whether the run that a plan repeats did without this baseline, for lack of time."""
    return bool(limits) and name in DISPENSABLE and name not in limits


def _no_time(name: str, least: float, seconds: float) -> str:
    return (
        f"The baseline {name} was not fitted: it would take at least {format_duration(least)}, and "
        f"{format_duration(seconds)} were left for it; a larger --budget leaves more."
    )


def _portion(names: Sequence[str]) -> float:
    """How much of what is left the first of `names` may take."""
    weights = [WEIGHTS.get(name, 1.0) for name in names]
    return weights[0] / sum(weights)


def _answer_seconds(model: Baseline, validation: Examples) -> float:
    """How long it takes to answer one example, when none of its features are kept already."""
    # Where these are few they are asked again: what a call costs is not what a row costs.
    some = validation.take(
        np.arange(max(LEAST_TIMED, min(TIMED, len(validation)))) % len(validation)
    )
    begun = perf_counter()
    model.predict(some)
    return (perf_counter() - begun) / max(1, len(some))


def _calibrated(model: Baseline, calibration: Examples) -> Baseline:
    """The baseline with its probabilities calibrated as the network's are; numbers stay."""
    logits = model.predict(calibration).logits()
    if logits is None:
        return model
    return model.calibrated(fit_trust(logits, calibration.targets).temperature)
