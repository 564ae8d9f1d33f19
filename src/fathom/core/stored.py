"""Stored arrays: blocks too large for memory, of which rows are read from a file when asked for.

This module loads no torch.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fathom.core.prediction import Array
from fathom.core.ragged import Ragged

Change = Callable[[Array], Array]


class Rows(Protocol):
    """What the blocks of encoded examples are: an array, a `StoredArray`, or a `Ragged` one.

    Rows are got by `block[slice | indices | mask]`, always as a NumPy array; see `take`.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array."""

    @property
    def ndim(self) -> int:
        """As of an array."""

    @property
    def dtype(self) -> Any:
        """As of an array."""

    def __len__(self) -> int:
        """The length of the first axis."""

    def __getitem__(self, key: Any, /) -> Any:
        """Some rows."""

    def __array__(self) -> Array:
        """All rows."""


def take(block: Rows, positions: Array) -> Rows:
    """The rows at `positions` (integers or a Boolean mask): copied of an array, else a view.

    A stored or ragged block stays where it is: what is taken are the positions.
    """
    if isinstance(block, StoredArray | Ragged):
        return block.take(positions)
    taken: Array = block[positions]
    return taken


class StoredFile:
    """An array of `shape` in the file `path`, which holds nothing else and never changes.

    The file stays open, so that it can be read even after it was removed. Every reading maps it for
    that moment: a lasting map would count all that was ever read as memory in use. Threads may read
    at the same time. Raises ValueError where the file's size is not that of the array.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: Any = np.uint8) -> None:
        self.path, self.shape = path, shape
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.file = path.open("rb")
        self.size = int(np.prod(shape)) * self.dtype.itemsize
        if path.stat().st_size != self.size:
            raise ValueError(f"{path} has not the size of an array {shape} of {self.dtype}")

    def read(self, rows: Array) -> Array:
        """The rows at `rows` (m,) int64, in that order, as an array of its own."""
        if not len(rows) or not self.size:
            return np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        # The map is closed when the last array over it is gone, which is at the return.
        mapped = mmap.mmap(self.file.fileno(), self.size, access=mmap.ACCESS_READ)
        stored = np.frombuffer(mapped, self.dtype).reshape(self.shape)
        # In the order of the file, so that the disk is read in one direction.
        order = np.argsort(rows, kind="stable")
        if (order[1:] > order[:-1]).all():
            found: Array = stored[rows]
            return found
        out = np.empty((len(rows), *self.shape[1:]), dtype=self.dtype)
        out[order] = stored[rows[order]]
        return out


class StoredArray:
    """Rows of a `StoredFile`: `rows` (n,) int64 are their positions in it, by default all.

    `change` is applied to what is read, (m, ...) to the same shape. Indexing reads, and gives an
    array of those rows alone; nothing else reads.
    """

    def __init__(
        self, file: StoredFile, rows: Array | None = None, change: Change | None = None
    ) -> None:
        self.file = file
        self.rows = np.arange(file.shape[0], dtype=np.int64) if rows is None else rows
        self.change = change

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows, and the shape of each."""
        return (len(self.rows), *self.file.shape[1:])

    @property
    def ndim(self) -> int:
        """The number of axes, the rows included."""
        return len(self.file.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values."""
        return self.file.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Any) -> Array:
        """The rows at a slice, an array of integers or a Boolean mask; one row for an integer."""
        if isinstance(key, tuple):
            raise IndexError("only whole rows of a stored array can be read")
        rows = self.rows[key]
        read = self.file.read(np.atleast_1d(rows))
        read = read if self.change is None else np.ascontiguousarray(self.change(read))
        row: Array = read[0] if np.ndim(rows) == 0 else read
        return row

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All rows in memory: for parts that were chosen small."""
        return self[:] if dtype is None else self[:].astype(dtype)

    def take(self, positions: Array) -> StoredArray:
        """The rows at `positions` as another view of the same file; nothing is read."""
        return StoredArray(self.file, self.rows[positions], self.change)

    def changed(self, change: Change) -> StoredArray:
        """The same rows with `change` (m, ...) to (m, ...) applied whenever they are read."""
        before = self.change
        both = change if before is None else lambda read: change(before(read))
        return StoredArray(self.file, self.rows, both)
