"""How far back does it look? What tokens cost by how much of their context a network is shown.

Stretches of unseen text are read from their beginning, and again with the farther part left out:
the same tokens with less before them. What a network gains by the farther part is what it makes of
it (Khandelwal et al. 2018, arXiv 1805.04623, whose measure of an effective context is used here).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence.intervals import Estimate
from fathom.evidence.language.estimates import LN2, between, interval_of, mean_by_owner
from fathom.evidence.language.judging import cut, judged, places_within
from fathom.evidence.language.subject import NETWORK, LanguageSubject
from fathom.evidence.measure import evidence
from fathom.evidence.rivals import short_title, title

STRETCHES, FEWEST = 256, 16
SHORTEST = 16  # tokens of a stretch: of shorter ones halves and quarters say nothing
READS = 1.75  # each stretch is read as a whole, by its last half and by its last quarter
NEGLIGIBLE = 0.01  # of the bits: so near to all of the context is as good as all of it
UNIT = "bits a token"
IDS = ("context.first", "context.gain")


def _seconds(subject: LanguageSubject) -> float:
    stretch = READS * subject.network.model.network.context * subject.token_seconds(NETWORK)
    return 0.2 + FEWEST * stretch + subject.reading_seconds(NETWORK, "test")


@evidence("context", "context", IDS, _seconds)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`context.first`: bits by place in a stretch; `context.gain`: by the farther half."""
    subject.fit("test", budget)
    found = _stretches(subject, budget)
    if found is None:
        reason = (
            f"There are fewer than {FEWEST} stretches of {SHORTEST} tokens within the unseen "
            "documents: they are too short to tell how far back the network looks."
        )
        return [not_applicable(id, "context", reason) for id in IDS]
    return [_first(subject, found), _gain(subject, found)]


@dataclass(frozen=True)
class Stretches:
    """n stretches of L tokens: `whole` (n, L) are the network's bits of each token with all of the
    stretch before it, `half` (n, L / 2) and `quarter` (n, L / 4) with its last half or quarter.

    `rivals` are the bits (n, L) of the traditional models, `owner` (n,) the documents.
    """

    whole: Array
    half: Array
    quarter: Array
    rivals: dict[str, Array]
    owner: Array

    @property
    def length(self) -> int:
        """Tokens of a stretch."""
        return int(self.whole.shape[1])

    @property
    def end(self) -> Array:
        """Bits of the last quarter's tokens with all of the stretch before them, (n, L / 4)."""
        last: Array = self.whole[:, -self.quarter.shape[1] :]
        return last

    def excess(self) -> Array:
        """What the last quarter's tokens cost more with 1 to L / 2 tokens before them, (n, L / 2).

        The first half of these columns is by the last quarter alone, the second by the last half.
        """
        size = self.quarter.shape[1]
        return np.concatenate([self.quarter - self.end, self.half[:, size:] - self.end], axis=1)

    def mean(self, values: Array, generator: np.random.Generator) -> Estimate:
        """The mean of values (n, m), with an interval over documents."""
        return mean_by_owner(values.mean(axis=1), self.owner, generator)


