"""Is the network worth having? An n-gram model and xz on the same text, and the verdict."""

from __future__ import annotations

from typing import Any

from fathom.core.budget import Budget
from fathom.core.quantities import prefixed
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.language.estimates import BITS, PERPLEXITY, TextMetric, interval_of
from fathom.evidence.language.performance import grade, text_of, written
from fathom.evidence.language.subject import NETWORK, XZ, LanguageSubject
from fathom.evidence.language.verdict import verdict
from fathom.evidence.measure import evidence
from fathom.evidence.rivals import sentence_title, side_of, title

GRADES: dict[int, Grade] = {1: "good", 0: "fair", -1: "poor"}
NO_TOKENS = "xz takes a text as a whole and gives no single token a probability."


def _seconds(subject: LanguageSubject) -> float:
    return 0.2 + sum(subject.reading_seconds(name, "test") for name in subject.models)


IDS = ("verdict", "gain.bits_per_byte", "gain.perplexity")


@evidence("comparison", "", IDS, _seconds, weight=4.0, essential=True)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`verdict`, `gain.METRIC`, and `baseline.NAME.METRIC` of every traditional method."""
    subject.fit("test", budget)
    records = [verdict(subject), _gain(subject, BITS), _gain(subject, PERPLEXITY)]
    for name in subject.baselines:
        records += [_baseline(subject, name, BITS), _baseline(subject, name, PERPLEXITY)]
    return records + ([_xz(subject)] if subject.compressed is not None else [])


def _gain(subject: LanguageSubject, metric: TextMetric) -> Record:
    """`gain.METRIC` over the same units; positive where the network is better."""
    id, rival = f"gain.{metric.name}", subject.best_baseline
    if rival == XZ and metric is PERPLEXITY:
        return not_applicable(id, "gain", NO_TOKENS)
    gain = subject.gain(metric, NETWORK, rival)
    return Record(
        id,
        "gain",
        sentence=_gain_sentence(subject, metric),
        value=gain.value,
        interval=interval_of(gain),
        n=subject.documents("test").predicted,
        split="test",
        method=f"{gain.method}; against {rival}, positive favours the network",
        higher_is_better=True,
        grade=GRADES[side_of(gain)] if metric is BITS else "unknown",
        figure=_bars(subject) if metric is BITS else None,
    )


def _gain_sentence(subject: LanguageSubject, metric: TextMetric) -> str:
    gain, rival = subject.gain(metric, NETWORK, subject.best_baseline), subject.best_baseline
    write = metric.write(gain.value, signed=True)
    amount = f"the gain is {write} ({metric.between(gain, signed=True)})"
    if side_of(gain) == 0:
        return (
            f"By {metric.title} {text_of(subject, 'test')} does not tell the network and "
            f"{title(rival)} apart: {amount}."
        )
    better = "better" if side_of(gain) > 0 else "worse"
    return (
        f"By {metric.title} the network is {better} than {title(rival)}, the best of the "
        f"traditional methods on validation: {amount}."
    )


def _baseline(subject: LanguageSubject, name: str, metric: TextMetric) -> Record:
    estimate = subject.estimate(metric, name)
    order = getattr(subject.baselines[name], "order", None)
    sees = f", which goes by the {order - 1} tokens before," if order else ""
    needs = "needs {} bits for a byte" if metric is BITS else "has a perplexity of {}"
    notes = [str(note).rstrip(".") for note in getattr(subject.baselines[name], "notes", ())]
    return Record(
        f"baseline.{name}.{metric.name}",
        "baseline",
        sentence=(
            f"{sentence_title(name)}{sees} {needs.format(written(metric, estimate))} on "
            f"{text_of(subject, 'test')}."
        ),
        value=estimate.value,
        interval=interval_of(estimate),
        n=subject.documents("test").predicted,
        split="test",
        method="; ".join([estimate.method, *notes]),
        higher_is_better=False,
        grade=grade(subject, name) if metric is BITS else "unknown",
    )


def _xz(subject: LanguageSubject) -> Record:
    """What the compressor needs, in parts of which none helps another."""
    estimate, found = subject.estimate(BITS, XZ), subject.parts("test")
    alone = float(found.alone_bits) / max(float(found.bytes.sum()), 1.0)
    return Record(
        f"baseline.{XZ}.{BITS.name}",
        "baseline",
        sentence=(
            f"{sentence_title(XZ)}, which has seen training text before, needs "
            f"{written(BITS, estimate)} bits for a byte; without having seen any, "
            f"{BITS.write(alone)}."
        ),
        value=estimate.value,
        interval=interval_of(estimate),
        n=int(found.bytes.sum()),
        split="test",
        method=(
            f"{prefixed(float(found.bytes.sum()), 'B')} in {_parts(found)}, each compressed behind "
            f"training text; {estimate.method}"
        ),
        higher_is_better=False,
        grade=grade(subject, XZ),
    )


def _parts(found: Any) -> str:
    return wording.plural(len(found.bits), "part")


def _bars(subject: LanguageSubject) -> Figure:
    names = [*subject.models, *([XZ] if subject.compressed is not None else [])]
    estimates = {name: subject.estimate(BITS, name) for name in names}
    ends = [interval_of(estimate) for estimate in estimates.values()]
    data = {
        "labels": names,
        "values": [estimate.value for estimate in estimates.values()],
        "low": [end[0] if end else None for end in ends],
        "high": [end[1] if end else None for end in ends],
        "x_label": f"{BITS.title} (less is better)",
        "highlight": names.index(NETWORK),
        "decimals": 3,
    }
    return Figure("bars", data)
