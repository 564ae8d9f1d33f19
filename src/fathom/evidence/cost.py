"""What does it cost? Size, operations, training time, memory, latency, throughput, energy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from msgspec.structs import replace
from torch import nn

from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.quantities import prefixed
from fathom.core.record import Figure, Record, skipped
from fathom.evidence import wording
from fathom.evidence.flops import count_flops
from fathom.evidence.instruments import batch_of, copied_network
from fathom.evidence.measure import evidence
from fathom.evidence.subject import NETWORK, Subject
from fathom.inference import VIEWS

REPEATS = 50
LATENCY_SECONDS = 1.0  # spent on repeats at most
BATCH = 512
LEAST_SHOWN = 0.05  # seconds of a stage
# Where the processor does not tell its power: what one busy core of a server draws, with its part
# of the memory. Desktop cores draw less or more; the figure is right within a factor of about two.
WATTS_PER_CORE = 10.0
RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
JOULES_PER_KWH = 3.6e6

IDS = tuple(
    f"cost.{name}"
    for name in (
        "parameters",
        "flops",
        "train_seconds",
        "total_seconds",
        "peak_memory_bytes",
        "latency_seconds",
        "throughput",
        "energy_joules",
    )
)


class Costed(Protocol):
    """What a subject knows of what the run has cost."""

    @property
    def costs(self) -> Mapping[str, float]:
        """What the pipeline has measured."""

    @property
    def stages(self) -> Mapping[str, float]:
        """Seconds of each stage of the run so far."""


def _seconds(subject: Subject) -> float:
    share = BATCH / max(len(subject.splits["validation"]), 1)
    return 0.5 + 4 * subject.prediction_seconds(NETWORK, "validation") * min(share, 1.0)


@evidence("cost", "cost", IDS, _seconds)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """Every `cost.*` record; timings are taken here, on this machine."""
    examples = subject.examples("validation")
    return [
        parameters_record(subject.model.network),
        _flops(subject, examples),
        *time_records(subject),
        memory_record(subject),
        _latency(subject, examples, budget),
        _throughput(subject, examples),
        energy_record(subject, subject.model.device, _answering(subject)),
    ]


def parameters_record(network: nn.Module) -> Record:
    """`cost.parameters`: how many numbers are learned, and what they take."""
    parameters = list(network.parameters())
    count = sum(p.numel() for p in parameters)
    size = sum(p.numel() * p.element_size() for p in parameters)
    return Record(
        "cost.parameters",
        "cost",
        sentence=f"The network has {count:,} learned numbers, {prefixed(size, 'B')} in all.",
        value=float(count),
        method="counted",
        higher_is_better=False,
    )


def _flops(subject: Subject, examples: Examples) -> Record:
    batch = batch_of(subject, examples.take(np.array([0])))
    flops, uncounted = count_flops(copied_network(subject), batch.inputs)
    flops *= _passes(subject)
    method = "two for each multiplication with addition; element-wise work is not counted"
    if uncounted:
        method += f"; not counted either: {', '.join(uncounted)}"
    return Record(
        "cost.flops",
        "cost",
        sentence=(
            f"One answer takes {prefixed(flops, 'FLOP')} (arithmetic operations)"
            f"{_of_views(subject)}."
        ),
        value=float(flops),
        unit="FLOP",
        n=1,
        method=method,
        higher_is_better=False,
    )


def _passes(subject: Subject) -> int:
    return len(VIEWS[subject.model.views])


def _of_views(subject: Subject) -> str:
    """That an answer is a mean over views, where it is one; each of them costs a pass."""
    passes = _passes(subject)
    return f", averaged over {passes} views of the example" if passes > 1 else ""


def _not_measured(id: str) -> Record:
    return skipped(id, "cost", "This was not measured while the network was trained.")


def time_records(subject: Costed) -> list[Record]:
    """`cost.train_seconds` and `cost.total_seconds`."""
    whole = _from_pipeline(subject, "total_seconds", "total_seconds_so_far", "All work so far took")
    return [
        _from_pipeline(subject, "train_seconds", "train_seconds", "Training the network took"),
        _with_stages(whole, subject),
    ]


def _from_pipeline(subject: Costed, name: str, key: str, words: str) -> Record:
    id = f"cost.{name}"
    if key not in subject.costs:
        return _not_measured(id)
    value = float(subject.costs[key])
    threads = int(subject.costs.get("threads", 0))
    using = f" with {wording.plural(threads, 'thread')}" if threads else ""
    return Record(
        id,
        "cost",
        sentence=f"{words} {wording.seconds(value)}{using}.",
        value=value,
        unit="s",
        method="wall-clock time actually worked",
        higher_is_better=False,
    )


def _with_stages(record: Record, subject: Costed) -> Record:
    """The record with a figure of where the time went."""
    spent = {name: s for name, s in subject.stages.items() if s >= LEAST_SHOWN}
    if record.status != "measured" or not spent:
        return record
    figure = Figure(
        "bars",
        {
            "labels": list(spent),
            "values": [round(seconds, 1) for seconds in spent.values()],
            "low": None,
            "high": None,
            "x_label": "seconds",
            "highlight": None,
        },
    )
    return replace(record, figure=figure)


def memory_record(subject: Costed) -> Record:
    """`cost.peak_memory_bytes`."""
    if "peak_memory_bytes" not in subject.costs:
        return _not_measured("cost.peak_memory_bytes")
    value = float(subject.costs["peak_memory_bytes"])
    return Record(
        "cost.peak_memory_bytes",
        "cost",
        sentence=f"At most {prefixed(value, 'B')} of memory were in use at a time.",
        value=value,
        unit="bytes",
        method="peak resident memory of the process, libraries included",
        higher_is_better=False,
    )


def time_repeats(subject: Subject, examples: Examples, seconds: float) -> Any:
    """Seconds of each of up to REPEATS predictions, (r,), after two that do not count."""
    for _ in range(2):
        subject.network.predict(examples)
    taken: list[float] = []
    while len(taken) < REPEATS and (len(taken) < 3 or sum(taken) < seconds):
        started = perf_counter()
        subject.network.predict(examples)
        taken.append(perf_counter() - started)
    return np.array(taken)


def _latency(subject: Subject, examples: Examples, budget: Budget) -> Record:
    limit = min(LATENCY_SECONDS, 0.3 * budget.remaining)
    taken = time_repeats(subject, examples.take(np.array([0])), limit)
    median, fast, slow = (float(np.quantile(taken, q)) for q in (0.5, 0.1, 0.9))
    return Record(
        "cost.latency_seconds",
        "cost",
        sentence=(
            f"One example is answered in {wording.seconds(median)} (median; nine in ten within "
            f"{wording.seconds(slow)}){_of_views(subject)}."
        ),
        value=median,
        unit="s",
        interval=(fast, slow),
        n=len(taken),
        method="median of repeats, encoded example to probabilities; the interval is p10 to p90",
        higher_is_better=False,
    )


def _throughput(subject: Subject, examples: Examples) -> Record:
    batch = examples.take(np.arange(min(BATCH, len(examples))))
    rate = len(batch) / float(np.median(time_repeats(subject, batch, 0.0)))
    return Record(
        "cost.throughput",
        "cost",
        sentence=f"Batches of {len(batch):,}: {wording.count(rate)} examples answered a second.",
        value=rate,
        unit="examples/s",
        n=len(batch),
        method="median of three repeats of one batch",
        higher_is_better=True,
    )


def _answering(subject: Subject) -> Callable[[], object]:
    """A burst of the network's work: a batch of examples is answered."""
    some = subject.examples("validation")
    some = some.take(np.arange(min(BATCH, len(some))))
    return lambda: subject.network.predict(some)