def _stretches(subject: LanguageSubject, budget: Budget) -> Stretches | None:
    """Stretches that do not overlap, drawn at random, as long as documents allow."""
    documents, context = subject.documents("test"), subject.network.model.network.context
    length = _length(np.diff(documents.starts) - 1, context)
    if length is None:
        return None
    most = subject.affordable("context", STRETCHES, FEWEST, READS * length, budget)
    begins = places_within(documents, length + 1, most, subject.generator("context"))
    rows = cut(documents.tokens, begins, length + 1)
    whole, half, quarter = (
        judged(subject.network, rows[:, start:]).nats / LN2
        for start in (0, length // 2, length - length // 4)
    )
    places = begins[:, None] + np.arange(length)  # of `nats`, which begin with the second token
    rivals = {name: subject.nats(name, "test")[places] / LN2 for name in subject.baselines}
    owner = np.searchsorted(documents.starts, begins, side="right") - 1
    return Stretches(whole, half, quarter, rivals, owner)


def _length(counts: Array, context: int) -> int | None:
    """The longest of the context and its halves that enough stretches of documents of so many
    tokens have; None if none has.
    """
    length = 4 * (context // 4)
    while length >= SHORTEST:
        if int((counts // (length + 1)).sum()) >= FEWEST:
            return length
        length = 4 * (length // 8)
    return None


def bins(most: int) -> list[tuple[int, int]]:
    """Numbers of tokens from 1 to `most` in bins that double, both ends included.

    They are (1, 1), (2, 2), (3, 4), (5, 8) and so on.
    """
    found, low = [(1, 1)], 2
    while low <= most:
        high = min(most, 2 * (low - 1))
        found.append((low, high))
        low = high + 1
    return found


def _curve(name: str, columns: Array) -> dict[str, object]:
    """The mean of columns (n, m) over bins of how many tokens stand before."""
    places = bins(columns.shape[1])
    means = [float(columns[:, low - 1 : high].mean()) for low, high in places]
    middles = [round((low * high) ** 0.5, 1) for low, high in places]
    return {"name": name, "x": middles, "y": means}


def _figure(series: list[dict[str, object]], y_label: str) -> Figure:
    data = {"series": series, "x_label": "tokens before it", "y_label": y_label}
    return Figure("curves", data | {"log_x": True, "log_y": False})


def _first(subject: LanguageSubject, found: Stretches) -> Record:
    """How much a token costs at the very beginning of a stretch, and at its end."""
    first = found.mean(found.whole[:, :1], subject.generator("context", "first"))
    last = found.end
    series = [_curve("network", found.whole)]
    series += [_curve(short_title(name), bits) for name, bits in found.rivals.items()]
    return Record(
        IDS[0],
        "context",
        sentence=(
            f"With one token before it a token costs the network {first.value:.2f} bits "
            f"({between(first, _bits)}), with {found.length - last.shape[1] + 1:,} to "
            f"{found.length:,} before it {last.mean():.2f}.{_of_rivals(subject, found)}"
        ),
        value=first.value,
        unit=UNIT,
        interval=interval_of(first),
        n=len(found.whole),
        split="test",
        method=(
            f"stretches of {found.length:,} tokens that do not overlap; n-grams also see what "
            f"stands before a stretch; {first.method}"
        ),
        higher_is_better=False,
        figure=_figure(series, "bits a token"),
    )


def _bits(value: float) -> str:
    return f"{value:.2f}"


def _of_rivals(subject: LanguageSubject, found: Stretches) -> str:
    told = []
    for name, bits in found.rivals.items():
        order = getattr(subject.baselines[name], "order", None)
        sees = f", which goes by at most {order - 1} tokens," if order else ""
        costs = f"{bits[:, -found.end.shape[1] :].mean():.2f}"
        told.append(f" Under {title(name)}{sees} these cost {costs}.")
    return "".join(told)


def _gain(subject: LanguageSubject, found: Stretches) -> Record:
    """What the farther half of a stretch helps with the tokens of the last quarter."""
    excess = found.excess()
    size = found.end.shape[1]
    gain = found.mean(excess[:, size:], subject.generator("context", "gain"))
    grades: dict[int, Grade] = {2: "good", 1: "good", 0: "fair", -1: "poor"}
    context = subject.network.model.network.context
    shorter = f"; documents are too short for {context:,}" if found.length < context else ""
    return Record(
        IDS[1],
        "context",
        sentence=_gain_sentence(found, gain),
        value=gain.value,
        unit=UNIT,
        interval=interval_of(gain),
        n=len(found.whole),
        split="test",
        method=(
            f"the same {found.end.size:,} tokens, each with {size * 3 + 1:,} to {found.length:,} "
            f"and with {size + 1:,} to {2 * size:,} tokens before it{shorter}; {gain.method}"
        ),
        higher_is_better=True,
        grade=grades[_side(found, gain)],
        figure=_figure([_curve("network", excess)], "bits more than with all"),
    )


def _side(found: Stretches, gain: Estimate) -> int:
    """2 where the farther half helps, 1 where it does a little, -1 where it harms, else 0."""
    enough = _enough_bits(found)
    if gain.low > 0:
        return 2 if gain.value >= enough else 1
    return -1 if gain.high < 0 and gain.value <= -enough else 0


def _enough_bits(found: Stretches) -> float:
    """So few bits that they do not matter."""
    return NEGLIGIBLE * float(found.end.mean())


def _gain_sentence(found: Stretches, gain: Estimate) -> str:
    meaning = {
        2: "it does look that far back",
        1: "it does look that far back, and makes little of it",
        0: "nothing shows that it makes use of what stands that far back",
        -1: "what stands that far back even misleads it",
    }[_side(found, gain)]
    return (
        f"Without the farther half of the {found.length:,} tokens that it is shown, what a token "
        f"costs the network changes by {_signed(gain.value)} bits ({between(gain, _signed)}): "
        f"{meaning}. {_enough(found)}"
    )


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def effective(found: Stretches) -> int | None:
    """The fewest tokens, as the end of a bin, with which it is as good as with all; None if more
    than half of them are needed.

    As good is within NEGLIGIBLE of the bits, also with any larger number of tokens.
    """
    excess, enough = found.excess(), _enough_bits(found)
    best = None
    for low, high in reversed(bins(excess.shape[1])):
        if float(excess[:, low - 1 : high].mean()) > enough:
            break
        best = high
    return best


def _enough(found: Stretches) -> str:
    enough = effective(found)
    within = f"within {100 * NEGLIGIBLE:g} % of what it reaches with all of them"
    if enough is None:
        return f"To come {within}, it needs more than half of them."
    nearest = "token brings" if enough == 1 else f"{enough:,} tokens bring"
    return f"The nearest {nearest} it {within}."
