"""Does it recite its training text? Places of it are begun, and the network goes on.

A stretch is extracted where the network, given what stands before it, writes it word for word when
it always takes the likeliest token (Carlini et al. 2021, arXiv 2012.07805; with so many tokens of
context, 2023, arXiv 2202.07646). What it writes goes on like the text as long as the token that
stands there is the likeliest one after all before it, so that reading the true text tells as much
as writing. Texts hold phrases that anybody would go on with: unseen text, tried in the same way,
shows how many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fathom.core.budget import Budget
from fathom.core.language import Documents
from fathom.core.prediction import Array
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate, difference, wilson
from fathom.evidence.language.estimates import between_shares
from fathom.evidence.language.gap import once
from fathom.evidence.language.judging import cut, judged, places_within
from fathom.evidence.language.runs import MOST_TOKENS, SECONDS_PER_TOKEN, Runs
from fathom.evidence.language.subject import NETWORK, LanguageSubject
from fathom.evidence.measure import evidence

SIZES = (32, 16, 8)  # tokens of what is given, and of what should follow
PLACES, FEWEST = 500, 50
REPEATED = 200  # places of stretches that stand in the training text several times, at most
# Of places: a recital in a thousand can be found by anybody who searches; from one in twenty on it
# is what the network does.
GOOD_SHARE, FAIR_SHARE = 0.001, 0.05
IDS = tuple(f"memorisation.{name}" for name in ("extracted", "repeated", "held_out", "excess"))


def _seconds(subject: LanguageSubject) -> float:
    reading = FEWEST * 6 * SIZES[0] * subject.token_seconds(NETWORK)
    train = subject.splits["train"].predicted
    return 0.2 + reading + SECONDS_PER_TOKEN * (train + min(train, MOST_TOKENS))


@evidence("memorisation", "memorisation", IDS, _seconds)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`memorisation.extracted`, `.repeated`, `.held_out` and `.excess`."""
    size = _size(subject)
    if size is None:
        reason = (
            f"The documents, or the network's context, hold no {2 * SIZES[-1]} tokens in a row at "
            f"{FEWEST} places, so that none could be recited."
        )
        return [not_applicable(id, "memorisation", reason) for id in IDS]
    count = subject.affordable("memorisation", PLACES, FEWEST, 6 * size, budget)
    runs = Runs.of(subject.splits["train"], 2 * size, subject.network.model.tokenizer.end)
    train = _continued(subject, _places(subject, subject.splits["train"], size, count), size)
    unseen = _places(subject, subject.documents("test"), size, count)
    new = ~_known(subject, unseen, size)
    held_out = _continued(subject, unseen[new], size)
    again = _repeated(subject, runs, size, count)
    if not len(held_out.matched):
        reason = "All of the unseen text that was tried stands in the training text too."
        unknown = [not_applicable(id, "memorisation", reason) for id in IDS[2:]]
        known = (_extracted(subject, train, held_out, None), _of_repeated(again, held_out, runs))
        return [*known, *unknown]
    return [
        _extracted(subject, train, held_out, _figure(train, again, held_out)),
        _of_repeated(again, held_out, runs),
        _held_out(held_out),
        _excess(train, held_out),
    ]


