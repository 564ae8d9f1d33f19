"""Does the network know its training text by heart? Bits for a byte, training minus test."""

from __future__ import annotations

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.record import Grade, Record
from fathom.evidence import wording
from fathom.evidence.gap import FAIR_LOST, GOOD_LOST
from fathom.evidence.intervals import Estimate, difference
from fathom.evidence.language.estimates import BITS, Sums, interval_of
from fathom.evidence.language.subject import FREQUENCIES, NETWORK, LanguageSubject
from fathom.evidence.language.units import Units
from fathom.evidence.measure import evidence

ID = "gap.bits_per_byte"


def _seconds(subject: LanguageSubject) -> float:
    return 0.1 + sum(subject.reading_seconds(NETWORK, split) for split in ("train", "test"))


@evidence("gap", "gap", (ID,), _seconds)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`gap.bits_per_byte`, on as many training documents as there are unseen ones."""
    subject.fit("test", budget)
    unseen = len(subject.documents("test"))
    subject.fit("train", budget)
    sums = _first(subject, unseen)
    train = BITS.estimate(sums, subject.generator(ID))
    return [_record(subject, train, sums)]


def _first(subject: LanguageSubject, most: int) -> Sums:
    """What the first training documents take, as many as there are unseen ones."""
    nats, units = subject.nats(NETWORK, "train"), subject.units("train")
    read = len(subject.documents("train"))
    if units.called != "documents" or read <= most:
        return subject.sums(NETWORK, "train")
    some = Units(units.starts[: most + 1], units.sizes[:most], units.called)
    return Sums(_within(some, nats), some.sizes, some.tokens, some.called)


def _within(units: Units, nats: Array) -> Array:
    return units.sums(np.asarray(nats[: int(units.starts[-1])]))


def _record(subject: LanguageSubject, train: Estimate, sums: Sums) -> Record:
    test = subject.estimate(BITS, NETWORK)
    gap = difference(train, test)
    grade = _grade(subject, train, gap)
    return Record(
        ID,
        "gap",
        sentence=_sentence(subject, (train, test, gap), grade),
        value=gap.value,
        interval=interval_of(gap),
        n=subject.documents("test").predicted,
        split="train, test",
        method=(
            f"{wording.plural(len(sums), sums.called, sums.called)} of training text with "
            f"{int(sums.tokens.sum()):,} tokens; {gap.method}"
        ),
        higher_is_better=True,
        grade=grade,
    )


def _side(gap: Estimate) -> int:
    """1 where unseen text is surely harder than known text, -1 where easier, 0 unclear."""
    return 1 if gap.high < 0 else -1 if gap.low > 0 else 0


def _sentence(
    subject: LanguageSubject, values: tuple[Estimate, Estimate, Estimate], grade: Grade
) -> str:
    train, test, gap = values
    part = "a little" if grade == "good" else "some"
    meaning = {
        1: f"{part} of what it learned holds for its training text alone, which is overfitting",
        0: "no overfitting can be shown",
        -1: "it does better on the test text, which is the easier one then",
    }
    return (
        f"A byte takes {BITS.write(train.value)} bits in text that the network was trained on and "
        f"{BITS.write(test.value)} in unseen text, a gap of {BITS.write(gap.value, signed=True)} "
        f"({BITS.between(gap, signed=True)}): {meaning[_side(gap)]}.{once(subject)}"
    )


def once(subject: LanguageSubject) -> str:
    """That training did not get through its text, where it did not: what was not seen is new."""
    passes = subject.passes
    if passes is None or passes >= 1:
        return ""
    return (
        f" Training got through {wording.percent(passes)} of its text; the rest was as new to the "
        "network as the test text is."
    )


def _grade(subject: LanguageSubject, train: Estimate, gap: Estimate) -> Grade:
    """By the share that is lost on unseen text of what was gained over token frequencies."""
    if _side(gap) <= 0:
        return "good"
    gained = subject.estimate(BITS, FREQUENCIES).value - train.value
    lost = -gap.value / gained if gained > 0 else 1.0
    return "good" if lost < GOOD_LOST else "fair" if lost < FAIR_LOST else "poor"