def energy_record(subject: Costed, device: str, work: Callable[[], object]) -> Record:
    """`cost.energy_joules`, by the power that the processor draws while `work` is done."""
    id = "cost.energy_joules"
    if "total_seconds_so_far" not in subject.costs:
        return _not_measured(id)
    if device != "cpu":
        reason = "The power that this accelerator draws is not known here, so nothing is estimated."
        return skipped(id, "cost", reason)
    seconds = float(subject.costs["total_seconds_so_far"])
    watts, source = _watts(subject, work)
    joules = watts * seconds
    return Record(
        id,
        "cost",
        sentence=(
            f"All work so far took roughly {prefixed(joules, 'J')}"
            f"{_kilowatt_hours(joules)}: an estimate from {wording.number(watts)} W, {source}."
        ),
        value=joules,
        unit="J",
        method=f"estimate: {wording.number(watts)} W, {source}, times {wording.seconds(seconds)}",
        higher_is_better=False,
    )


def _kilowatt_hours(joules: float) -> str:
    hours = joules / JOULES_PER_KWH
    return f" ({wording.number(hours)} kWh)" if hours >= 1e-3 else ""


def _watts(subject: Costed, work: Callable[[], object]) -> tuple[float, str]:
    """Power drawn while working: read off the processor where it tells, else assumed per core."""
    read = _processor_watts(work)
    if read is not None:
        return read, "read off the processor (RAPL) while it answered examples"
    threads = max(1, int(subject.costs.get("threads", 1)))
    return WATTS_PER_CORE * threads, f"assumed at {WATTS_PER_CORE:g} W for every core at work"


def _processor_watts(work: Callable[[], object], seconds: float = 0.3) -> float | None:
    """The whole package's power over a burst of work; None where it cannot be read."""
    try:
        before, started = int(RAPL.read_text()), perf_counter()
        while perf_counter() - started < seconds:
            work()
        used = int(RAPL.read_text()) - before
    except (OSError, ValueError):
        return None
    # The counter wraps round now and then; a negative difference tells nothing.
    return used / 1e6 / (perf_counter() - started) if used > 0 else None
