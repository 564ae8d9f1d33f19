"""Does the test text stand in the training text? Runs of it that do, and figures without them.

Documents that are alike as a whole are kept on one side of a split, but a chapter may stand in a
book, and a licence in every file. What a model needs for such text says how well it remembers, not
how well it predicts (Lee et al. 2022, arXiv 2107.06499).
"""

from __future__ import annotations

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.record import Grade, Record
from fathom.evidence import wording
from fathom.evidence.language.estimates import (
    LN2,
    between,
    between_shares,
    interval_of,
    over_units,
    share_over_units,
)
from fathom.evidence.language.runs import LETTERS, SECONDS_PER_TOKEN, Runs, run_of_letters
from fathom.evidence.language.subject import NETWORK, LanguageSubject
from fathom.evidence.measure import evidence

IDS = ("data.overlap", "data.overlap.bits_per_byte")
LITTLE, MUCH = 0.02, 0.2  # of the test text: below it is good, above it is poor
FEWEST_BYTES = 2_000  # of test text that stands nowhere else, for a figure of it alone


def _seconds(subject: LanguageSubject) -> float:
    return 0.1 + 4 * SECONDS_PER_TOKEN * subject.splits["train"].predicted


@evidence("overlap", "data", IDS, _seconds)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`data.overlap`: the share of test text that training holds; and bits a byte of the rest."""
    known = _known(subject)
    return [_share(subject, known), _rest(subject, known)]


def _known(subject: LanguageSubject) -> Array:
    """Which predicted tokens of the test are in runs that training holds too, (N - 1,) Boolean."""
    documents = subject.documents("test")
    length, end = run_of_letters(documents), subject.network.model.tokenizer.end
    tokens = np.asarray(documents.tokens[1:])
    blocks = Runs.blocks(subject.splits["train"], length, end)
    starts = np.flatnonzero(np.any([runs.known(tokens) for runs in blocks], axis=0))
    change = np.zeros(documents.predicted + 1, dtype=np.int64)
    np.add.at(change, starts, 1)
    np.add.at(change, np.minimum(starts + length, documents.predicted), -1)
    return np.asarray(np.cumsum(change)[:-1] > 0)


def _bytes(subject: LanguageSubject) -> Array:
    """The bytes of each predicted token of the test, (N - 1,) float64."""
    tokens = np.asarray(subject.documents("test").tokens[1:], dtype=np.int64)
    return np.asarray(subject.lengths[tokens], dtype=np.float64)


def _share(subject: LanguageSubject, known: Array) -> Record:
    sizes, units = _bytes(subject), subject.units("test")
    held, whole = units.sums(sizes * known), units.sums(sizes)
    found = share_over_units(
        held, np.maximum(whole, 1e-9), subject.generator("overlap"), units.called
    )
    grade: Grade = "good" if found.value < LITTLE else "fair" if found.value < MUCH else "poor"
    hint = (
        " What is measured on it says in part how well the models remember."
        if grade != "good"
        else ""
    )
    return Record(
        "data.overlap",
        "data",
        sentence=(
            f"{wording.percent(found.value)} of the test text ({between_shares(found)}) stands in "
            f"the training text as well, in runs of {LETTERS} characters or more.{hint}"
        ),
        value=found.value,
        unit="share",
        interval=interval_of(found),
        n=len(known),
        split="test",
        method=f"fingerprints of all runs; {found.method}",
        higher_is_better=False,
        grade=grade,
    )


def _rest(subject: LanguageSubject, known: Array) -> Record:
    """Bits for a byte of what stands nowhere in the training text, of network and best baseline."""
    new, sizes = ~known, _bytes(subject)
    id = "data.overlap.bits_per_byte"
    if sizes[new].sum() < FEWEST_BYTES:
        reason = "Hardly any of the test text is new, so that nothing can be said of new text."
        return Record(id, "data", reason, status="not_applicable", reason=reason)
    rival = subject.best_baseline
    names = [NETWORK, *([rival] if rival in subject.models else [])]
    found = {name: _bits(subject, name, new, sizes) for name in names}
    ours, theirs = found[NETWORK], found.get(rival)
    beside = "" if theirs is None else f", the best traditional method {theirs[0]:.3f}"
    return Record(
        id,
        "data",
        sentence=(
            f"Of the test text that stands nowhere in training a byte takes the network "
            f"{ours[0]:.3f} bits ({ours[1]}){beside}."
        ),
        value=ours[0],
        unit="bits a byte",
        interval=ours[2],
        n=int(new.sum()),
        split="test",
        method="the tokens outside of such runs alone, read with all that stands before them",
        higher_is_better=False,
    )


def _bits(
    subject: LanguageSubject, name: str, new: Array, sizes: Array
) -> tuple[float, str, tuple[float, float] | None]:
    """Bits for a byte of some tokens, its interval in words, and its ends."""
    units = subject.units("test")
    nats = units.sums(np.where(new, subject.nats(name, "test"), 0.0))
    read = units.sums(np.where(new, sizes, 0.0))
    there = read > 0
    terms = np.stack([nats[there], read[there]], axis=1)
    generator = subject.generator("overlap", name)
    found = over_units(terms, lambda m: m[..., 0] / m[..., 1] / LN2, generator, units.called)
    return found.value, between(found, lambda value: f"{value:.3f}"), interval_of(found)
