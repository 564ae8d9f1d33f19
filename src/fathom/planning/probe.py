"""Probe: time the candidates on the real network for a moment, and take the fastest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter

from msgspec.structs import replace as changed

from fathom.core.budget import Budget
from fathom.core.errors import BudgetError
from fathom.core.progress import Progress
from fathom.planning.draft import Draft
from fathom.planning.environment import cores, has_fast_bfloat16
from fathom.planning.plan import Plan
from fathom.training.settings import TrainingSpec
from fathom.training.speed import measure_speed
from fathom.training.supervised import Supervised

# A candidate must be clearly faster to replace the one before it: timings are noisy.
CLEARLY = 0.95
AT_LEAST = 2
# Slowest over median: two threads that wait for a core show in the spread.
UNSTEADY = 1.5


@dataclass(frozen=True)
class Speed:
    """Seconds of one training step and of one validation, as probed."""

    step_seconds: float
    validation_seconds: float


def candidates(
    spec: TrainingSpec, draft: Draft, device: str, images: bool
) -> Iterator[TrainingSpec]:
    """The settings worth timing, each differing in what the user has not fixed."""
    precisions = ["bfloat16", "float32"] if has_fast_bfloat16(device) else ["float32"]
    layouts = [True, False] if images else [False]
    threads = [cores(), 1] if device == "cpu" and cores() > 1 else [spec.threads]
    for precision in _open(precisions, spec.precision, "training.precision", draft):
        for layout in _open(layouts, spec.channels_last, "training.channels_last", draft):
            for number in _open(threads, spec.threads, "training.threads", draft):
                yield changed(spec, precision=precision, channels_last=layout, threads=number)


def _open(values: list, fixed: object, key: str, draft: Draft) -> list:  # type: ignore[type-arg]
    return [fixed] if key in draft.fixed else values


def probe(
    what: Supervised, plan: Plan, draft: Draft, budget: Budget, progress: Progress
) -> tuple[Speed, Plan]:
    """The speed of the fastest candidate, and the plan with it."""
    best: tuple[float, TrainingSpec] | None = None
    spread = 1.0
    told = []
    share = budget.share(0.06 * budget.seconds)
    tried = list(candidates(plan.training, draft, what.device, bool(what.inputs.images)))
    for number, spec in enumerate(tried):
        # One thread is always tried beside several: they collapse when a core is taken.
        if number >= AT_LEAST and share.exhausted:
            break
        progress.advance(number, len(tried), "timing the network")
        timed = measure_speed(replace(what, training=spec), seconds=share.seconds / len(tried))
        told.append(f"{_name(spec)} {1000 * timed.median:.1f}")
        if best is None or timed.median < CLEARLY * best[0]:
            best, spread = (timed.median, spec), timed.slowest / timed.median
    if best is None:
        raise BudgetError("No time is left to train: give a larger --budget.")
    seconds, spec = best
    what = replace(what, training=spec)
    why = plan.why | {"training.precision": f"Milliseconds a step: {', '.join(told)}."}
    if spread > UNSTEADY:
        progress.say(
            "Something else is using this machine: training steps take unevenly long "
            f"(up to {spread:.1f} times the median), and less will be trained in the time."
        )
    return Speed(seconds, _validation_seconds(what)), changed(plan, training=spec, why=why)


def _name(spec: TrainingSpec) -> str:
    layout = ", channels last" if spec.channels_last else ""
    return f"{spec.precision}{layout}, {spec.threads} thread{'s' if spec.threads > 1 else ''}:"


def _validation_seconds(what: Supervised) -> float:
    """How long one validation takes, foreseen from a part of it."""
    n = len(what.validation)
    part = what.validation.take(slice(0, min(n, 2048)))  # type: ignore[arg-type]
    network = what.build()
    what.predict(network, part)
    started = perf_counter()
    what.predict(network, part)
    return (perf_counter() - started) * n / max(len(part), 1)
