"""Rare words of real documents, which may be easier once they have occurred before.

A name that training hardly knew comes as a surprise; a network that learns from what it has just
read is less surprised by it the second time. Words are found in the text as it was written, and the
tokens that a word touches are counted together, so that it does not matter how it is cut.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fathom.core.language import Documents
from fathom.core.prediction import Array
from fathom.core.quantities import prefixed
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate
from fathom.evidence.language.estimates import LN2, between, interval_of, mean_by_owner
from fathom.evidence.language.subject import NETWORK, LanguageSubject
from fathom.evidence.rivals import short_title, title

ID = "in_context.rare_words"
WORD = re.compile(r"[^\W_]{4,40}")
RARE = 1  # occurrences in the training text at most
MOST_TEST, MOST_TRAIN = 2_000_000, 4_000_000  # bytes that are looked through
SECONDS_PER_BYTE = 1e-7
TIMES = 4  # occurrences that are told apart; the last stands for later ones too
FEWEST = 20  # words that come again
GOOD_SAVED = 0.5  # of the bits of a first occurrence


@dataclass(frozen=True)
class Occurrences:
    """m occurrences of rare words that come again: `time` (m,) counts from 0, up to TIMES - 1.

    `word` (m,) tells the words of documents apart, `owner` (m,) is the document. Of the tokens of
    an occurrence, `first` and `last` (m,) stand among the predicted ones.
    """

    word: Array
    time: Array
    owner: Array
    first: Array
    last: Array

    def sums(self, values: Array) -> Array:
        """The sum of values (N - 1,) over the tokens of each occurrence, (m,)."""
        totals = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
        sums: Array = totals[self.last + 1] - totals[self.first]
        return sums


def seconds(subject: LanguageSubject) -> float:
    """About how long words are looked for."""
    sizes = ((MOST_TRAIN, "train"), (MOST_TEST, "test"))
    known = sum(min(most, int(subject.splits[split].sizes.sum())) for most, split in sizes)
    return known * SECONDS_PER_BYTE


def record(subject: LanguageSubject) -> Record:
    """`in_context.rare_words`: bits saved at the second occurrence of a rare word."""
    documents = subject.documents("test")
    common = _common(subject.written(subject.splits["train"], MOST_TRAIN))
    found = occurrences(
        documents,
        subject.written(documents, MOST_TEST),
        common,
        subject.lengths,
        within=max(1, subject.network.model.network.context // 2),
        blank=int(subject.network.model.tokenizer.prefix),
    )
    if len(np.unique(found.word)) < FEWEST:
        reason = (
            f"Fewer than {FEWEST} words that training hardly knew come twice within half of the "
            "network's context in the unseen documents."
        )
        return not_applicable(ID, "in_context", reason)
    return _record(subject, found)


def _common(texts: Sequence[bytes]) -> set[str]:
    """The words of training texts that are not rare."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(WORD.findall(text.decode("utf-8", errors="ignore")))
    return {word for word, count in counts.items() if count > RARE}


def occurrences(
    documents: Documents,
    texts: Sequence[bytes],
    common: set[str],
    lengths: Array,
    *,
    within: int,
    blank: int = 0,
) -> Occurrences:
    """Occurrences of words that are not common and come again `within` so many tokens.

    `texts` are the first of the documents; the tokens of each begin with so many `blank` bytes that
    are not in it. A document whose bytes are not those of its tokens is left out.
    """
    rows: list[tuple[int, int, int, int, int]] = []
    words = 0
    for i, text in enumerate(texts[: len(documents)]):
        read = np.cumsum(lengths[np.asarray(documents.document(i), dtype=np.int64)]) - blank
        if int(documents.sizes[i]) != int(read[-1]):
            continue
        begin = int(documents.starts[i]) - 1
        for places in _rare(text[: int(read[-1])], common).values():
            spans = [_tokens(read, low, high) for low, high in places]
            kept = _near(spans, within)
            if len(kept) > 1:
                rows += [
                    (words, min(time, TIMES - 1), i, begin + first, begin + last)
                    for time, (first, last) in enumerate(kept)
                ]
                words += 1
    return Occurrences(*np.array(rows, dtype=np.int64).reshape(-1, 5).T)


def _rare(text: bytes, common: set[str]) -> dict[str, list[tuple[int, int]]]:
    """Where the rare words of a text stand, in bytes, with how far they go."""
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for word, low, high in _words(text):
        if word not in common:
            found[word].append((low, high))
    return {word: places for word, places in found.items() if len(places) > 1}


def _words(text: bytes) -> Iterator[tuple[str, int, int]]:
    written = text.decode("utf-8", errors="surrogateescape")
    codes = np.frombuffer(written.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)
    sizes = 1 + (codes > 0x7F) + (codes > 0x7FF).astype(int) + (codes > 0xFFFF)
    sizes[(codes >= 0xDC80) & (codes <= 0xDCFF)] = 1  # a byte that is no text
    ends = np.concatenate([[0], np.cumsum(sizes)])
    for match in WORD.finditer(written):
        yield match.group(), int(ends[match.start()]), int(ends[match.end()])


