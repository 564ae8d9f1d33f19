"""How well does it predict unseen text? Bits for a byte, perplexity, how often its guess is right.

Bits for a byte do not depend on how a text is cut into tokens, so that networks with different
tokens, n-gram models and compressors can be compared by them; perplexity and token accuracy do.
"""

from __future__ import annotations

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.quantities import prefixed
from fathom.core.record import Figure, Grade, Record
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate
from fathom.evidence.language.estimates import (
    BITS,
    LN2,
    PERPLEXITY,
    TextMetric,
    between_shares,
    interval_of,
    share_over_units,
)
from fathom.evidence.language.subject import FREQUENCIES, NETWORK, LanguageSubject
from fathom.evidence.measure import evidence
from fathom.evidence.performance import FAIR_SKILL, GOOD_SKILL

BINS = 30
MOST_BITS = 8.0  # a byte holds no more: knowing nothing of a text, one needs so many
IDS = ("performance.bits_per_byte", "performance.perplexity", "performance.token_accuracy")
SENTENCES = {
    "bits_per_byte": "The network needs {value} bits for a byte of {text} ({between}). Knowing "
    "only how frequent each token is takes {frequencies}, knowing nothing {most:g}.",
    "perplexity": "Its perplexity is {value} ({between}): at each token, of {bytes} bytes on "
    "average, it is as uncertain as one who chooses among so many that are equally likely.",
}


def _seconds(subject: LanguageSubject) -> float:
    return 0.1 + subject.reading_seconds(NETWORK, "test")


@evidence("performance", "performance", IDS, _seconds, weight=3.0, essential=True)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`performance.bits_per_byte`, `.perplexity` and `.token_accuracy` on the test split."""
    subject.fit("test", budget)
    return [_record(subject, BITS), _record(subject, PERPLEXITY), _token_accuracy(subject)]


def _record(subject: LanguageSubject, metric: TextMetric) -> Record:
    estimate = subject.estimate(metric, NETWORK)
    frequencies = subject.estimate(metric, FREQUENCIES).value
    documents = subject.documents("test")
    first = metric is BITS
    return Record(
        f"performance.{metric.name}",
        "performance",
        sentence=SENTENCES[metric.name].format(
            value=metric.write(estimate.value),
            between=metric.between(estimate),
            frequencies=metric.write(frequencies),
            text=text_of(subject, "test"),
            bytes=wording.number(float(documents.sizes.sum()) / documents.predicted),
            most=MOST_BITS,
        ),
        value=estimate.value,
        interval=interval_of(estimate),
        n=documents.predicted,
        split="test",
        method=f"over all {documents.predicted:,} tokens; {estimate.method}",
        higher_is_better=False,
        grade=grade(subject, NETWORK) if first else "unknown",
        figure=_spread(subject) if first else None,
    )


def text_of(subject: LanguageSubject, split: str) -> str:
    """'1.2 MB of unseen text in 340 documents'."""
    documents = subject.documents(split)
    size = prefixed(float(documents.sizes.sum()), "B")
    return f"{size} of unseen text in {wording.plural(len(documents), 'document')}"


def grade(subject: LanguageSubject, name: str) -> Grade:
    """How much fewer bits than by frequencies alone: good, fair or poor."""
    value = subject.estimate(BITS, name).value
    skill = 1 - value / max(subject.estimate(BITS, FREQUENCIES).value, 1e-9)
    return "good" if skill >= GOOD_SKILL else "fair" if skill >= FAIR_SKILL else "poor"


def _token_accuracy(subject: LanguageSubject) -> Record:
    right, units = subject.scores("test").right, subject.units("test")
    estimate = share_over_units(
        units.sums(right), units.tokens, subject.generator("token_accuracy"), units.called
    )
    return Record(
        "performance.token_accuracy",
        "performance",
        sentence=(
            "The token that it finds likeliest is the one that comes in "
            f"{wording.percent(estimate.value)} of places ({between_shares(estimate)}); "
            f"{_of_the_most_frequent(subject)}"
        ),
        value=estimate.value,
        interval=interval_of(estimate),
        n=len(right),
        split="test",
        method=f"over all {len(right):,} tokens; {estimate.method}",
        higher_is_better=True,
    )


def _of_the_most_frequent(subject: LanguageSubject) -> str:
    tokens: Array = np.asarray(subject.documents("test").tokens[1:])
    share = float(np.bincount(tokens).max()) / len(tokens)
    return f"always saying the most frequent one would be right in {wording.percent(share)}."


def _spread(subject: LanguageSubject) -> Figure | None:
    """How bits for a byte are spread over units; none of so few that nothing is to be seen."""
    sums = subject.sums(NETWORK, "test")
    if len(sums) < BINS:
        return None
    bits = sums.nats / sums.sizes / LN2
    low, high = np.quantile(bits, [0.005, 0.995])  # one odd document would squeeze all others
    if not low < high:
        return None
    counts, edges = np.histogram(bits, bins=BINS, range=(float(low), float(high)))
    series = [{"name": "network", "counts": counts.tolist()}]
    label = f"bits for a byte, over {sums.called}"
    return Figure("histogram", {"edges": edges.tolist(), "series": series, "x_label": label})


def written(metric: TextMetric, estimate: Estimate) -> str:
    """'1.342 (95 % interval 1.330 to 1.354)'."""
    return f"{metric.write(estimate.value)} ({metric.between(estimate)})"
