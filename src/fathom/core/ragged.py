"""Ragged arrays: rows of uneven length, which lie end to end and are padded only in a batch.

This module loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fathom.core.prediction import Array


class Ragged:
    """n rows of uneven length along their first axis; the other axes are alike.

    `values` (total, ...) holds the rows end to end, in memory or mapped from a file; row i is
    `values[starts[i] : starts[i] + lengths[i]]`. Indexing gives an array of its own, (m, longest of
    these, ...), in which `padding` follows the end of each row.
    """

    def __init__(self, values: Array, starts: Array, lengths: Array, padding: float) -> None:
        self.values, self.starts, self.lengths = values, starts, lengths
        self.padding = padding

    @classmethod
    def of(cls, rows: Sequence[Array], padding: float, dtype: Any, *axes: int) -> Ragged:
        """Rows (length, *axes) laid end to end."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        values = np.empty((int(lengths.sum()), *axes), dtype=dtype)
        starts = np.cumsum(lengths) - lengths
        for start, row in zip(starts, rows, strict=True):
            values[start : start + len(row)] = row
        return cls(values, starts, lengths, padding)

    @classmethod
    def joined(cls, parts: Sequence[Ragged]) -> Ragged:
        """The rows of all parts, one after the other."""
        rows = [row for part in parts for row in part]
        dtype = np.result_type(*(part.dtype for part in parts))
        return cls.of(rows, parts[0].padding, dtype, *parts[0].values.shape[1:])

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, the longest of them, and the other axes."""
        return (len(self), int(self.lengths.max(initial=0)), *self.values.shape[1:])

    @property
    def ndim(self) -> int:
        """The number of axes of a batch."""
        return self.values.ndim + 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return self.values.dtype

    def __len__(self) -> int:
        return len(self.lengths)

    def row(self, position: int) -> Array:
        """One row as it is, (length, ...), without padding; a view."""
        start = self.starts[position]
        found: Array = self.values[start : start + self.lengths[position]]
        return found

    def __iter__(self) -> Iterator[Array]:
        """The rows as they are, without padding."""
        return (self.row(position) for position in range(len(self)))

    def __getitem__(self, key: Any) -> Array:
        """The rows at a slice, an array of integers or a Boolean mask, padded."""
        if np.ndim(key) == 0 and not isinstance(key, slice):
            raise IndexError("rows of a ragged array are got by row(), or several at once")
        starts, lengths = self.starts[key], self.lengths[key]
        # An empty row would leave a network nothing to look at.
        longest = max(1, int(lengths.max(initial=0)))
        batch = np.full((len(lengths), longest, *self.values.shape[1:]), self.padding, self.dtype)
        for position, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            batch[position, :length] = self.values[start : start + length]
        return batch

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All rows, padded to the longest: for parts that were chosen small."""
        return self[:] if dtype is None else self[:].astype(dtype)

    def take(self, positions: Array) -> Ragged:
        """The rows at `positions` (integers or a Boolean mask) as another view of the values."""
        return Ragged(self.values, self.starts[positions], self.lengths[positions], self.padding)


def work_of(blocks: Sequence[Any]) -> Array | None:
    """How many values the ragged blocks hold in each row, (n,); None where no block is ragged."""
    ragged = [block for block in blocks if isinstance(block, Ragged)]
    if not ragged:
        return None
    sizes = [int(np.prod(block.values.shape[1:])) for block in ragged]
    each = [b.lengths * size for b, size in zip(ragged, sizes, strict=True)]
    return np.asarray(np.sum(each, axis=0))
