"""Lists of numbers: cells of series, or vectors, from whatever they are held in.

A cell is a list of numbers, one for each step, or a list of channels that are such lists. What they
are, a series or a number of columns, is decided when all rows are read (`data.series_columns`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from fathom.core.prediction import Array
from fathom.core.ragged import Ragged

_DECODER = msgspec.json.Decoder()
_PLAIN = {int, float, type(None)}


def numbers_of(values: Sequence[Any], *, whole: bool = False) -> Ragged | None:
    """Lists of numbers (None where a row has none) end to end, rows (steps, channels) float64.

    None where a cell is anything else, where channels are not alike, and, unless `whole`, where no
    number is a fraction: whole ones may be names of things.
    """
    rows = []
    for value in values:
        row = None if value is None else cell_of(value)
        if value is not None and row is None:
            return None
        rows.append(row)
    return end_to_end(rows, whole=whole)


def end_to_end(rows: Sequence[Array | None], *, whole: bool) -> Ragged | None:
    """Rows (steps, channels) as one array; None where they do not fit `numbers_of`."""
    channels = {row.shape[1] for row in rows if row is not None and len(row)}
    if len(channels) != 1:
        return None
    empty = np.empty((0, channels.pop()))
    held = [empty if row is None or not len(row) else row for row in rows]
    if not whole and not any(bool((row % 1 > 0).any()) for row in held):
        return None
    return Ragged.of(held, np.nan, np.float64, empty.shape[1])


def cell_of(value: Any) -> Array | None:
    """One cell as (steps, channels) float64, NaN where a number is missing; None for other cells.

    The axes of an array are those of lists in lists: channels, then steps.
    """
    if isinstance(value, np.ndarray):
        return _of_array(value)
    if not isinstance(value, list | tuple):
        return None
    kinds = set(map(type, value))
    if kinds <= _PLAIN or all(issubclass(kind, np.number) for kind in kinds - _PLAIN):
        return _finite(np.array(value, dtype=np.float64)[:, None])
    if not kinds <= {list, tuple, np.ndarray}:
        return None
    channels = [cell_of(channel) for channel in value]
    columns = [channel for channel in channels if channel is not None and channel.shape[1] == 1]
    if len(columns) < len(channels) or len(set(map(len, columns))) != 1:
        return None
    return np.concatenate(columns, axis=1)


def _of_array(array: Array) -> Array | None:
    number = np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)
    if not number or array.ndim not in (1, 2):
        return cell_of(array.tolist()) if array.dtype == object and array.ndim else None
    return _finite(np.atleast_2d(array.astype(np.float64)).T)


def _finite(values: Array) -> Array:
    return np.where(np.isfinite(values), values, np.nan)


def parsed(texts: pd.Series[Any]) -> list[Any]:
    """The lists that texts such as '[1.5, 2.0]' say; None where missing, the text where no list."""
    return [None if gap else _parsed(text) for text, gap in zip(texts, texts.isna(), strict=True)]


def _parsed(text: Any) -> Any:
    try:
        said = _DECODER.decode(str(text).replace("NaN", "null").replace("nan", "null"))
    except (msgspec.DecodeError, RecursionError):
        return text
    return said if isinstance(said, list) else text
