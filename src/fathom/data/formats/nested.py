"""Nested values: objects in objects become columns with dotted names, lists become one cell.

A list stays one value of its row, written as a JSON list in its own order, '["red", "blue"]',
whether it comes from a file or lies in memory. Lists of as many fractional numbers in every row are
a vector, and get a column for each number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.lists import json_list
from fathom.core.tree import leaves

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
    """Columns for lists (None where missing): one of JSON texts, or one for each number.

    A value alone stands for a list of it.
    """
    values = [v if v is None or isinstance(v, LISTS) else [v] for v in values]
    lengths = {len(value) for value in values if value is not None}
    if len(lengths) == 1 and 1 < next(iter(lengths)) <= LONGEST_VECTOR and _fractional(values):
        empty = [None] * next(iter(lengths))
        matrix = np.array([empty if v is None else v for v in values], dtype=np.float64)
        return {f"{name}.{i}": pd.Series(matrix[:, i].copy()) for i in range(matrix.shape[1])}
    texts = [None if v is None else json_list(v) for v in values]
    return {name: pd.Series(texts, dtype="str")}


def _fractional(values: Sequence[Any]) -> bool:
    """Whether all is numbers, and some are fractions: whole ones may be names of things."""
    fraction = False
    for value in values:
        if isinstance(value, set | frozenset):
            return False
        for item in value or ():
            if not isinstance(item, int | float | None) or isinstance(item, bool):
                return False
            fraction = fraction or (isinstance(item, float) and not item.is_integer())
    return fraction


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
