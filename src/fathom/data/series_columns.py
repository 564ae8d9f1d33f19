"""Which columns of lists are series: decided on all rows that were read, and kept in the schema.

Lists of numbers are a series where they are of uneven length, of several channels, longer than any
vector, or where neighbours go together as measurements one after the other do; a vector has a
column for each number. Lists of whole numbers may be names of things: they are series only where
all of that speaks for it, or somebody says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.ragged import Ragged
from fathom.core.schema import Kind
from fathom.data.formats.nested import LONGEST_VECTOR, add_columns, is_vector, spread
from fathom.data.number_lists import cell_of, end_to_end, parsed
from fathom.data.raw import Raw
from fathom.data.table import Column, Table

SHORTEST = 16  # numbers: shorter lists of equal length are columns
TOGETHER = 0.5  # correlation of neighbours, from which on lists are measurements in a row
MOSTLY = 0.95  # share of cells that must be lists of numbers for the others to be mistakes
SAMPLE = 1_000


def settle(raw: Raw, known: Mapping[str, Kind] | None, *, learned: bool) -> Raw:
    """The data with every column of lists of numbers as a series, or as columns of numbers.

    `known` are the kinds of columns as they were declared or `learned`; other columns are judged,
    but are no series where it was learned. Raises DataError naming the row of a cell that should be
    a series and is none.
    """
    known = known or {}
    columns: dict[str, Any] = {}
    kinds = dict(raw.kinds)
    for name, column in raw.table.columns.items():
        found: dict[str, Any] = {name: column}
        kind = known.get(name, "number" if learned else None)
        if kinds.get(name) != "series":
            numbers = _numbers(raw, name, column, kind)
            if numbers is not None and _is_series(numbers, kind):
                found, kinds[name] = {name: numbers}, "series"
            elif isinstance(column, Ragged):
                found = spread(name, column)
            elif numbers is not None and _fractions(numbers) and is_vector(numbers):
                found = spread(name, numbers)
        add_columns(columns, found, raw.called)
    return replace(raw, table=Table(columns), kinds=kinds)


def _numbers(raw: Raw, name: str, column: Column, kind: Kind | None) -> Ragged | None:
    """The lists of numbers in a column; None where it holds none."""
    if isinstance(column, Ragged):
        return column
    if not isinstance(column, pd.Series):
        return None
    texts = not pd.api.types.is_numeric_dtype(column.dtype)
    present = column[column.notna()] if texts else column[:0]
    likely = texts and all(str(text).lstrip().startswith("[") for text in present[:20])
    if kind != "series" and not (likely and len(present)):
        return None
    if not texts:
        if column.notna().any():
            raise DataError(
                f"Column {name!r} of {raw.called} holds one number in each row, where a series "
                "is wanted: write lists such as [1.5, 2.0]."
            )
        return None
    cells = [None if cell is None else cell_of(cell) for cell in parsed(column)]
    there = column.notna().to_numpy()
    bad = np.array([cell is None for cell in cells]) & there
    if bad.any():
        if kind != "series" and bad.sum() > (1 - MOSTLY) * there.sum():
            return None
        row = int(bad.argmax())
        raise DataError(
            f"{raw.locate(row)} holds {str(column.iloc[row])[:40]!r} in {name!r}, which is no list "
            "of numbers as in other rows: correct it, or leave the cell empty."
        )
    numbers = end_to_end(cells, whole=True)
    if numbers is None and kind == "series":
        raise DataError(
            f"The series in {name!r} of {raw.called} have no values, or unequal numbers of "
            "channels: write [1.5, 2.0], or a list for each channel, in every row."
        )
    return numbers


def _is_series(numbers: Ragged, kind: Kind | None) -> bool:
    if kind is not None:
        return kind == "series"
    lengths = numbers.lengths[numbers.lengths > 0]
    uneven = len(np.unique(lengths)) > 1 or numbers.values.shape[1] > 1
    long = float(np.median(lengths)) >= SHORTEST
    if _fractions(numbers):
        return uneven or int(lengths[0]) > LONGEST_VECTOR or (long and together(numbers) > TOGETHER)
    return long and not _rising(numbers) and together(numbers) > TOGETHER


def _fractions(numbers: Ragged) -> bool:
    return bool((numbers.values % 1 > 0).any())


def _some(numbers: Ragged) -> list[Array]:
    """Rows spread evenly over all, about their mean, gaps as the mean."""
    rows = np.flatnonzero(numbers.lengths > 2)
    found = []
    for row in rows[:: max(1, len(rows) // SAMPLE)]:
        values = numbers.row(int(row)).astype(np.float64)
        if np.isfinite(values).any():
            about = values - np.nanmean(values)
            found.append(np.nan_to_num(about))
    return found


def together(numbers: Ragged) -> float:
    """How far neighbours in lists go together: their correlation about the mean of each list.

    What all lists have at a place in common is taken off first where they are of one length, since
    the numbers of a vector have places of their own, too.
    """
    rows = _some(numbers)
    if not rows:
        return 0.0
    if len(rows) > 1 and len({len(row) for row in rows}) == 1:
        stacked = np.stack(rows)
        rows = list(stacked - stacked.mean(axis=0))
    products = sum(float((row[1:] * row[:-1]).sum()) for row in rows)
    squares = sum(float((row[1:] ** 2).sum() + (row[:-1] ** 2).sum()) / 2 for row in rows)
    return products / squares if squares > 0 else 0.0


def _rising(numbers: Ragged) -> bool:
    """Whether every list rises, as sorted names of things do."""
    return all(bool((np.diff(row, axis=0) > 0).all()) for row in _some(numbers))


def described(column: Ragged) -> str:
    """'series of 3 channels and 7 to 29 steps', in words."""
    lengths = column.lengths[column.lengths > 0]
    if not len(lengths):
        return "series without a value"
    low, high = int(lengths.min()), int(lengths.max())
    channels = column.values.shape[1]
    of = f"{channels} channels and " if channels > 1 else ""
    steps = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    return f"series of {of}{steps} steps"
