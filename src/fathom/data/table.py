"""Table: named columns of equal length, scalars and arrays side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.ragged import Ragged

Column = pd.Series | np.ndarray | Ragged
"""A Series of scalars (or of picture paths), an array whose first axis are the rows, or series:
a Ragged array (length, channels) of floats, NaN where a value is missing.
"""


@dataclass(frozen=True)
class Table:
    """n rows of named columns, in order. Series carry the index 0..n-1."""

    columns: Mapping[str, Column]

    def __post_init__(self) -> None:
        lengths = {len(column) for column in self.columns.values()}
        if len(lengths) > 1:
            raise ValueError(f"columns of unequal length: {sorted(lengths)}")

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> Table:
        """A table of a frame's columns; the frame's index is dropped."""
        frame = frame.reset_index(drop=True)
        return cls({str(name): frame[name] for name in frame.columns})

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def take(self, rows: Any) -> Table:
        """The rows at `rows` (integer positions or a Boolean mask over n), in that order."""
        positions = np.asarray(rows)
        if positions.dtype == bool:
            positions = np.flatnonzero(positions)
        positions = positions.astype(np.int64)
        return Table({name: _take(column, positions) for name, column in self.columns.items()})

    def drop(self, names: Iterable[str]) -> Table:
        """The table without the columns `names`; those that it lacks are passed over."""
        left_out = set(names)
        return Table({name: c for name, c in self.columns.items() if name not in left_out})

    def replace(self, name: str, column: Column) -> Table:
        """The table with one column put in the place of `name`, or added at the end."""
        return Table({**self.columns, name: column})

    def frame(self) -> pd.DataFrame:
        """The scalar columns (Series) as a DataFrame; array columns are left out."""
        scalars = {n: c for n, c in self.columns.items() if isinstance(c, pd.Series)}
        return pd.DataFrame(scalars, index=pd.RangeIndex(len(self)))


def _take(column: Column, positions: np.ndarray[Any, Any]) -> Column:
    if isinstance(column, pd.Series):
        return column.iloc[positions].reset_index(drop=True)
    if isinstance(column, Ragged):
        return column.take(positions)
    taken: np.ndarray = column[positions]
    return taken
