"""What scikit-learn's users hand in (arrays, DataFrames, pictures) as a table of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import validate_data

from fathom.core.prediction import Array
from fathom.core.schema import Kind
from fathom.data.formats.memory import pictures, tidy
from fathom.data.table import Table

PICTURE = "image"
TARGET = "target"


def table_of(estimator: Any, inputs: Any, *, reset: bool) -> tuple[Table, dict[str, Kind]]:
    """Inputs of n rows as a table, and the kinds that follow from how they were handed in.

    Numbers are numbers, whatever their values look like: they are never taken for codes or names
    of rows. All else in a DataFrame (texts, categories, Booleans, times) is inferred from all
    rows, as `fathom.fit` does it. `reset` is for fitting: it sets `n_features_in_` and
    `feature_names_in_`; without it they are checked. Raises ValueError and TypeError as
    scikit-learn's own estimators do.
    """
    _refuse_equal_names(inputs)
    if isinstance(inputs, np.ndarray) and inputs.ndim in (3, 4):
        return _pictures(estimator, inputs, reset=reset)
    if _is_mixed(inputs):
        return _mixed(estimator, inputs, reset=reset)
    array = validate_data(
        estimator, inputs, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan"
    )
    frame = pd.DataFrame(array, columns=_names(estimator))
    return Table.from_frame(frame), _numbers(frame)


def validated(estimator: Any, inputs: Any, targets: Any, **options: Any) -> tuple[Any, Array]:
    """Inputs that are no pictures and no mixed DataFrame are checked together with the targets.

    scikit-learn has sentences of its own for rows that are too few or of unequal number.
    """
    _refuse_equal_names(inputs)
    if _is_pictures(inputs) or _is_mixed(inputs):
        from sklearn.utils import check_array, check_consistent_length, column_or_1d

        targets = column_or_1d(targets, warn=True)
        check_array(targets, ensure_2d=False, dtype=None)
        check_consistent_length(inputs, targets)
        return inputs, np.asarray(targets)
    _, checked = validate_data(
        estimator, inputs, targets, dtype=np.float64, ensure_all_finite="allow-nan", **options
    )
    return inputs, checked


def target_name(table: Table) -> str:
    """A name for the target that no column has."""
    name = TARGET
    while name in table:
        name += "_"
    return name


def _refuse_equal_names(inputs: Any) -> None:
    if isinstance(inputs, pd.DataFrame) and not inputs.columns.is_unique:
        twice = ", ".join(repr(name) for name in inputs.columns[inputs.columns.duplicated()])
        raise ValueError(
            f"X has more than one column named {twice}: give every column a name of its own."
        )


def _is_pictures(inputs: Any) -> bool:
    return isinstance(inputs, np.ndarray) and inputs.ndim in (3, 4)


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


def _mixed(estimator: Any, inputs: Any, *, reset: bool) -> tuple[Table, dict[str, Kind]]:
    if not isinstance(inputs, pd.DataFrame):
        frame = pd.DataFrame(inputs).infer_objects()
        frame.columns = [f"x{i}" for i in range(frame.shape[1])]
    else:
        frame = inputs
    validate_data(estimator, inputs, reset=reset, skip_check_array=True)
    if not len(frame):
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    frame = tidy(frame, "The DataFrame")
    numeric = frame.select_dtypes("number")
    if np.isinf(numeric.to_numpy(dtype=np.float64, na_value=np.nan)).any():
        raise ValueError("Input X contains infinity or a value too large for dtype('float64').")
    return Table.from_frame(frame), _numbers(numeric)


def _pictures(estimator: Any, array: Array, *, reset: bool) -> tuple[Table, dict[str, Kind]]:
    shape = array.shape[1:]
    if reset:
        estimator.n_features_in_ = int(np.prod(shape))
        if hasattr(estimator, "feature_names_in_"):
            del estimator.feature_names_in_
    elif int(np.prod(shape)) != estimator.n_features_in_:
        raise ValueError(
            f"X has {int(np.prod(shape))} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
    return Table({PICTURE: pictures(array)}), {PICTURE: "image"}


def _names(estimator: Any) -> list[str]:
    names = getattr(estimator, "feature_names_in_", None)
    count = estimator.n_features_in_
    return [f"x{i}" for i in range(count)] if names is None else [str(name) for name in names]


def _numbers(frame: pd.DataFrame) -> dict[str, Kind]:
    """Every number column with a value is of the kind number."""
    return {str(name): "number" for name in frame.columns if frame[name].notna().any()}
