"""Shipping: calibrate what was trained, choose the default model, and write the bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from torch import Tensor, nn

from fathom import __version__, folders
from fathom.core.progress import Progress
from fathom.deployment.bundle import write_bundle
from fathom.deployment.manifest import ModelName
from fathom.inference import LoadedModel, NetworkPredictor, Views, choose_views
from fathom.inference.trust import Trust, fit_trust
from fathom.inference.views import candidates
from fathom.job import Job
from fathom.planning.plan import Plan
from fathom.planning.prepare import Prepared
from fathom.planning.rivals import Rivals, score
from fathom.training.supervised import Supervised
from fathom.training.trainer import TrainingResult


@dataclass(frozen=True)
class Learned:
    """The trained network, what it was trained on, how that went; beside it one from scratch."""

    network: nn.Module
    what: Supervised
    result: TrainingResult
    scratch: NetworkPredictor | None = None
    scratch_seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """Everything that a run has come to when its training is over."""

    job: Job
    prepared: Prepared
    rivals: Rivals
    plan: Plan
    learned: Learned


@dataclass(frozen=True)
class Shipped:
    """The calibrated network, and which model is the default: the better one on validation."""

    network: NetworkPredictor
    default: ModelName
    scores: dict[ModelName, float]
    why_views: str


def ship(outcome: Outcome, progress: Progress) -> Shipped:
    """Write the bundle of the network and the best baseline. Test data plays no part in it."""
    prepared, rivals = outcome.prepared, outcome.rivals
    plan, learned = outcome.plan, outcome.learned
    progress.stage("calibrating")
    model = _loaded(prepared, plan, learned)
    views, why_views = _views(prepared, plan, model)
    model = replace(model, views=views)
    calibration = prepared.examples["calibration"]
    if learned.what.output.form != "number":
        trust = fit_trust(NetworkPredictor(model).logits(calibration), calibration.targets)
        model = replace(model, trust=trust)
    network = NetworkPredictor(model)
    validation = prepared.examples["validation"]
    assert validation.targets is not None
    scores: dict[ModelName, float] = {
        "network": score(model.task, network.predict(validation), validation.targets),
        "baseline": rivals.scores[rivals.best],
    }
    default: ModelName = "network" if scores["network"] > scores["baseline"] else "baseline"
    write_bundle(
        outcome.job.folder / folders.BUNDLE,
        schema=prepared.schema,
        task_name=prepared.schema.task,
        network=learned.network,
        network_spec=plan.network,
        trust=model.trust,
        precision=plan.training.precision,
        baseline=rivals.fitted[rivals.best],
        default=default,
        validation_scores=scores,
        provenance=_provenance(plan),
        views=views,
    )
    return Shipped(network, default, scores, why_views)


def _views(prepared: Prepared, plan: Plan, model: LoadedModel) -> tuple[Views, str]:
    """The views that the plan asks for, or those that validation chooses; and why."""
    wanted = plan.inference.views
    if wanted != "auto":
        return wanted, plan.why.get("inference.views", "")
    validation = prepared.examples["validation"]
    assert validation.targets is not None
    flip = plan.augmentation.flip

    def outputs(views: Views) -> Tensor:
        return NetworkPredictor(replace(model, views=views)).logits(validation)

    return choose_views(model.task, outputs, validation.targets, candidates(flip=flip))


def _loaded(prepared: Prepared, plan: Plan, learned: Learned) -> LoadedModel:
    return LoadedModel(
        schema=prepared.schema,
        inputs=prepared.inputs,
        network=learned.network,
        network_spec=plan.network,
        task=learned.what.task,
        trust=Trust(),
        precision=plan.training.precision,
        device=learned.what.device,
    )


def _provenance(plan: Plan) -> dict[str, object]:
    return {
        "fathom": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "data_digest": plan.data.digest,
        "seed": plan.seed,
        **plan.environment,
    }
