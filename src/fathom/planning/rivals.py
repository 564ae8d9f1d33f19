"""Rivals: the traditional methods, fitted inside their share of the budget and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fathom.baselines import Baseline, Limit, applicable, fit_baseline
from fathom.baselines.picture_cache import shared_features
from fathom.core.budget import Budget
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
}


@dataclass(frozen=True)
class Rivals:
    """Fitted baselines by name, their scores on validation (higher is better), and the best."""

    fitted: Mapping[str, Baseline]
    scores: Mapping[str, float]
    seconds: Mapping[str, float]

    @property
    def best(self) -> str:
        """The name of the baseline that is best on validation; of equals the simplest."""
        return max(self.fitted, key=lambda name: self.scores[name])

    @property
    def limits(self) -> dict[str, Limit]:
        """What each baseline used of its iterations, so that a repeat uses the same."""
        return {name: model.limit for name, model in self.fitted.items()}


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
) -> Rivals:
    """Fit every baseline that applies to this kind of data; `limits` come from a repeated plan."""
    progress.stage("fitting baselines")
    names = applicable(prepared.schema)
    share = budget.share(BASELINE_SHARE * budget.seconds)
    validation = prepared.examples["validation"]
    assert validation.targets is not None
    fitted: dict[str, Baseline] = {}
    scores: dict[str, float] = {}
    seconds: dict[str, float] = {}
    for position, name in enumerate(names):
        progress.advance(position, len(names), name)
        before = share.elapsed
        model = fit_baseline(
            name,
            prepared.examples["train"],
            prepared.schema,
            prepared.schema.task,
            seed=seed,
            budget=share.share(share.remaining * _portion(names[position:])),
            limit=limits.get(name),
            validation=validation,
        )
        fitted[name] = _calibrated(model, prepared.examples["calibration"])
        scores[name] = score(task, fitted[name].predict(validation), validation.targets)
        seconds[name] = share.elapsed - before
    progress.advance(len(names), len(names), "")
    return Rivals(fitted, scores, seconds)


def _portion(names: Sequence[str]) -> float:
    """How much of what is left the first of `names` may take."""
    weights = [WEIGHTS.get(name, 1.0) for name in names]
    return weights[0] / sum(weights)


def _calibrated(model: Baseline, calibration: Examples) -> Baseline:
    """The baseline with its probabilities calibrated as the network's are; numbers stay."""
    logits = model.predict(calibration).logits()
    if logits is None:
        return model
    return model.calibrated(fit_trust(logits, calibration.targets).temperature)
