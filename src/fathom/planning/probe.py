"""Probe: time the candidates on the real network for a moment, and take the fastest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from time import perf_counter
from typing import Any

import numpy as np
from msgspec.structs import replace as changed

from fathom.core.budget import Budget
from fathom.core.progress import Progress
from fathom.core.threads import threads
from fathom.networks import ConvnetSpec
from fathom.planning.draft import Draft
from fathom.planning.environment import cores, has_fast_bfloat16
from fathom.planning.plan import Plan
from fathom.training.replan import mean_cost
from fathom.training.settings import TrainingSpec
from fathom.training.speed import StepTiming, measure_speed
from fathom.training.supervised import Supervised

SHARE_OF_BUDGET = 0.025
# A candidate must be clearly faster to replace the one before it: timings are noisy.
CLEARLY = 0.95
# Slowest over median: two threads that wait for a core show in the spread.
UNSTEADY = 3.0
# Compiling takes up to a minute, in the probe and again in the run: shorter budgets do without.
COMPILE_BUDGET = {"cuda": 180.0, "cpu": 1200.0}
VALIDATION_PART, WARM_UP_PART = 1024, 64


@dataclass(frozen=True)
class Speed:
    """Seconds of one training step and of predicting one example; whether steps are uneven."""

    step_seconds: float
    predict_seconds: float
    unsteady: bool


def choices(device: str, *, pictures: bool) -> dict[str, Sequence[Any]]:
    """What is worth timing, the likeliest first: key of the training spec to its values.

    One key after the other is decided, with the best of those before it; to time every combination
    would cost more than it gains.
    """
    several = [cores(), 1] if device == "cpu" and cores() > 1 else []
    # The small matrices of a table gain next to nothing by bfloat16, and its numbers lose digits.
    fast = pictures and has_fast_bfloat16(device)
    return {
        "threads": several,
        "precision": ["bfloat16", "float32"] if fast else [],
        "channels_last": [True, False] if pictures else [],
    }


def probe(
    what: Supervised, plan: Plan, draft: Draft, budget: Budget, progress: Progress
) -> tuple[Speed, Plan]:
    """The speed of the fastest candidate, and the plan with it."""
    open_choices = {
        key: values
        for key, values in choices(what.device, pictures=bool(what.inputs.images)).items()
        if f"training.{key}" not in draft.fixed
    }
    total = 1 + sum(max(len(values) - 1, 0) for values in open_choices.values())
    total += what.sizes is not None
    seconds = SHARE_OF_BUDGET * budget.seconds / total
    best, timing = plan.training, measure_speed(what, seconds=seconds)
    told = [_told(best, timing)]
    for key, values in open_choices.items():
        for value in [v for v in values if v != getattr(best, key)]:
            progress.advance(len(told), total, "timing the network")
            spec = changed(best, **{key: value})
            timed = measure_speed(replace(what, training=spec), seconds=seconds)
            told.append(_told(spec, timed))
            if timed.median < CLEARLY * timing.median:
                best, timing = spec, timed
    if _may_compile(what, draft, budget):
        progress.advance(len(told), total, "timing the compiled network")
        best, timing, why_compile = _compiled(what, best, timing, seconds, budget.remaining)
        plan = changed(plan, why=plan.why | {"training.compile": why_compile})
    why = plan.why | {"training.precision": f"Milliseconds a step: {'; '.join(told)}."}
    speed = _speed(replace(what, training=best), timing, seconds)
    return speed, changed(plan, training=best, why=why)


def speed_of(what: Supervised, *, seconds: float) -> Speed:
    """The speed of a fit as it is, from about so many seconds of steps."""
    return _speed(what, measure_speed(what, seconds=seconds), seconds)


def _speed(what: Supervised, timing: StepTiming, seconds: float) -> Speed:
    unsteady = timing.slowest > UNSTEADY * timing.median
    mean = _mean_seconds(what, timing.median, seconds)
    return Speed(mean, _predict_seconds(what), unsteady)


def _may_compile(what: Supervised, draft: Draft, budget: Budget) -> bool:
    """Whether torch.compile can pay: on a GPU, or under a long budget; see LOG.md.

    On a processor it made the convnet slower. Pictures that grow would be compiled at each size.
    """
    kind = what.device.partition(":")[0]
    # A table's family is still to be chosen; what one of them gains says nothing of the others.
    unsettled = kind == "cpu" and not what.inputs.images
    hopeless = kind == "cpu" and isinstance(what.network, ConvnetSpec)
    long = budget.remaining >= COMPILE_BUDGET.get(kind, inf)
    fixed = "training.compile" in draft.fixed
    return long and not (hopeless or unsettled or fixed) and what.sizes is None


def _compiled(
    what: Supervised, spec: TrainingSpec, plain: StepTiming, seconds: float, left: float
) -> tuple[TrainingSpec, StepTiming, str]:
    """The spec with or without compiling, its timing, and why, with `left` seconds for the run."""
    compiled = changed(spec, compile=True)
    try:
        timed = measure_speed(replace(what, training=compiled), seconds=seconds)
    except RuntimeError as error:  # no compiler, or a network that it cannot take
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return spec, plain, f"The network could not be compiled here ({reason[:120]})."
    told = (
        f"Compiled, a step takes {1000 * timed.median:.1f} ms for {1000 * plain.median:.1f} ms, "
        f"and the first one {timed.first:.0f} s"
    )
    if compiling_pays(plain, timed, left - timed.first):
        return compiled, timed, f"{told}: it pays in the time that there is."
    return spec, plain, f"{told}: it does not pay in the time that there is."


def compiling_pays(plain: StepTiming, compiled: StepTiming, left: float) -> bool:
    """Whether clearly more steps fit into `left` seconds once the first one has compiled."""
    return (left - compiled.first) / compiled.median > left / (CLEARLY * plain.median)


def _mean_seconds(what: Supervised, full: float, seconds: float) -> float:
    """A step's mean over the whole run, where one with full pictures takes `full` seconds.

    Between the smallest pictures and the full ones the time grows with their area.
    """
    sizes = what.sizes
    if sizes is None:
        return full
    small = measure_speed(what, seconds=seconds, resize=lambda x: sizes(x, 0.0)).median
    least = sizes.cost(0.0)
    if least == 1.0:
        return full
    return full - max(full - small, 0.0) * (1 - mean_cost(sizes.cost, 0.0, 1.0)) / (1 - least)


def _told(spec: TrainingSpec, timing: StepTiming) -> str:
    layout = ", channels last" if spec.channels_last else ""
    plural = "s" if spec.threads > 1 else ""
    milliseconds = f"{1000 * timing.median:.1f}"
    return f"{spec.precision}{layout}, {spec.threads} thread{plural}: {milliseconds}"


def _predict_seconds(what: Supervised) -> float:
    """How long one example takes to predict, in large batches."""
    part = what.validation.take(np.arange(min(len(what.validation), VALIDATION_PART)))
    network = what.build()
    with threads(what.training.threads):
        what.predict(network, part.take(np.arange(min(len(part), WARM_UP_PART))))
        started = perf_counter()
        what.predict(network, part)
    return (perf_counter() - started) / max(len(part), 1)