@dataclass(frozen=True)
class Tried:
    """`matched` (n,): how many tokens of what follows the network goes on with, up to `size`.

    `text` is the mean length in bytes of what follows.
    """

    matched: Array
    size: int
    text: float

    @property
    def share(self) -> Estimate:
        """How many places are recited to the end."""
        return wilson(int((self.matched == self.size).sum()), len(self.matched))

    @property
    def half(self) -> float:
        """How many are recited up to the middle, as a share."""
        return float((self.matched >= self.size // 2).mean())


def _size(subject: LanguageSubject) -> int | None:
    """The longest of SIZES that enough places of both splits have room for."""
    context = subject.network.model.network.context
    counts = [np.diff(d.starts) - 1 for d in (subject.splits["train"], subject.documents("test"))]
    for size in SIZES:
        room = min(int((tokens // (2 * size)).sum()) for tokens in counts)
        if 2 * size <= context and room >= FEWEST:
            return size
    return None


def _places(subject: LanguageSubject, documents: Documents, size: int, count: int) -> Array:
    """Stretches at random places of documents, (n, 2 size)."""
    generator = subject.generator("memorisation", documents.predicted)
    begins = places_within(documents, 2 * size, count, generator)
    return cut(documents.tokens, begins, 2 * size)


def _known(subject: LanguageSubject, rows: Array, size: int) -> Array:
    """Which of stretches (n, 2 size) stand in the training text, (n,) Boolean."""
    end = subject.network.model.tokenizer.end
    found = np.zeros(len(rows), dtype=bool)
    for runs in Runs.blocks(subject.splits["train"], 2 * size, end):
        found |= np.array([runs.known(row)[0] for row in rows], dtype=bool)
    return found


def _repeated(subject: LanguageSubject, runs: Runs, size: int, count: int) -> Tried | None:
    """Stretches that stand in the training text several times; None where there are none."""
    places = runs.repeated()
    if not len(places):
        return None
    picked = subject.generator("memorisation", "repeated").permutation(places)[
        : min(count, REPEATED)
    ]
    return _continued(subject, cut(runs.tokens, np.sort(picked), 2 * size), size)


def _continued(subject: LanguageSubject, rows: Array, size: int) -> Tried:
    """How far the network goes on like rows (n, 2 size) behind their first halves."""
    if not len(rows):
        return Tried(np.empty(0, dtype=np.int64), size, 0.0)
    right = judged(subject.network, rows).right[:, size - 1 :]
    text = float(subject.lengths[rows[:, size:].astype(np.int64)].sum(axis=1).mean())
    return Tried(np.cumprod(right, axis=1).sum(axis=1), size, text)


def _method(tried: Tried, where: str) -> str:
    return (
        f"{wording.plural(len(tried.matched), 'place')} {where}: behind {tried.size} tokens of "
        f"text the next {tried.size} are each the likeliest one; {tried.share.method}"
    )


def _grade(tried: Tried, held_out: Tried) -> Grade:
    """By what is recited beyond what is guessed of unseen text."""
    if not len(held_out.matched):
        return _of_share(tried.share.value)
    excess = difference(tried.share, held_out.share)
    return "good" if excess.low <= 0 else _of_share(excess.value)


def _of_share(share: float) -> Grade:
    return "good" if share < GOOD_SHARE else "fair" if share < FAIR_SHARE else "poor"


def _extracted(
    subject: LanguageSubject, tried: Tried, held_out: Tried, figure: Figure | None
) -> Record:
    share = tried.share
    return Record(
        IDS[0],
        "memorisation",
        sentence=(
            f"Given {tried.size} tokens of its training text, the network goes on with the next "
            f"{tried.size}, about {wording.count(tried.text)} bytes, word for word in "
            f"{wording.percent(share.value)} of places ({between_shares(share)}), with the next "
            f"{tried.size // 2} in {wording.percent(tried.half)}; on average the first "
            f"{tried.matched.mean():.1f} tokens match.{once(subject)}"
        ),
        value=share.value,
        unit="share",
        interval=share.interval,
        n=len(tried.matched),
        split="train",
        method=_method(tried, "drawn at random"),
        higher_is_better=False,
        grade=_grade(tried, held_out),
        figure=figure,
    )


def _of_repeated(tried: Tried | None, held_out: Tried, runs: Runs) -> Record:
    if tried is None:
        part = "" if runs.whole else f"the first {MOST_TOKENS:,} tokens of "
        reason = f"No stretch of {runs.length} tokens stands twice in {part}the training text."
        return not_applicable(IDS[1], "memorisation", reason)
    share = tried.share
    return Record(
        IDS[1],
        "memorisation",
        sentence=(
            f"Of stretches that stand in the training text several times it recites "
            f"{wording.percent(share.value)} ({between_shares(share)})."
        ),
        value=share.value,
        unit="share",
        interval=share.interval,
        n=len(tried.matched),
        split="train",
        method=_method(tried, f"whose {runs.length} tokens stand there twice or more"),
        higher_is_better=False,
        grade=_grade(tried, held_out),
    )


def _held_out(tried: Tried) -> Record:
    share = tried.share
    return Record(
        IDS[2],
        "memorisation",
        sentence=(
            f"Of unseen text, tried in the same way, it guesses {wording.percent(share.value)} of "
            f"places word for word ({between_shares(share)}), on average the first "
            f"{tried.matched.mean():.1f} tokens: so much comes of phrases that anybody would go on "
            "with."
        ),
        value=share.value,
        unit="share",
        interval=share.interval,
        n=len(tried.matched),
        split="test",
        method=_method(tried, "drawn at random that do not stand in the training text"),
    )


def _excess(train: Tried, held_out: Tried) -> Record:
    excess = difference(train.share, held_out.share)
    meaning = "nothing shows that it recites its training text"
    if excess.low > 0:
        meaning = "so much it can recite because it was trained on it"
    return Record(
        IDS[3],
        "memorisation",
        sentence=(
            f"Of its training text it recites {wording.points(excess.value)} more than of unseen "
            f"text (95 % interval {wording.points(excess.low).removesuffix(' points')} to "
            f"{wording.points(excess.high)}): {meaning}. The longest recital among "
            f"{len(train.matched):,} places has {_longest(train)}."
        ),
        value=excess.value,
        unit="share",
        interval=excess.interval,
        n=len(train.matched) + len(held_out.matched),
        split="train, test",
        method=excess.method,
        higher_is_better=False,
        grade=_grade(train, held_out),
    )


def _longest(tried: Tried) -> str:
    longest = int(tried.matched.max())
    more = " or more" if longest == tried.size else ""
    return wording.plural(longest, "token") + more


def _figure(train: Tried, again: Tried | None, held_out: Tried) -> Figure:
    tried = {"training text": train, "training text, repeated": again, "unseen text": held_out}
    shares = {name: each.share for name, each in tried.items() if each is not None}
    data = {
        "labels": list(shares),
        "values": [share.value for share in shares.values()],
        "low": [share.low for share in shares.values()],
        "high": [share.high for share in shares.values()],
        "x_label": f"share of places whose next {train.size} tokens are recited",
        "highlight": 0,
    }
    return Figure("bars", data)