def _tokens(read: Array, low: int, high: int) -> tuple[int, int]:
    """The first and last token that touch the bytes from `low` up to `high`."""
    return int(np.searchsorted(read, low, side="right")), int(np.searchsorted(read, high))


def _near(spans: Sequence[tuple[int, int]], within: int) -> list[tuple[int, int]]:
    """The first occurrence and those that follow, each less than `within` tokens after the first.

    So all that came before are sure to be seen by the network.
    """
    return [span for span in spans if span[1] - spans[0][0] < within]


def _record(subject: LanguageSubject, found: Occurrences) -> Record:
    bits = {
        name: found.sums(subject.nats(name, "test")) / LN2 for name in (NETWORK, *subject.baselines)
    }
    saved = {name: _saved(subject, found, each, name) for name, each in bits.items()}
    ours = saved[NETWORK]
    return Record(
        ID,
        "in_context",
        sentence=_sentence(subject, found, bits, saved),
        value=ours.value,
        unit="bits",
        interval=interval_of(ours),
        n=int(found.word.max()) + 1,
        split="test",
        method=(
            f"words of four letters and more that occur at most once in {_looked_at(subject)}, and "
            "again within half of the context; bits of the first occurrence minus those of the "
            f"second; {ours.method}"
        ),
        higher_is_better=True,
        grade=_grade(subject, found, bits),
        figure=_figure(subject, found, bits),
    )


def _looked_at(subject: LanguageSubject) -> str:
    known = min(MOST_TRAIN, int(subject.splits["train"].sizes.sum()))
    return f"{prefixed(float(known), 'B')} of training text"


def _at(found: Occurrences, time: int) -> Array:
    places: Array = np.flatnonzero(found.time == time)
    return places


def _saved(subject: LanguageSubject, found: Occurrences, bits: Array, name: str) -> Estimate:
    """First minus second occurrence of the same words."""
    first, second = _at(found, 0), _at(found, 1)
    generator = subject.generator(ID, name)
    return mean_by_owner(bits[first] - bits[second], found.owner[first], generator, UNITS)


UNITS = ("documents", "words")


def _grade(subject: LanguageSubject, found: Occurrences, bits: dict[str, Array]) -> Grade:
    """By what it saves beyond the n-gram model, to which a second occurrence is like the first."""
    rivals = [each for name, each in bits.items() if name != NETWORK]
    own = bits[NETWORK] - (rivals[0] if rivals else 0.0)
    beyond = _saved(subject, found, own, "beyond")
    if beyond.low <= 0:
        return "poor"
    share = beyond.value / float(bits[NETWORK][_at(found, 0)].mean())
    return "good" if share >= GOOD_SAVED else "fair"


def _sentence(
    subject: LanguageSubject,
    found: Occurrences,
    bits: dict[str, Array],
    saved: dict[str, Estimate],
) -> str:
    ours, each = saved[NETWORK], bits[NETWORK]
    right = found.sums(~subject.scores("test").right) == 0
    first, second = (float(each[_at(found, time)].mean()) for time in (0, 1))
    guessed = (wording.percent(float(right[_at(found, time)].mean())) for time in (0, 1))
    rivals = "".join(
        f" {title(name)[0].upper()}{title(name)[1:]} saves {estimate.value:.1f}."
        for name, estimate in saved.items()
        if name != NETWORK
    )
    return (
        f"{wording.count(int(found.word.max()) + 1)} rare words come again within a document: the "
        f"first time one costs the network {first:.1f} bits, the second time {second:.1f}, a "
        f"saving of {ours.value:.1f} ({between(ours, lambda v: f'{v:.1f}')}); guessed right are "
        f"{' and '.join(guessed)}.{rivals}"
    )


def _figure(subject: LanguageSubject, found: Occurrences, bits: dict[str, Array]) -> Figure:
    times = [time for time in range(TIMES) if len(_at(found, time)) >= FEWEST]
    series: list[dict[str, object]] = []
    for name, each in bits.items():
        ends = [
            mean_by_owner(
                each[_at(found, time)],
                found.owner[_at(found, time)],
                subject.generator(ID, name, time),
                UNITS,
            )
            for time in times
        ]
        line: dict[str, object] = {"name": short_title(name), "x": [time + 1 for time in times]}
        line["y"] = [end.value for end in ends]
        if name == NETWORK and all(interval_of(end) for end in ends):
            line |= {"low": [end.low for end in ends], "high": [end.high for end in ends]}
        series.append(line)
    label = f"occurrence ({TIMES}: and later ones)"
    data = {"series": series, "x_label": label, "y_label": "bits a word"}
    return Figure("curves", data | {"log_x": False, "log_y": False})
