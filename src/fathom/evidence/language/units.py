"""Units: what an interval goes over, documents, stretches of them, or the parts that xz takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fathom.core.language import Documents
from fathom.core.prediction import Array
from fathom.evidence.language.estimates import FEWEST_OWNERS, Sums

STRETCH, SHORTEST = 2_048, 256  # bytes of a stretch, about; where the text is short, at least
PARTS = "parts of the text"


@dataclass(frozen=True)
class Units:
    """What an interval goes over: whole documents, or stretches where these are few.

    Unit u is the predicted tokens `starts[u]` to `starts[u + 1]` of a split, counted from 0 (as in
    `LanguageModel.nats`), `starts` (U + 1,); `sizes` (U,) float64 are bytes. `called` is
    'documents' or 'stretches'.
    """

    starts: Array
    sizes: Array
    called: str

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def tokens(self) -> Array:
        """How many predicted tokens each unit has, (U,)."""
        counts: Array = np.diff(self.starts)
        return counts

    @property
    def owner(self) -> Array:
        """The unit of each predicted token, (N - 1,)."""
        return np.repeat(np.arange(len(self)), self.tokens)

    def sums(self, values: Array) -> Array:
        """The sum over each unit of values (N - 1,) of predicted tokens, (U,) float64."""
        totals: Array = np.add.reduceat(values.astype(np.float64), self.starts[:-1])
        return totals


def units_of(documents: Documents, lengths: Array) -> Units:
    """Documents as they are, or stretches of about STRETCH bytes where there are few of them.

    Of a short text stretches are shorter, so that there are some twenty.
    """
    starts = documents.starts - 1
    if len(documents) >= FEWEST_OWNERS:
        return Units(starts, np.maximum(documents.sizes, 1).astype(np.float64), "documents")
    read = np.cumsum(lengths[np.asarray(documents.tokens[1:], dtype=np.int64)])
    total = int(read[-1])
    count = max(1, total // STRETCH, min(FEWEST_OWNERS, total // SHORTEST))
    ends = np.searchsorted(read, np.arange(1, count) * total / count, side="left") + 1
    bounds = np.unique(np.concatenate([[0], ends, [len(read)]]))
    sizes = np.diff(np.concatenate([[0], read[bounds[1:] - 1]])).astype(np.float64)
    return Units(bounds, np.maximum(sizes, 1.0), "stretches")


def parted(compressed: Any, documents: Documents, units: Units, nats: Array) -> Sums:
    """What the parts that xz takes one by one take under another model: `nats` (N - 1,).

    Parts are of documents, or of stretches where these are the units. Raises ValueError where they
    are of neither.
    """
    starts = documents.starts - 1 if len(compressed.part) == len(documents) else units.starts
    if len(compressed.part) != len(starts) - 1:
        raise ValueError("what xz was given are neither the documents nor the stretches of them")

    def by_part(values: Array) -> Array:
        return np.bincount(compressed.part, weights=values, minlength=len(compressed.bits))

    sizes = np.maximum(compressed.bytes, 1).astype(np.float64)
    taken = by_part(np.add.reduceat(nats.astype(np.float64), starts[:-1]))
    return Sums(taken, sizes, by_part(np.diff(starts)), PARTS)
