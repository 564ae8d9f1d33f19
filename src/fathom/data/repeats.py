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
from fathom.data.near_pictures import near_pictures
from fathom.data.near_rows import near_rows
from fathom.data.raw import Raw
from fathom.data.small_pictures import small_pictures
from fathom.data.table import Column

ROWS = "coarse hash of all values, each column confirmed; only what chance does not explain"
PICTURES = "perceptual hash, confirmed by correlation of the pictures' fine structure"
# A chain of near duplicates may hold so much of the data; a longer one joins what differs.
LONGEST_CHAIN, LEAST_CHAIN = 0.02, 50
LOOKING_SHARE = 0.1  # of the budget that is left, for which picture files may be looked through
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
    """All repeats. A pure function of data and seed, but for whether picture files are looked at.

    With `wanted` near duplicates are looked for, with False they are not; None leaves out picture
    files that would take too much of `budget`, and says so.
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
    if wanted is False:
        return Near(why_not="data.near_duplicates is off")
    pictures = schema.of_kind("image")
    if not pictures:
        return Near(near_rows(schema, raw.table, hashes), ROWS)
    column = raw.table[pictures[0].name]
    if len(column) > MOST_PICTURES:
        return Near(why_not=f"there are more than {MOST_PICTURES:,} pictures")
    patience = _Patience(column, budget if wanted is None else None)
    small = small_pictures(column, progress, patience, raw.digest)
    if small is None:
        return Near(why_not=patience.why_not)
    pairs = near_pictures(small, seed)
    return Near(pairs[hashes[pairs[:, 0]] != hashes[pairs[:, 1]]], PICTURES)


class _Patience:
    """Goes on as long as looking through all picture files fits the budget."""

    def __init__(self, column: Column, budget: Budget | None) -> None:
        self.count = len(column)
        self.budget = budget if isinstance(column, pd.Series) else None
        self.begun = budget.elapsed if budget else 0.0
        self.allowed = LOOKING_SHARE * budget.remaining if budget else 0.0
        self.why_not = ""

    def __call__(self, done: int) -> bool:
        if self.budget is None:
            return True
        seconds = (self.budget.elapsed - self.begun) * self.count / done
        if seconds <= max(1.0, self.allowed):
            return True
        self.why_not = (
            f"looking through {self.count:,} picture files takes about "
            f"{format_duration(seconds)}, over a tenth of the time that is left; "
            "--set data.near_duplicates=true looks all the same"
        )
        return False


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
