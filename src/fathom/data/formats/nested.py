"""Nested values: objects in objects become columns with dotted names, lists become one cell.

A list stays one value of its row, written as a JSON list in its own order, '["red", "blue"]',
whether it comes from a file or lies in memory. Lists of numbers of which some are fractions stay
numbers, end to end, until all is read: then they are series, or a column for each number (see
`data.series_columns`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.lists import json_list
from fathom.core.ragged import Ragged
from fathom.core.tree import leaves
from fathom.data.number_lists import numbers_of

MAXIMUM_COLUMNS = 20_000
LONGEST_VECTOR = 4096
LISTS = (list, tuple, set, frozenset)


def flatten(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """{'a': {'b': 1}} as {'a.b': 1}. Raises ValueError with a name that is there twice."""
    if not any(isinstance(value, dict) for value in record.values()):
        return record
    flat: dict[str, Any] = {}
    for name, value in leaves(record):
        if value == {}:  # an object that says nothing
            continue
        if name in flat:
            raise ValueError(name)
        flat[name] = value
    return flat


def list_columns(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """A column of lists (None where missing): numbers end to end, or JSON texts.

    A value alone stands for a list of it.
    """
    values = [v if v is None or isinstance(v, (*LISTS, np.ndarray)) else [v] for v in values]
    numbers = numbers_of(values)
    if numbers is not None and numbers.lengths.max() > 1:
        return {name: numbers}
    texts = [None if v is None else json_list(v) for v in values]
    return {name: pd.Series(texts, dtype="str")}


def is_vector(numbers: Ragged) -> bool:
    """Whether lists of numbers can be a column each: not too long, and as many in every row."""
    lengths = np.unique(numbers.lengths[numbers.lengths > 0])
    return len(lengths) == 1 and lengths[0] <= LONGEST_VECTOR and numbers.values.shape[1] == 1


def spread(name: str, numbers: Ragged) -> dict[str, Any]:
    """Lists of numbers that are no series: a column for each number, else one of JSON texts."""
    if not is_vector(numbers):
        rows = [numbers.row(i).T.tolist() for i in range(len(numbers))]
        rows = [row[0] if len(row) == 1 else row for row in rows]
        texts = [json_list(row) if row else None for row in rows]
        return {name: pd.Series(texts, dtype="str")}
    matrix = numbers[:][:, :, 0]
    return {f"{name}.{i}": pd.Series(matrix[:, i].copy()) for i in range(matrix.shape[1])}


def add_columns(columns: dict[str, Any], found: Mapping[str, Any], what: str) -> None:
    """Add columns to others. Raises DataError where the parts of a list bear a name of theirs."""
    if twice := sorted(columns.keys() & found.keys()):
        raise DataError(
            f"{what} has more than one column named {twice[0]!r}, since lists become columns: "
            "rename one."
        )
    columns.update(found)


def check_width(columns: int, what: str) -> None:
    """Raise DataError where names that differ from row to row have become columns."""
    if columns > MAXIMUM_COLUMNS:
        raise DataError(
            f"{what} has more than {MAXIMUM_COLUMNS:,} different names of fields: give its records "
            "the same names, and put what differs into values."
        )
