"""A stretch of unseen text that is read several times over, and may become easier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate
from fathom.evidence.language.estimates import between_shares, interval_of, mean_by_owner
from fathom.evidence.language.judging import cut, judged, likeliest, places_within
from fathom.evidence.language.subject import LanguageSubject
from fathom.evidence.rivals import sentence_title, short_title

ID = "in_context.repetition"
TIMES, LONGEST, SHORTEST = 4, 64, 4  # readings of a stretch, and how many tokens it has
STRETCHES, FEWEST = 256, 16
N_GRAMS = 4_096  # places at which an n-gram model is asked for its guess
SEEN = 16  # tokens before a place that it is shown: none goes by more
# Of the places where the first reading is wrong, the share that is right in the last one.
GOOD_GAIN, FAIR_GAIN = 0.5, 0.1
NOTABLE = 0.01  # a fall of fewer places is nothing to speak of


@dataclass(frozen=True)
class Read:
    """`right` (n, TIMES): the share of a stretch's tokens that is guessed in each reading.

    `rivals` are those of the traditional models, of the first stretches alone; `owner` (n,) are the
    documents, `size` how many tokens a stretch has.
    """

    right: Array
    rivals: dict[str, Array]
    owner: Array
    size: int


def record(subject: LanguageSubject, budget: Budget) -> Record:
    """`in_context.repetition`: how often its guess is right when it reads a stretch again."""
    read = _read(subject, budget)
    if read is None:
        reason = (
            "There are too few stretches within the unseen documents that could be read "
            f"{TIMES} times within the network's context."
        )
        return not_applicable(ID, "in_context", reason)
    last = _estimate(subject, read, read.right[:, -1], "last")
    gain = _estimate(subject, read, read.right[:, -1] - read.right[:, 0], "gain")
    return Record(
        ID,
        "in_context",
        sentence=_sentence(read, last, gain),
        value=last.value,
        unit="share",
        interval=interval_of(last),
        n=len(read.right),
        split="test",
        method=(
            f"stretches of {read.size} tokens, {TIMES} times one behind the other; the share of "
            f"tokens that it finds likeliest in the last reading; {last.method}"
        ),
        higher_is_better=True,
        grade=_grade(read, gain),
        figure=_figure(subject, read),
    )


def _read(subject: LanguageSubject, budget: Budget) -> Read | None:
    size = min(LONGEST, subject.network.model.network.context // TIMES)
    if size < SHORTEST:
        return None
    documents, end = subject.documents("test"), subject.network.model.tokenizer.end
    most = subject.affordable(ID, STRETCHES, FEWEST, TIMES * size, budget)
    begins = places_within(documents, size, most, subject.generator(ID))
    if len(begins) < FEWEST:
        return None
    rows = repeated(cut(documents.tokens, begins, size), end)
    right = judged(subject.network, rows).right
    some = rows[: max(1, N_GRAMS // (TIMES * size))]
    rivals = {
        name: _shares(likeliest(model, _contexts(some)).reshape(len(some), -1) == some[:, 1:])
        for name, model in subject.baselines.items()
    }
    owner = np.searchsorted(documents.starts, begins, side="right") - 1
    return Read(_shares(right), rivals, owner, size)


def repeated(stretches: Array, end: int) -> Array:
    """Rows END and TIMES times the stretch (n, size): (n, 1 + TIMES * size)."""
    begin = np.full((len(stretches), 1), end, dtype=stretches.dtype)
    return np.concatenate([begin, np.tile(stretches, (1, TIMES))], axis=1)


def _contexts(rows: Array) -> list[Array]:
    """What stands before each token of each row but the first."""
    return [row[max(0, place - SEEN) : place] for row in rows for place in range(1, len(row))]


def _shares(right: Array) -> Array:
    """The share that is right in each reading, (n, TIMES)."""
    shares: Array = right.reshape(len(right), TIMES, -1).mean(axis=2)
    return shares


def _estimate(subject: LanguageSubject, read: Read, values: Array, name: str) -> Estimate:
    return mean_by_owner(values, read.owner, subject.generator(ID, name))


def _grade(read: Read, gain: Estimate) -> Grade:
    wrong = 1 - float(read.right[:, 0].mean())
    if wrong == 0:
        return "unknown"
    if gain.low <= 0:
        return "poor"
    share = gain.value / wrong
    return "good" if share >= GOOD_GAIN else "fair" if share >= FAIR_GAIN else "poor"


def _sentence(read: Read, last: Estimate, gain: Estimate) -> str:
    first, second = (wording.percent(float(read.right[:, place].mean())) for place in (0, 1))
    meaning = "it makes use of what it has just read"
    if gain.high < 0 and gain.value < -NOTABLE:
        meaning = "what it has just read even misleads it"
    elif gain.low <= 0:
        meaning = "nothing shows that it makes use of what it has just read"
    elif gain.value < FAIR_GAIN * (1 - float(read.right[:, 0].mean())):
        meaning = "it makes hardly any use of what it has just read"
    rivals = "".join(
        f" {sentence_title(name)} goes from {wording.percent(float(right[:, 0].mean()))} to "
        f"{wording.percent(float(right[:, -1].mean()))}."
        for name, right in read.rivals.items()
    )
    return (
        f"Reading the same {read.size} unseen tokens over and over, the network guesses {first} "
        f"of them the first time, {second} the second and {wording.percent(last.value)} the "
        f"fourth ({between_shares(last)}): {meaning}.{rivals}"
    )


def _figure(subject: LanguageSubject, read: Read) -> Figure:
    times = list(range(1, TIMES + 1))
    ends = [
        _estimate(subject, read, read.right[:, place], f"time {place}") for place in range(TIMES)
    ]
    finite = all(interval_of(end) for end in ends)
    series: list[dict[str, object]] = [
        {
            "name": "network",
            "x": times,
            "y": [end.value for end in ends],
            "low": [max(0.0, end.low) for end in ends] if finite else None,
            "high": [min(1.0, end.high) for end in ends] if finite else None,
        }
    ]
    series += [
        {"name": short_title(name), "x": times, "y": right.mean(axis=0).tolist()}
        for name, right in read.rivals.items()
    ]
    data = {"series": series, "x_label": "reading", "y_label": "share of tokens guessed"}
    return Figure("curves", data | {"log_x": False, "log_y": False})
