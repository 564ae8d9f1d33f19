"""What does it cost? Size, operations, training and writing, memory, use of the machine, energy."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import torch

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.quantities import prefixed
from fathom.core.record import Record, skipped
from fathom.evidence import cost, wording
from fathom.evidence.flops import count_flops
from fathom.evidence.instruments import copied
from fathom.evidence.language.judging import judged
from fathom.evidence.language.stages import rows_of
from fathom.evidence.language.subject import NETWORK, LanguageSubject
from fathom.evidence.measure import evidence
from fathom.inference.sampler import Sampler, Sampling

PROMPT, WRITTEN, REPEATS = 32, 32, 10  # tokens of a prompt, tokens written, and how often
# Sides of the matrices whose product is timed, and how often; on a card small ones time the calls.
SIDES, PRODUCTS = {"cpu": 1_024, "cuda": 8_192}, 20
SECONDS = 1.0  # spent on either at most
PASSES = 3  # a step forwards and back takes about three times the operations of a way forwards
NAMES = (
    "parameters",
    "flops",
    "train_seconds",
    "total_seconds",
    "peak_memory_bytes",
    "tokens_per_second",
    "flops_utilisation",
    "latency_seconds",
    "writing_tokens_per_second",
    "energy_joules",
)
IDS = tuple(f"cost.{name}" for name in NAMES)


def _seconds(subject: LanguageSubject) -> float:
    context = subject.network.model.network.context
    return 0.6 + 4 * context * subject.token_seconds(NETWORK)


@evidence("cost", "cost", IDS, _seconds, weight=0.5, essential=True)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """Every `cost.*` record; timings are taken here, on this machine."""
    model = subject.network.model
    each, uncounted = _flops_of_a_token(subject)
    rows = rows_of(subject, "validation", 1)
    return [
        cost.parameters_record(model.network),
        _flops(each, uncounted, model.network.context),
        *cost.time_records(subject),
        cost.memory_record(subject),
        _training_rate(subject),
        _utilisation(subject, each, min(SECONDS, 0.2 * budget.remaining)),
        *_writing(subject, min(SECONDS, 0.3 * budget.remaining)),
        cost.energy_record(subject, model.device, lambda: judged(subject.network, rows)),
    ]


def _flops_of_a_token(subject: LanguageSubject) -> tuple[float, list[str]]:
    """Operations for one token forwards, the mean over a full context; and what is not counted."""
    network = subject.network.model.network
    tokens = torch.zeros(
        (1, network.context), dtype=torch.int64, device=subject.network.model.device
    )
    total, uncounted = count_flops(copied(network), tokens)
    return total / network.context, uncounted


def _flops(each: float, uncounted: list[str], context: int) -> Record:
    method = (
        f"mean over {context:,} tokens; two for each multiplication with addition, attention only "
        "to a token itself and those before it; element-wise work is not counted"
    )
    if uncounted:
        method += f"; not counted either: {', '.join(uncounted)}"
    return Record(
        "cost.flops",
        "cost",
        sentence=f"Reading one token takes {prefixed(each, 'FLOP')} (arithmetic operations).",
        value=each,
        unit="FLOP",
        n=1,
        method=method,
        higher_is_better=False,
    )


def _training_rate(subject: LanguageSubject) -> Record:
    id, rate = "cost.tokens_per_second", subject.costs.get("tokens_per_second")
    if not rate:
        return skipped(id, "cost", "This was not measured while the network was trained.")
    return Record(
        id,
        "cost",
        sentence=f"While it was trained it learned from {wording.count(rate)} tokens a second.",
        value=float(rate),
        unit="tokens/s",
        method="tokens learned from, by the time that training took",
        higher_is_better=True,
    )


def side_on(device: str) -> int:
    """The sides of the matrices that are multiplied on a device."""
    return SIDES.get(torch.device(device).type, SIDES["cpu"])


def products_per_second(device: str, kind: torch.dtype, seconds: float) -> Array:
    """Operations a second of products of large matrices, (r,), after one that is not kept."""
    generator = torch.Generator(device=device).manual_seed(0)
    side = side_on(device)
    a, b = (torch.randn(side, side, device=device, generator=generator).to(kind) for _ in range(2))
    taken: list[float] = []
    while len(taken) < PRODUCTS + 1 and (len(taken) < 4 or sum(taken) < seconds):
        started = perf_counter()
        product = a @ b
        if product.device.type == "cuda":
            torch.cuda.synchronize(product.device)
        taken.append(perf_counter() - started)
    rates: Array = 2 * side**3 / np.array(taken[1:])
    return rates


def _utilisation(subject: LanguageSubject, each: float, seconds: float) -> Record:
    """What share of this machine's matrix products training made use of."""
    id, rate = "cost.flops_utilisation", subject.costs.get("tokens_per_second")
    if not rate:
        return skipped(id, "cost", "The speed of training was not measured.")
    model = subject.network.model
    kind = torch.bfloat16 if model.precision == "bfloat16" else torch.float32
    rates, side = products_per_second(model.device, kind, seconds), side_on(model.device)
    used = PASSES * each * float(rate)
    share, low, high = (used / float(np.quantile(rates, q)) for q in (0.5, 0.9, 0.1))
    return Record(
        id,
        "cost",
        sentence=(
            f"Training made use of {wording.percent(share)} of what this machine does in plain "
            f"matrix products in {model.precision}: {prefixed(used, 'FLOP/s')} of "
            f"{prefixed(used / share, 'FLOP/s')}."
        ),
        value=share,
        unit="share",
        interval=(low, high),
        n=len(rates),
        method=(
            f"{PASSES} times the operations of a token forwards, times tokens a second, over the "
            f"median rate of products of {side:,} by {side:,} numbers, measured now with "
            f"{wording.plural(torch.get_num_threads(), 'thread')}; the interval is by p90 and p10 "
            "of that rate"
        ),
        higher_is_better=True,
    )


