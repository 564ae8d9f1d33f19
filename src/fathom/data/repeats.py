"""Repeats: which rows stand several times, exactly or nearly, and which must stay together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fathom.core.budget import Budget, format_duration
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Silent
from fathom.core.schema import Schema
from fathom.data.hashing import copies, hash_inputs
from fathom.data.near_pictures import OutOfTimeError, near_pictures
from fathom.data.near_rows import near_rows
from fathom.data.near_texts import near_texts, seconds_for
from fathom.data.raw import Raw
from fathom.data.small_pictures import small_pictures
from fathom.data.table import Column

ROWS = "coarse hash of all values, each column confirmed; only what chance does not explain"
TEXTS = "MinHash of runs of characters in texts, confirmed by the share of runs that both have"
PICTURES = "perceptual hash, confirmed by correlation of the pictures' fine structure"
# A chain of near duplicates may hold so much of the data; a longer one joins what differs.
LONGEST_CHAIN, LEAST_CHAIN = 0.02, 50
LOOKING_SHARE = 0.1  # of the budget that is left, for which pictures may be looked through
COMPARING_SHARE = 0.2  # and for which they may be compared
PART = 2000  # pictures that are compared first, to see how long all will take
HOPELESS = 3.0  # times what they may take: the rest is not begun, since the first may be slow
_FREE_SECONDS = 1.0  # whatever the budget
MOST_PICTURES = 2_000_000  # 2 GB of small pictures


def _no_pairs() -> Array:
    return np.empty((0, 2), dtype=np.int64)


@dataclass(frozen=True)
class Near:
    """Pairs (m, 2) int64 of rows that are nearly, not exactly, the same; how they were found.

    `why_not` says why nobody looked for them; `too_long` counts rows in chains of near duplicates
    that were too long to stay together.
    """

    pairs: Array = field(default_factory=_no_pairs)
    method: str = ""
    why_not: str = ""
    too_long: int = 0

    @property
    def searched(self) -> bool:
        """Whether anybody looked."""
        return not self.why_not

    def take(self, rows: Array, count: int) -> Near:
        """The pairs among some rows (k,) of `count`, by their new positions."""
        place = np.full(count, -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        moved = place[self.pairs]
        return Near(moved[(moved >= 0).all(axis=1)], self.method, self.why_not, self.too_long)


@dataclass(frozen=True)
class Repeats:
    """`hashes` (n,) uint64 are equal for equal inputs; `copied` (n,) marks rows whose repetition
    chance does not explain; `units` (n,) int64 are codes of what must stay together.
    """

    hashes: Array
    copied: Array
    near: Near
    units: Array

    def take(self, rows: Array) -> Repeats:
        """The same for some rows (k,), in increasing order."""
        return Repeats(
            self.hashes[rows],
            self.copied[rows],
            self.near.take(rows, len(self.hashes)),
            np.asarray(pd.factorize(self.units[rows])[0], dtype=np.int64),
        )

    def known(self, asked: Array, others: Array) -> tuple[Array, Array]:
        """Which of the rows `asked` (k,) have the inputs of one of `others`, and which nearly so.

        Two masks (k,); none is in both. Repeats that chance explains are left out.
        """
        exactly = np.isin(self.hashes[asked], self.hashes[others]) & self.copied[asked]
        other = np.zeros(len(self.hashes), dtype=bool)
        other[others] = True
        first, second = self.near.pairs.T
        close = np.concatenate([first[other[second]], second[other[first]]])
        return exactly, np.isin(asked, close) & ~exactly


def find_repeats(
    raw: Raw,
    schema: Schema,
    *,
    seed: int,
    wanted: bool | None = None,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> Repeats:
    """All repeats. A pure function of data and seed, but for whether pictures and texts are
    compared.

    With `wanted` near duplicates are looked for, with False they are not; None leaves out pictures
    and texts that would take too much of `budget`, and says so.
    """
    hashes = hash_inputs(schema, raw.table)
    copied = copies(schema, raw.table, hashes)
    near = _near(
        raw,
        schema,
        hashes,
        seed=seed,
        wanted=wanted,
        budget=budget,
        progress=progress or Silent(),
    )
    units, too_long = _units(hashes, copied, near.pairs)
    return Repeats(hashes, copied, Near(near.pairs, near.method, near.why_not, too_long), units)


def _near(
    raw: Raw,
    schema: Schema,
    hashes: Array,
    *,
    seed: int,
    wanted: bool | None,
    budget: Budget | None,
    progress: Progress,
) -> Near:
    why_not = _not_looked_for(schema, wanted)
    if why_not:
        return Near(why_not=why_not)
    pictures = schema.of_kind("image")
    if not pictures:
        return _near_rows(raw, schema, hashes, budget if wanted is None else None)
    column = raw.table[pictures[0].name]
    if len(column) > MOST_PICTURES:
        return Near(why_not=f"there are more than {MOST_PICTURES:,} pictures")
    patience = _Patience(column, budget if wanted is None else None)
    small = small_pictures(column, progress, patience, raw.digest)
    if small is None:
        return Near(why_not=patience.why_not)
    pairs = patience.compare(small, seed)
    if pairs is None:
        return Near(why_not=patience.why_not)
    return Near(pairs[hashes[pairs[:, 0]] != hashes[pairs[:, 1]]], PICTURES)


def _near_rows(raw: Raw, schema: Schema, hashes: Array, budget: Budget | None) -> Near:
    """Rows that are nearly the same, those with texts that are among them, if time allows."""
    if not schema.of_kind("text"):
        return Near(near_rows(schema, raw.table, hashes), ROWS)
    seconds = seconds_for(schema, raw.table)
    if budget and seconds > max(_FREE_SECONDS, LOOKING_SHARE * budget.remaining):
        return Near(
            why_not=f"comparing the texts takes about {format_duration(seconds)}, over a tenth of "
            "the time that is left; --set data.near_duplicates=true looks all the same"
        )
    pairs = [near_rows(schema, raw.table, hashes), near_texts(schema, raw.table, hashes)]
    return Near(np.unique(np.concatenate(pairs), axis=0), f"{ROWS}; {TEXTS}")


def _not_looked_for(schema: Schema, wanted: bool | None) -> str:
    """Why near duplicates are not looked for whatever the time; '' where they are."""
    if wanted is False:
        return "data.near_duplicates is off"
    sounds = len(schema.of_kind("audio")) == len(schema.inputs)
    return "sounds are compared byte for byte alone" if sounds else ""


class _Patience:
    """Goes on as long as looking through all pictures, and comparing them, fits the budget."""

    def __init__(self, column: Column, budget: Budget | None) -> None:
        self.count = len(column)
        self.what = "picture files" if isinstance(column, pd.Series) else "pictures"
        self.budget = budget
        self.begun = budget.elapsed if budget else 0.0
        self.allowed = self._seconds(LOOKING_SHARE)
        self.why_not = ""

    def __call__(self, done: int) -> bool:
        if self.budget is None:
            return True
        seconds = (self.budget.elapsed - self.begun) * self.count / done
        if seconds <= self.allowed:
            return True
        self._give_up("looking through", f"about {format_duration(seconds)}, over a tenth")
        return False

    def compare(self, small: Array, seed: int) -> Array | None:
        """The pairs that are nearly equal; None where comparing takes too long.

        Some pictures show the least that all will take, so that hopeless cases take no time; the
        rest depends on how many look alike.
        """
        if self.budget is None:
            return near_pictures(small, seed)
        clock = Budget(self._seconds(COMPARING_SHARE), clock=self.budget.clock)
        least = self._least(small, seed)
        try:
            if least <= HOPELESS * clock.seconds:
                return near_pictures(small, seed, lambda: not clock.exhausted)
        except OutOfTimeError:
            least = clock.seconds
        self._give_up("comparing", f"{format_duration(least)} or more, over a fifth")
        return None

    def _least(self, small: Array, seed: int) -> float:
        """The seconds that comparing takes at least, as far as some pictures show."""
        if self.budget is None or len(small) <= PART:
            return 0.0
        begun = self.budget.elapsed
        near_pictures(small[:PART], seed)
        return (self.budget.elapsed - begun) * len(small) / PART

    def _seconds(self, share: float) -> float:
        return max(_FREE_SECONDS, share * self.budget.remaining) if self.budget else 0.0

    def _give_up(self, doing: str, time: str) -> None:
        self.why_not = (
            f"{doing} {self.count:,} {self.what} takes {time} of the time that is left; "
            "--set data.near_duplicates=true looks all the same"
        )


def _units(hashes: Array, copied: Array, pairs: Array) -> tuple[Array, int]:
    """What stays together (n,), and how many rows are in chains that are too long to."""
    own = np.arange(len(hashes), dtype=np.int64)
    own[copied] = len(hashes) + pd.factorize(hashes[copied])[0]
    own = np.asarray(pd.factorize(own)[0], dtype=np.int64)
    if not len(pairs):
        return own, 0
    joined = components(own, own[pairs])
    sizes = np.bincount(joined)
    least = np.bincount(own).max()  # a row that stands many times is no chain
    most = max(LEAST_CHAIN, int(LONGEST_CHAIN * len(hashes)), int(least))
    long = sizes[joined] > most
    if not long.any():
        return joined, 0
    kept = pairs[~long[pairs[:, 0]]]
    return components(own, own[kept]), int(long.sum())


def components(units: Array, pairs: Array) -> Array:
    """Units (n,) int64 without gaps, those of each pair (m, 2) joined."""
    total = int(units.max(initial=-1)) + 1
    edges = coo_matrix((np.ones(len(pairs), dtype=np.int8), pairs.T), shape=(total, total))
    _, component = connected_components(edges, directed=False)
    return np.asarray(pd.factorize(component[units])[0], dtype=np.int64)
