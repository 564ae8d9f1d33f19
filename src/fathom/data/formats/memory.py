"""Objects in memory: DataFrames and arrays; and the tidying that every table gets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.ragged import Ragged
from fathom.core.schema import Kind
from fathom.data.formats.nested import LISTS, add_columns, list_columns, spread
from fathom.data.number_lists import cell_of, end_to_end, numbers_of
from fathom.data.raw import Raw
from fathom.data.table import Column, Table

PLAIN_NAMES = ("train", "training", "data", "dataset", "table", "all")
CHANNELS = (1, 3, 4)
SERIES = "series"
SLENDER = 8  # times as long as wide: no picture is
_UPRIGHT = (
    "The inputs have the shape {shape}, which read as n × channels × time is series of {most:,} "
    "channels: give X.transpose(0, 2, 1) where the time comes before the channels, or say that it "
    "is right with data.kinds.series=series."
)


def run_name(path: Path) -> str:
    """The name of a run on this file: its stem, or its folder's name for 'train.csv' and such.

    Of a pattern such as part-*.csv what is left without the wildcards.
    """
    stem = re.sub(r"[*?\[\]]+", "", path.name.split(".")[0] or path.name).strip("-_ ")
    if stem.lower() in PLAIN_NAMES or not stem:
        return path.resolve().parent.name.lower() or stem.lower()
    return stem.lower()


def tidy(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    """Bring every column to one of: numbers, Booleans, text (str) or points in time.

    Integers stay integers unless values are missing, Booleans with missing values become pandas'
    'boolean', categories and mixed columns become text, lists one text each or a column for each
    number (see `formats.nested`). `what` names the table in errors. Raises DataError for columns
    named twice and for columns that hold other objects.
    """
    columns: dict[str, Any] = {}
    for name, column in tidy_columns(frame, what).items():
        found = spread(name, column) if isinstance(column, Ragged) else {name: column}
        add_columns(columns, found, what)
    return pd.DataFrame(columns, index=range(len(frame)))


def tidy_columns(frame: pd.DataFrame, what: str) -> dict[str, Any]:
    """The same as columns of a table, in which lists of numbers are still end to end."""
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{what} has more than one column named {', '.join(map(repr, twice))}: "
            "give every column a name of its own."
        )
    columns: dict[str, Any] = {}
    for i, name in enumerate(names):
        column = frame.iloc[:, i].reset_index(drop=True)
        found = _tidy_lists(column, name, what) or {name: _tidy_column(column, name, what)}
        add_columns(columns, found, what)
    return columns


def _tidy_lists(column: Any, name: str, what: str) -> dict[str, Any]:
    """Columns for a column of lists; none for any other."""
    if not pd.api.types.is_object_dtype(column.dtype):
        return {}
    nested = (*LISTS, dict, np.ndarray, pd.Series)
    if not any(issubclass(kind, nested) for kind in set(map(type, column))):
        return {}
    missing = column.isna()
    cells = [None if gap else value for value, gap in zip(column, missing, strict=True)]
    cells = [cell.to_numpy() if isinstance(cell, pd.Series) else cell for cell in cells]
    if all(isinstance(cell, np.ndarray) or cell is None for cell in cells):
        numbers = numbers_of(cells)
        if numbers is not None and numbers.lengths.max() > 1:
            return {name: numbers}
    values = [v.tolist() if isinstance(v, np.ndarray) and v.ndim == 1 else v for v in cells]
    other = [isinstance(value, dict | np.ndarray) for value in values]
    if any(other):
        raise DataError(
            f"Column {name!r} of {what} holds nested values in row {other.index(True) + 1}: "
            "spread them over columns of their own."
        )
    return list_columns(name, values)


def _tidy_column(column: Any, name: str, what: str) -> Any:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        column = column.astype(object if column.isna().any() else dtype.categories.dtype)
        dtype = column.dtype
    if pd.api.types.is_complex_dtype(dtype):
        raise DataError(f"Column {name!r} of {what} holds complex numbers: split it in two.")
    if pd.api.types.is_object_dtype(dtype):
        return _tidy_objects(column, name, what)
    return _tidy_typed(column)


def _tidy_typed(column: Any) -> Any:
    types = pd.api.types
    if types.is_bool_dtype(column.dtype):
        return column.astype("boolean") if column.isna().any() else column.astype(bool)
    if types.is_numeric_dtype(column.dtype):
        return _tidy_numbers(column)
    if types.is_datetime64_any_dtype(column.dtype):
        return column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz else column
    if types.is_timedelta64_dtype(column.dtype):
        return column.dt.total_seconds()
    return column.astype("str")


def _tidy_numbers(column: Any) -> Any:
    whole = pd.api.types.is_integer_dtype(column.dtype)
    if whole and not column.isna().any():
        unsigned = pd.api.types.is_unsigned_integer_dtype(column.dtype)
        return column.astype("uint64" if unsigned and column.max() > 2**63 - 1 else "int64")
    return column.astype("float64")


def _whole_where_possible(column: Any, kind: str) -> Any:
    if kind == "integer":
        try:
            return _tidy_numbers(column.astype("Int64"))
        except OverflowError:  # beyond 64 bits
            pass
    values = column.astype("float64")
    whole = values.notna().all() and (values % 1 == 0).all() and values.abs().max() < 2**53
    return values.astype("int64") if whole else values


def _tidy_objects(column: Any, name: str, what: str) -> Any:
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "boolean":
        return _tidy_typed(column.astype("boolean"))
    if kind in ("integer", "floating", "mixed-integer-float", "decimal"):
        return _whole_where_possible(column, kind)
    if kind in ("datetime", "datetime64", "date"):
        return _tidy_typed(pd.to_datetime(column, errors="coerce"))
    if kind == "bytes":  # encoded pictures
        return column
    return column.map(str, na_action="ignore").astype("str")


def recognises(source: object) -> bool:
    """Whether the object is a DataFrame, an array or a list of arrays, or inputs and targets."""
    pair = isinstance(source, tuple) and len(source) == 2
    return isinstance(source, pd.DataFrame | np.ndarray) or pair or are_arrays(source)


def are_arrays(source: object) -> bool:
    """Whether the object is a list of arrays."""
    return isinstance(source, list) and bool(source) and all(map(_is_array, source))


def _is_array(value: object) -> bool:
    return isinstance(value, np.ndarray)


def read_object(source: Any, *, series: bool | None = None) -> Raw:
    """Read a DataFrame, an array or a list of arrays, or a pair (inputs, targets).

    Arrays are series, or are not, where `series` says so. By None those of three axes are where
    `is_series` says so, and lists of arrays where these are of uneven length.
    """
    inputs, targets = source if isinstance(source, tuple) else (source, None)
    columns, kinds = _inputs(inputs, series)
    target: str | tuple[str, ...] | None = None
    if targets is not None:
        frame = _targets(targets, len(next(iter(columns.values()), ())))
        names = tuple(str(name) for name in frame.columns)
        if twice := [name for name in names if name in columns]:
            raise DataError(f"The inputs have a column {twice[0]!r}, as the targets are called.")
        columns = {**columns, **{name: frame[name] for name in names}}
        target = names[0] if len(names) == 1 else names
    table = Table(columns)
    if not len(table):
        raise DataError("The data has no rows.")
    digest = f"sha256:{table_digest(table)}"
    return Raw("data", "", table, kinds=kinds, target=target, digest=digest)


def table_digest(table: Table) -> str:
    """SHA-256 over names, types and values, hexadecimal."""
    state = sha256()
    for name, column in table.columns.items():
        state.update(f"{name}\0{column.dtype}\0{column.shape}\0".encode())
        if isinstance(column, Ragged):
            state.update(column.lengths.tobytes())
            for row in range(len(column)):
                state.update(np.ascontiguousarray(column.row(row)).data)
        elif isinstance(column, pd.Series):
            state.update(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
        else:
            state.update(np.ascontiguousarray(column).data)
    return state.hexdigest()


def _inputs(inputs: Any, series: bool | None) -> tuple[Mapping[str, Column], Mapping[str, Kind]]:
    if isinstance(inputs, pd.DataFrame):
        return tidy_columns(inputs, "The DataFrame"), {}
    uneven = _uneven(inputs)
    if uneven is not None:
        return {SERIES: uneven}, {SERIES: "series"}
    array = np.asarray(inputs)
    if series and array.ndim == 2 and np.issubdtype(array.dtype, np.number):
        array = array[:, None]  # of one channel
    if array.ndim == 3 and (is_series(array) if series is None else series):
        return {SERIES: series_of(array)}, {SERIES: "series"}
    if array.ndim in (3, 4):
        return {"image": pictures(array)}, {"image": "image"}
    if array.ndim != 2:
        raise DataError(
            f"The inputs have the shape {array.shape}: give rows × columns, pictures as "
            "n × height × width or n × height × width × channels, or series as "
            "n × channels × time."
        )
    frame = pd.DataFrame(array, columns=[f"x{i}" for i in range(array.shape[1])])
    return Table.from_frame(tidy(frame, "The array")).columns, {}


def _targets(targets: Any, rows: int) -> pd.DataFrame:
    """One column of targets, or a yes/no column for each of several labels."""
    if isinstance(targets, pd.DataFrame):
        frame = targets
    else:
        name = "target" if getattr(targets, "name", None) is None else str(targets.name)
        frame = _frame(targets, name)
    if len(frame) != rows or not len(frame.columns):
        raise DataError(
            f"The targets have the shape {frame.shape}, but there are {rows} rows of inputs: "
            "give one target for each row, or a column of 0 and 1 for each label."
        )
    return tidy(frame, "The targets")


def _frame(targets: Any, name: str) -> pd.DataFrame:
    if isinstance(targets, pd.Series):
        return pd.DataFrame({name: targets})
    if _are_sets(targets):
        return pd.DataFrame({name: pd.Series(list(targets), dtype=object)})
    values = np.asarray(targets)
    if values.ndim == 2 and values.shape[1] > 1:
        return pd.DataFrame(values, columns=[f"label{k}" for k in range(values.shape[1])])
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise DataError(
            f"The targets have the shape {values.shape}: give one target for each row, or a column "
            "of 0 and 1 for each label."
        )
    return pd.DataFrame({name: values})


def _are_sets(targets: Any) -> bool:
    """Whether targets are lists of label sets; rows of 0 and 1, all of one length, are a matrix."""
    if not isinstance(targets, list | tuple) or not any(isinstance(v, LISTS) for v in targets):
        return False
    lengths = {len(v) if isinstance(v, list | tuple) else -1 for v in targets}
    if len(lengths) > 1 or lengths <= {-1, 0, 1}:
        return True
    return not all(value in (0, 1) for row in targets for value in row)


def _uneven(inputs: Any) -> Ragged | None:
    """Series of a list of arrays, (time,) or (channels, time), of uneven length; else None."""
    if not are_arrays(inputs):
        return None
    if len({item.shape for item in inputs}) == 1:
        return None
    cells = [cell_of(item) for item in inputs]
    for row, cell in enumerate(cells):
        if cell is None:
            raise DataError(
                f"Row {row + 1} of the inputs has the shape {inputs[row].shape} and type "
                f"{inputs[row].dtype}: give each series as numbers, (time,) or channels × time."
            )
    found = end_to_end(cells, whole=True)
    if found is None:
        raise DataError("The series have unequal numbers of channels: give each channels × time.")
    return found


def is_series(array: Array) -> bool:
    """Whether an array of three axes holds series (n, channels, time) and no pictures.

    Where it is far longer than wide, whatever its values; and where it is no square and some values
    are no pixels because they lie below zero or are missing. All else are pictures, n × height ×
    width. Raises DataError for series that are far wider than long: their axes are another order.
    """
    if not (np.issubdtype(array.dtype, np.number) and array.size) or np.iscomplexobj(array):
        return False
    if array.shape[2] >= SLENDER * array.shape[1]:
        return True
    if array.shape[1] >= SLENDER * array.shape[2]:
        raise DataError(_UPRIGHT.format(shape=array.shape, most=array.shape[1]))
    return array.shape[1] != array.shape[2] and not bool((array >= 0).all())


def series_of(array: Array) -> Ragged:
    """Series (n, channels, time) as rows (steps, channels); NaN at an end is none of its steps."""
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise DataError(f"Series of the type {array.dtype} hold no numbers: convert them first.")
    kept = array.dtype if np.issubdtype(array.dtype, np.floating) else np.float64
    values = array.transpose(0, 2, 1).astype(kept)
    values[~np.isfinite(values)] = np.nan
    there = ~np.isnan(values).all(axis=2)
    lengths = np.where(there.any(axis=1), there.shape[1] - there[:, ::-1].argmax(axis=1), 0)
    count, steps, channels = values.shape
    starts = np.arange(count, dtype=np.int64) * steps
    return Ragged(values.reshape(-1, channels), starts, lengths.astype(np.int64), np.nan)


def pictures(array: Array) -> Array:
    """Pictures as uint8, (n, H, W) or (n, H, W, C) with C 1, 3 or 4.

    Channels may come first or last. What a pixel means follows from the type alone, so that a dark
    picture means the same when it is predicted as when it was learned: integers are 0..255, floats
    and Booleans 0..1. Raises DataError for other shapes and values.
    """
    if array.ndim == 4 and array.shape[3] not in CHANNELS and array.shape[1] in CHANNELS:
        array = array.transpose(0, 2, 3, 1)
    if array.ndim == 4 and array.shape[3] not in CHANNELS:
        raise DataError(
            f"Pictures of the shape {array.shape} have no axis of 1, 3 or 4 channels: give "
            "pictures as n × height × width × channels, or series as n × channels × time."
        )
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == bool) or not array.size:
        raise DataError(
            f"Pictures of the type {array.dtype} and shape {array.shape} hold no pixels: give "
            "numbers from 0 to 255."
        )
    low, high = float(array.min()), float(array.max())
    most = 255 if np.issubdtype(array.dtype, np.integer) else 1
    if not (low >= 0 and high <= most):
        raise DataError(
            f"Pixels of the type {array.dtype} must lie between 0 and {most}; these lie between "
            f"{low:g} and {high:g}: give integers from 0 to 255, or floats from 0 to 1; or say "
            "that arrays n × channels × time are series with --set data.kinds.series=series."
        )
    return np.ascontiguousarray(np.rint(array * (255.0 / most)).astype(np.uint8))
