"""Category codes as a histogram wants them: few, and without gaps."""

from __future__ import annotations

import numpy as np

from fathom.core.prediction import Array

MOST_CODES = 254


class CategoryCodes:
    """Renumbers category codes by what occurs in training: 0, 1, …, and one past for the rest.

    Missing values (code 0) and codes that did not occur become `known[c]`. Of more than 254 codes
    the rarest become one, because a histogram has 255 bins. `sizes` (C,) counts the old codes,
    `table` holds the new code of each, column after column.
    """

    def __init__(self, sizes: Array, table: Array, known: Array) -> None:
        self.sizes = sizes
        self.table = table
        self.known = known
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])[:-1]

    @classmethod
    def learn(cls, categories: Array) -> CategoryCodes:
        """From training codes (n, C)."""
        tables = [_renumber(np.bincount(column, minlength=2)) for column in categories.T]
        sizes = np.array([len(t) for t in tables], dtype=np.int64)
        known = np.array([t[-1] for t in tables], dtype=np.int64)
        table = np.concatenate([np.zeros(0, dtype=np.int64), *tables])
        return cls(sizes, table, known)

    def apply(self, categories: Array) -> Array:
        """New codes (n, C). Codes beyond those of training count as missing."""
        inside = np.minimum(categories, self.sizes - 1)  # the last entry stands for all beyond
        codes: Array = self.table[inside + self._offsets]
        return codes


def _renumber(counts: Array) -> Array:
    """New code of each old one; the last entry is the code of missing and unknown."""
    kept = np.flatnonzero(counts[1:]) + 1
    merged = np.zeros(0, dtype=np.int64)
    if len(kept) > MOST_CODES:
        by_count = kept[np.argsort(-counts[kept], kind="stable")]
        kept, merged = np.sort(by_count[: MOST_CODES - 1]), by_count[MOST_CODES - 1 :]
    known = len(kept) + (len(merged) > 0)
    table = np.full(len(counts) + 1, known, dtype=np.int64)
    table[kept] = np.arange(len(kept))
    table[merged] = len(kept)
    return table
