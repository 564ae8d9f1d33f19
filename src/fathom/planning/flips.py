"""Flips: whether the data allows its pictures to be mirrored, decided on validation."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from msgspec.structs import replace as changed
from torch import nn

from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.stored import Rows, StoredArray
from fathom.planning.plan import Plan
from fathom.planning.probe import Speed
from fathom.tasks import HIGHER_IS_BETTER
from fathom.training.supervised import Supervised

# A short training without flips shows whether a mirrored picture still means the same.
SHARE_OF_TRAINING = 0.04
MOST_SECONDS = 20.0
LEAST_STEPS = 30
# Small batches learn more in a short time.
BATCH_SIZE = 64
# What has learned less than this share of what there is to learn cannot tell.
LEARNED = 0.25
# Mirrored pictures may be recognised so much worse, as a share of what is above chance.
TOLERANCE = 0.1


def mirrored(examples: Examples) -> Examples:
    """The same examples with every picture mirrored left to right."""
    inputs = {
        name: _mirror(block) if block.ndim == 4 else block
        for name, block in examples.inputs.items()
    }
    return replace(examples, inputs=inputs)


def _mirror(block: Rows) -> Rows:
    if isinstance(block, StoredArray):
        return block.changed(_left_to_right)
    return np.ascontiguousarray(_left_to_right(np.asarray(block)))


def _left_to_right(pictures: Array) -> Array:
    return pictures[..., ::-1]


def flips_allowed(what: Supervised, plan: Plan, speed: Speed, seconds: float) -> Plan:
    """The plan with `augmentation.flip` decided.

    Flips are allowed where a network trained for a moment on pictures as they are recognises
    mirrored validation pictures about as well.
    """
    time = min(SHARE_OF_TRAINING * seconds, MOST_SECONDS)
    allowed, why = _decide(what, speed, time)
    augmentation = changed(plan.augmentation, flip=allowed)
    return changed(plan, augmentation=augmentation, why=plan.why | {"augmentation.flip": why})


def _decide(what: Supervised, speed: Speed, time: float) -> tuple[bool, str]:
    """Whether flips are allowed, and why."""
    batch_size = min(BATCH_SIZE, what.training.batch_size)
    steps = int(time / (speed.step_seconds * batch_size / what.training.batch_size))
    if steps < LEAST_STEPS:
        return False, "There was no time to try whether mirrored pictures mean the same."
    plain, flipped = _scores(what, steps, batch_size, time)
    return judged(
        what, f"A network trained for {steps} steps on pictures as they are", plain, flipped
    )


def judged(what: Supervised, who: str, plain: float, flipped: float) -> tuple[bool, str]:
    """Whether flips are allowed, and why, by what `who` reached with and without them.

    `plain` and `flipped` are the primary metric with its sign turned where lower is better.
    """
    floor, ceiling = _range(what)
    told = (
        f"{who} reached {what.task.primary} {abs(plain):.3f} on validation pictures and "
        f"{abs(flipped):.3f} on their mirror images: "
    )
    if plain - floor < LEARNED * (ceiling - floor):
        return False, told + "it has learned too little to tell whether flips keep the meaning."
    allowed = plain - flipped <= TOLERANCE * (plain - floor)
    return allowed, told + f"flips {'keep' if allowed else 'would change'} the meaning."


def _scores(what: Supervised, steps: int, batch_size: int, time: float) -> tuple[float, float]:
    """The primary metric, higher being better, on validation pictures and on their mirror images.

    Should the machine slow down meanwhile, the budget makes the training shorter.
    """
    training = changed(
        what.training,
        steps=steps,
        batch_size=batch_size,
        warmup_steps=steps // 10,
        validate_every=steps,
        save_every=steps + 1,
        log_every=steps,
        weight_averaging=0.0,
    )
    with TemporaryDirectory() as folder:
        network, _ = replace(what, training=training).fit(Path(folder), budget=Budget(time))
    mirror = replace(what, validation=mirrored(what.validation))
    return primary(what, network), primary(mirror, network)


def primary(what: Supervised, network: nn.Module) -> float:
    """The primary metric on validation, its sign turned where lower is better."""
    sign = 1.0 if HIGHER_IS_BETTER[what.task.primary] else -1.0
    return sign * what.validate(network).logged.get(what.task.primary, nan)


def _range(what: Supervised) -> tuple[float, float]:
    """What a model that looks at nothing would score, and a perfect one."""
    targets = what.validation.targets
    assert targets is not None
    if what.task.primary == "accuracy":
        return float(np.bincount(targets).max() / len(targets)), 1.0
    ranks = what.task.primary.endswith("roc_auc")
    return (0.5, 1.0) if ranks else (-float(np.std(targets)), 0.0)
