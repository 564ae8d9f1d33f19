"""What scikit-learn's users hand in (arrays, lists, DataFrames) as data of ours, and its checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import validate_data

from fathom.core.prediction import Array
from fathom.core.ragged import Ragged
from fathom.core.schema import Kind, Schema
from fathom.data.formats.memory import SERIES, are_arrays
from fathom.data.number_lists import cell_of
from fathom.data.raw import Raw
from fathom.data.read import read, read_rows
from fathom.data.table import Table

TARGET = "target"


def read_inputs(
    estimator: Any, inputs: Any, kinds: Mapping[str, Kind]
) -> tuple[Raw, dict[str, Kind]]:
    """Inputs of n rows to learn from, and the kinds that follow from how they were handed in.

    Numbers are numbers, whatever their values look like: they are never taken for codes or names
    of rows. All else (texts, categories, Booleans, times, lists, paths, arrays of more axes) is
    inferred from all rows, as `fathom.fit` does it, where `kinds` do not say it. It sets
    `n_features_in_` and `feature_names_in_`. Raises ValueError and TypeError as scikit-learn's own
    estimators do, DataError as `fathom.fit` does.
    """
    source = _checked(estimator, inputs, asked=_is_series(kinds), reset=True)
    raw = read(source, kinds=kinds)
    _check_values(estimator, raw, source, reset=True)
    return raw, _numbers(raw.table)


def read_new_inputs(estimator: Any, inputs: Any, schema: Schema) -> Raw:
    """Inputs of n rows to predict, read as those that were learned from; the same are raised."""
    known = {field.name: field.kind for field in schema.inputs}
    source = _checked(estimator, inputs, asked=_is_series(known), reset=False)
    raw = read_rows(source, schema)
    _check_values(estimator, raw, source, reset=False)
    return raw


def validated(
    estimator: Any, inputs: Any, targets: Any, kinds: Mapping[str, Kind], **options: Any
) -> Array:
    """The targets; inputs that are numbers in rows and columns are checked together with them.

    scikit-learn has sentences of its own for rows that are too few or of unequal number.
    """
    _refuse_equal_names(inputs)
    inputs = _arranged(inputs)
    if are_many(inputs, asked=_is_series(kinds)) or _is_mixed(inputs):
        targets = column_or_1d(targets, warn=True)
        check_array(targets, ensure_2d=False, dtype=None)
        check_consistent_length(inputs, targets)
        return np.asarray(targets)
    checked: Array = validate_data(
        estimator, inputs, targets, dtype=np.float64, ensure_all_finite="allow-nan", **options
    )[1]
    return checked


def target_name(table: Table) -> str:
    """A name for the target that no column has."""
    name = TARGET
    while name in table:
        name += "_"
    return name


def are_many(inputs: Any, *, asked: bool) -> bool:
    """Whether each row is a picture or a series by itself; `asked`: whether it is a series."""
    if are_arrays(inputs):
        return asked or inputs[0].ndim > 1 or len({len(row) for row in inputs}) > 1
    array = isinstance(inputs, np.ndarray)
    return array and (inputs.ndim in (3, 4) or (asked and inputs.ndim == 2))


def _is_series(kinds: Mapping[str, Kind]) -> bool:
    """Whether arrays are known to be series."""
    return kinds.get(SERIES) == "series"


def _arranged(inputs: Any) -> Any:
    """Texts by themselves as an array of one column, lists of series as arrays; others as are."""
    if _are_texts(inputs):
        return np.asarray(inputs, dtype=object)[:, None]
    if not isinstance(inputs, list | tuple):
        return inputs
    if are_arrays(list(inputs)):
        return list(inputs)
    uneven = all(isinstance(row, list) for row in inputs) and len(set(map(len, inputs))) > 1
    cells = [cell_of(row) for row in inputs] if uneven else []
    series = [cell.T for cell in cells if cell is not None]
    return series if series and len(series) == len(inputs) else inputs


def _are_texts(inputs: Any) -> bool:
    """Whether each row is one text, or none."""
    if isinstance(inputs, list | tuple):
        return {str} <= set(map(type, inputs)) <= {str, type(None)}
    if isinstance(inputs, pd.Series):
        return not pd.api.types.is_numeric_dtype(inputs.dtype)
    return isinstance(inputs, np.ndarray) and inputs.ndim == 1 and inputs.dtype.kind in "OUS"


def _checked(estimator: Any, inputs: Any, *, asked: bool, reset: bool) -> Any:
    """What can be read: arrays of pictures or series, or a DataFrame of columns."""
    _refuse_equal_names(inputs)
    inputs = _arranged(inputs)
    if are_many(inputs, asked=asked):
        return inputs
    if not _is_mixed(inputs):
        array = validate_data(
            estimator, inputs, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan"
        )
        return pd.DataFrame(array, columns=_names(estimator))
    validate_data(estimator, inputs, reset=reset, skip_check_array=True)
    if not len(inputs):
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    if isinstance(inputs, pd.DataFrame):
        return inputs
    frame = pd.DataFrame(inputs).infer_objects()
    return frame.set_axis([f"x{i}" for i in range(frame.shape[1])], axis=1)


def _refuse_equal_names(inputs: Any) -> None:
    if isinstance(inputs, pd.DataFrame) and not inputs.columns.is_unique:
        twice = ", ".join(repr(name) for name in inputs.columns[inputs.columns.duplicated()])
        raise ValueError(
            f"X has more than one column named {twice}: give every column a name of its own."
        )


def _is_mixed(inputs: Any) -> bool:
    """Whether there is a column that is no number: a DataFrame's, or texts in an object array."""
    if isinstance(inputs, pd.DataFrame):
        return not all(pd.api.types.is_any_real_numeric_dtype(t) for t in inputs.dtypes)
    array = inputs if isinstance(inputs, np.ndarray) else None
    if array is None or array.ndim != 2 or array.dtype.kind not in "OUS":
        return False
    return not _all_numbers(array)


def _all_numbers(array: Array) -> bool:
    """Whether every cell can be read as a number. Raises TypeError for what no cell can be."""
    try:
        array.astype(np.float64)
    except ValueError:
        return False
    return True


def _check_values(estimator: Any, raw: Raw, source: Any, *, reset: bool) -> None:
    """Numbers of columns are finite; of pictures and series there are as many as were learned."""
    if isinstance(source, pd.DataFrame):
        numeric = raw.table.frame().select_dtypes("number")
        if np.isinf(numeric.to_numpy(dtype=np.float64, na_value=np.nan)).any():
            raise ValueError("Input X contains infinity or a value too large for dtype('float64').")
        return
    count = _width(raw.table)
    if reset:
        estimator.n_features_in_ = count
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    elif count != estimator.n_features_in_:
        raise ValueError(
            f"X has {count} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )


def _width(table: Table) -> int:
    """The channels of series, the pixels of pictures."""
    column = table[table.names[0]]
    shape = column.values.shape if isinstance(column, Ragged) else column.shape
    return int(np.prod(shape[1:]))


def _names(estimator: Any) -> list[str]:
    names = getattr(estimator, "feature_names_in_", None)
    count = estimator.n_features_in_
    return [f"x{i}" for i in range(count)] if names is None else [str(name) for name in names]


def _numbers(table: Table) -> dict[str, Kind]:
    """Every number column with a value is of the kind number."""
    numeric = table.frame().select_dtypes("number")
    return {str(name): "number" for name in numeric.columns if numeric[name].notna().any()}
