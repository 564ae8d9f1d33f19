"""Scratch: a network that begins with nothing, beside a pretrained one to tell what that gains."""

from __future__ import annotations

from dataclasses import replace

from msgspec.structs import replace as changed

from fathom.core.progress import Progress
from fathom.inference import LoadedModel, NetworkPredictor, Trust, fit_trust
from fathom.job import Job
from fathom.planning.plan import Plan, identity_of
from fathom.planning.prepare import Prepared
from fathom.planning.resolve import supervised
from fathom.shipping import Learned
from fathom.training.schedule import load_replans

FOLDER = "scratch"


def beside_scratch(
    learned: Learned, job: Job, prepared: Prepared, plan: Plan, progress: Progress
) -> Learned:
    """What was learned, with the network from scratch where the plan has one."""
    if plan.scratch is None:
        return learned
    progress.stage("training from scratch")
    own = changed(
        plan,
        network=plan.scratch.network,
        training=plan.scratch.training,
        augmentation=plan.scratch.augmentation,
        task=plan.scratch.task,
    )
    what = supervised(own, prepared, job.request.device)
    fresh = job.request.plan is None and job.request.steps is None
    network, result = what.fit(
        job.folder / FOLDER,
        resume=job.resumed,
        budget=job.budget.share(plan.seconds["scratch"]) if fresh else None,
        replans=load_replans(job.replans.parent / FOLDER / job.replans.name),
        progress=progress,
        identity=identity_of(own, prepared.splits),
    )
    model = LoadedModel(
        schema=prepared.schema,
        inputs=prepared.inputs,
        network=network,
        network_spec=own.network,
        task=what.task,
        trust=Trust(),
        precision=own.training.precision,
        device=what.device,
    )
    calibration = prepared.examples["calibration"]
    if what.output.form != "number":
        trust = fit_trust(NetworkPredictor(model).logits(calibration), calibration.targets)
        model = replace(model, trust=trust)
    return replace(learned, scratch=NetworkPredictor(model), scratch_seconds=result.seconds)