def _writing(subject: LanguageSubject, seconds: float) -> list[Record]:
    """`cost.latency_seconds`: until the first token; `cost.writing_tokens_per_second`."""
    first, later = _timed(subject, seconds)
    until, fast, slow = (float(np.quantile(first, q)) for q in (0.5, 0.1, 0.9))
    each = float(np.median(later))
    rates = [1 / float(np.quantile(later, q)) for q in (0.9, 0.1)]
    return [
        Record(
            "cost.latency_seconds",
            "cost",
            sentence=(
                f"Behind a prompt of {PROMPT} tokens the first new one comes after "
                f"{wording.seconds(until)} (median; nine in ten within {wording.seconds(slow)}), "
                f"each further one after {wording.seconds(each)}."
            ),
            value=until,
            unit="s",
            interval=(fast, slow),
            n=len(first),
            method="median of repeats, tokens in to token out; the interval is p10 to p90",
            higher_is_better=False,
        ),
        Record(
            "cost.writing_tokens_per_second",
            "cost",
            sentence=f"One text at a time, it writes {wording.count(1 / each)} tokens a second.",
            value=1 / each,
            unit="tokens/s",
            interval=(rates[0], rates[1]),
            n=len(later),
            method="median time of a token behind the first; the interval is by p90 and p10",
            higher_is_better=True,
        ),
    ]


def _timed(subject: LanguageSubject, seconds: float) -> tuple[Array, Array]:
    """Seconds to the first token of each text, and of each token behind it."""
    documents = subject.documents("validation")
    prompt = np.asarray(documents.tokens[:PROMPT], dtype=np.int64)
    first, later, begun = list[float](), list[float](), perf_counter()
    for repeat in range(REPEATS + 1):
        times = [perf_counter()]
        sampling = Sampling(max_tokens=WRITTEN, seed=repeat)
        steps = Sampler(subject.network.model).steps([prompt], sampling)
        times += [perf_counter() for _ in steps]
        if repeat:  # the first one pays for what later ones find ready
            first.append(times[1] - times[0])
            later += np.diff(times[1:]).tolist()
        if len(first) >= 3 and len(later) and perf_counter() - begun > seconds:
            break
    return np.array(first), np.array(later or first)
