"""The n-grams of one order, as arrays in which the continuations of a context stand together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fathom.core.prediction import Array

UNKNOWN = -1
CLASSES = 3
"""Counts of one, of two, and of three and more are discounted differently."""
FALLBACK = (0.5, 1.0, 1.5)
"""Discounts where too few n-grams occur to estimate them."""


@dataclass(frozen=True)
class Level:
    """M n-grams of order k below P contexts, which are the n-grams of order k - 1 in their order.

    Those of context p are `offsets[p] : offsets[p + 1]`, where `offsets` is (P + 1,) uint32.
    `tokens` (M,) are their last tokens, rising within a context; `counts` (M,) what they count.
    `totals` (P,) are the counts below each context together, those of pruned n-grams included.
    """

    offsets: Array
    tokens: Array
    counts: Array
    totals: Array

    @classmethod
    def of(cls, offsets: Array, tokens: Array, counts: Array) -> Level:
        """A level that nothing was pruned from."""
        totals = _within(offsets, counts.astype(np.int64))
        return cls(offsets, tokens, narrowed(counts), narrowed(totals))

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """The bytes that its arrays take."""
        return sum(array.nbytes for array in vars(self).values())

    def find(self, contexts: Array, tokens: Array) -> Array:
        """The n-grams of contexts (n,) and tokens (n,), UNKNOWN where there is none; (n,) int64.

        A context may be UNKNOWN itself. All are searched at once, each by halving its range.
        """
        low, high = self.ranges(contexts)
        ends = high.copy()
        waiting = np.flatnonzero(low < high)
        while len(waiting):
            start, end = low[waiting], high[waiting]
            middle = (start + end) >> 1
            less = self.tokens[middle] < tokens[waiting]
            low[waiting] = np.where(less, middle + 1, start)
            high[waiting] = np.where(less, end, middle)
            waiting = waiting[low[waiting] < high[waiting]]
        there = np.flatnonzero(low < ends)
        there = there[self.tokens[low[there]] == tokens[there]]
        found = np.full(len(contexts), UNKNOWN, dtype=np.int64)
        found[there] = low[there]
        return found

    def ranges(self, contexts: Array) -> tuple[Array, Array]:
        """Where the n-grams of contexts (n,) begin and end, both (n,) int64."""
        known = contexts != UNKNOWN
        low, high = np.zeros((2, len(contexts)), dtype=np.int64)
        low[known] = self.offsets[contexts[known]]
        high[known] = self.offsets[contexts[known] + 1]
        return low, high

    def rest(self, discounts: Array) -> Array:
        """The share of each context that goes to the order below, (P,) float32.

        It is what the discounts take away, and what pruned n-grams had; all, where none is left.
        """
        spent = _within(self.offsets, self.counts - discounts[np.minimum(self.counts, CLASSES)])
        return (1.0 - spent / np.maximum(self.totals, 1)).astype(np.float32)

    def kept(self, keep: Array) -> Level:
        """Only the n-grams for which `keep` (M,) is true."""
        before = np.concatenate([[0], np.cumsum(keep)])
        offsets = before[self.offsets].astype(np.uint32)
        return Level(offsets, self.tokens[keep], narrowed(self.counts[keep]), self.totals)

    def below(self, keep: Array) -> Level:
        """Only the contexts for which `keep` (P,) is true; the others have no n-grams."""
        offsets = np.append(self.offsets[:-1][keep], self.offsets[-1])
        return Level(offsets, self.tokens, self.counts, narrowed(self.totals[keep]))

    def check(self, contexts: int, vocabulary: int) -> None:
        """Raise ValueError where the arrays do not fit together, or not to so many contexts."""
        if not (self._shaped(contexts) and self._ordered(vocabulary)):
            raise ValueError("the arrays of an n-gram model do not fit together")

    def _shaped(self, contexts: int) -> bool:
        flat = all(a.ndim == 1 and a.dtype.kind == "u" for a in vars(self).values())
        if not flat or len(self.offsets) != contexts + 1 or len(self.totals) != contexts:
            return False
        rising = self.offsets[0] == 0 and bool(np.all(self.offsets[1:] >= self.offsets[:-1]))
        return rising and len(self.counts) == len(self.tokens) == int(self.offsets[-1])

    def _ordered(self, vocabulary: int) -> bool:
        begins = np.zeros(len(self) + 1, dtype=bool)
        begins[self.offsets] = True
        rising = (self.tokens[1:] > self.tokens[:-1]) | begins[1:-1]
        counted = bool(np.all(_within(self.offsets, self.counts) <= self.totals))
        known = int(self.tokens.max(initial=0)) < vocabulary
        return bool(rising.all()) and bool(self.counts.all()) and counted and known


def estimate_discounts(counts: Array) -> Array:
    """What is taken from counts of 0, 1, 2 and more of one order, (4,) float64.

    From the numbers n of n-grams that count one, two, three and four (Chen and Goodman 1999, (26)).
    """
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(np.float64)
    discounts = np.array([0.0, *FALLBACK])
    if n[1:5].all():
        j = np.arange(1, CLASSES + 1)
        found = j - (j + 1) * n[1] / (n[1] + 2 * n[2]) * n[2:5] / n[1:4]
        discounts[1:] = np.where(found > 0, found, discounts[1:])
    return discounts


def pruned(levels: Sequence[Level], most_bytes: int) -> tuple[list[Level], int]:
    """Levels that take at most so many bytes, and how many n-grams were left out.

    The longest n-grams that count one go first, then shorter ones, then those that count two and so
    on; one that is the context of others stays. Their share goes to the order below.
    """
    levels, count = list(levels), 0
    before = sum(map(len, levels))
    while sum(level.nbytes for level in levels) > most_bytes and any(map(len, levels)):
        count += max(1, count // 8)
        for k in reversed(range(len(levels))):
            if sum(level.nbytes for level in levels) <= most_bytes:
                break
            keep = np.asarray(levels[k].counts > count)
            if k + 1 < len(levels):
                keep |= levels[k + 1].offsets[1:] > levels[k + 1].offsets[:-1]
                levels[k + 1] = levels[k + 1].below(keep)
            levels[k] = levels[k].kept(keep)
    return levels, before - sum(map(len, levels))


def narrowed(values: Array, largest: int | None = None) -> Array:
    """Whole numbers from 0 in the smallest unsigned type that holds them, or up to `largest`."""
    largest = int(values.max(initial=0)) if largest is None else largest
    return values.astype(np.min_scalar_type(largest), copy=False)


def _within(offsets: Array, values: Array) -> Array:
    """The sums of values (M,) over the ranges between offsets (P + 1,), (P,)."""
    kind = np.float64 if values.dtype.kind == "f" else np.int64
    sums = np.concatenate([np.zeros(1, dtype=kind), np.cumsum(values, dtype=kind)])
    of_ranges: Array = sums[offsets[1:]] - sums[offsets[:-1]]
    return of_ranges
