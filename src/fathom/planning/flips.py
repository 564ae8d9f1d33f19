"""Flips: whether the data allows its pictures to be mirrored, decided on validation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from msgspec.structs import replace as changed

from fathom.core.examples import Examples
from fathom.planning.plan import Plan
from fathom.planning.probe import Speed
from fathom.tasks import HIGHER_IS_BETTER
from fathom.training.supervised import Supervised

# A short training without flips shows whether a mirrored picture still means the same.
SHARE_OF_TRAINING = 0.06
MOST_SECONDS = 20.0
LEAST_STEPS = 30
# Mirrored pictures may be recognised so much worse, as a share of what is above chance.
TOLERANCE = 0.05


def mirrored(examples: Examples) -> Examples:
    """The same examples with every picture mirrored left to right."""
    inputs = {
        name: np.ascontiguousarray(block[..., ::-1]) if block.ndim == 4 else block
        for name, block in examples.inputs.items()
    }
    return Examples(inputs, examples.targets, examples.rows)


def flips_allowed(what: Supervised, plan: Plan, speed: Speed, seconds: float) -> Plan:
    """The plan with `augmentation.flip` decided.

    Flips are allowed where a network trained for a moment on pictures as they are recognises
    mirrored validation pictures about as well.
    """
    time = min(SHARE_OF_TRAINING * seconds, MOST_SECONDS)
    steps = int(time / speed.step_seconds)
    if steps < LEAST_STEPS:
        why = "There was no time to try whether mirrored pictures mean the same; so none are made."
        return changed(plan, why=plan.why | {"augmentation.flip": why})
    plain, flipped, floor = _scores(what, steps)
    allowed = plain - flipped <= TOLERANCE * max(plain - floor, 0.0)
    name = what.task.primary
    why = (
        f"A network trained for {steps} steps on pictures as they are reached {name} "
        f"{plain:.3f} on validation pictures and {flipped:.3f} on their mirror images: "
        + ("flips keep the meaning." if allowed else "flips would change the meaning.")
    )
    augmentation = changed(plan.augmentation, flip=allowed)
    return changed(plan, augmentation=augmentation, why=plan.why | {"augmentation.flip": why})


def _scores(what: Supervised, steps: int) -> tuple[float, float, float]:
    """The primary metric on validation pictures, on their mirror images, and of plain guessing."""
    training = changed(
        what.training,
        steps=steps,
        warmup_steps=max(1, steps // 10),
        validate_every=steps,
        save_every=steps + 1,
        log_every=steps,
        weight_averaging=0.0,
    )
    short = replace(what, training=training)
    with TemporaryDirectory() as folder:
        network, _ = short.fit(Path(folder))
    name = what.task.primary
    assert what.validation.targets is not None
    values = [
        what.task.metrics(what.predict(network, examples), what.validation.targets)[name]
        for examples in (what.validation, mirrored(what.validation))
    ]
    sign = 1.0 if HIGHER_IS_BETTER[name] else -1.0
    return sign * values[0], sign * values[1], sign * _guessing(what)


def _guessing(what: Supervised) -> float:
    """The primary metric of a model that looks at nothing."""
    targets = what.validation.targets
    assert targets is not None
    if what.task.primary == "accuracy":
        return float(np.bincount(targets).max() / len(targets))
    return 0.5 if what.task.primary == "roc_auc" else float(np.std(targets))
