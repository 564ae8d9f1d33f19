"""Raw: a data set as it was read, before anything is inferred of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fathom.core.schema import DecimalSign, Kind, SeriesReading
from fathom.data.table import Table

Signs = Mapping[str, DecimalSign]
"""The decimal sign in which the numbers of columns are written, where that is known."""


@dataclass(frozen=True)
class Problem:
    """A row or file that could not be used: `where` names it for people, `reason` says why."""

    where: str
    reason: str


def row_number(row: int) -> str:
    """Name a row that comes from no file; people count from 1."""
    return f"row {row + 1}"


@dataclass(frozen=True)
class Raw:
    """All rows that were read, given splits concatenated.

    `name` is what a run is called by default; `source` the path or name as the user gave it, empty
    for objects in memory. `given_split` (n,) holds 'train', 'validation' or 'test' for each row, or
    is None where the data gives no split. `kinds` and `target` are what the format itself declares;
    several targets are yes/no columns; `target_note` says in words how one was guessed, or what
    would have told it. `problems` lists what could not be read; `digest` is the SHA-256 of the
    content, 'sha256:…'; `where` names a row for people; `base` is the folder in which the relative
    paths of a row are looked for, where that is not the folder of `source`;
    `signs` are the decimal signs of columns that were numbers written as text; `looked_at` are the
    picture columns whose files the reader opened, so that `digest` covers what is in them;
    `series_reading` says how a long table was folded, where it was, and `series_note` what became
    of its rows in words.
    """

    name: str
    source: str
    table: Table
    given_split: np.ndarray[Any, Any] | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    target: str | tuple[str, ...] | None = None
    target_note: str = ""
    problems: tuple[Problem, ...] = ()
    digest: str = ""
    where: Callable[[int], str] = row_number
    base: Callable[[int], Path] | None = None
    signs: Signs = field(default_factory=dict)
    looked_at: frozenset[str] = frozenset()
    series_reading: SeriesReading | None = None
    series_note: str = ""

    def __len__(self) -> int:
        return len(self.table)

    @property
    def called(self) -> str:
        """What the data is called at the start of a sentence: its path as given, or 'The data'."""
        return self.source or "The data"

    def locate(self, row: int) -> str:
        """Name row `row` of the table for people: 'reviews.csv line 17', 'train/cat/7.png'."""
        return self.where(int(row))

    def folder(self, row: int) -> Path:
        """The folder in which relative paths in row `row` are looked for: that of the table, or the
        working folder for objects in memory.
        """
        if self.base is not None:
            return self.base(int(row))
        path = Path(self.source).expanduser()
        return path if not self.source or path.is_dir() else path.parent

    def take(self, rows: Any) -> Raw:
        """The rows at `rows` (integer positions or a Boolean mask), each still located rightly."""
        positions = np.asarray(rows)
        if positions.dtype == bool:
            positions = np.flatnonzero(positions)
        before, base = self.where, self.base
        given = None if self.given_split is None else self.given_split[positions]
        return replace(
            self,
            table=self.table.take(positions),
            given_split=given,
            where=lambda row: before(int(positions[row])),
            base=None if base is None else lambda row: base(int(positions[row])),
        )
