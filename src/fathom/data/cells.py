"""Cells: one reading of a raw scalar column as texts, as numbers or as times.

Inference, statistics, encoding and auditing all read columns through this module, so that a value
means the same at training and at serving: the integer 1, the float 1.0 (a column with gaps), the
text "1" of a request and " 1 " of a file are one value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.prediction import Array

MISSING = frozenset({"", "?", "na", "n/a", "#n/a", "nan", "<na>", "nat", "null", "none"})
"""Texts that stand for a missing value, in lower case, whatever they were read from."""

LARGEST = 1e36
"""No number is taken as farther from zero: its square must fit float64, its range float32."""

ISO = "ISO8601"
UNIX = "unix seconds"
_DAYS = (
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d-%b-%Y",
    "%d-%b-%y",
)
LAYOUTS = (ISO, *(day + clock for day in _DAYS for clock in ("", " %H:%M", " %H:%M:%S")))
"""Ways to write a time, in the order in which they are tried."""


def text_of(value: object) -> str | None:
    """One value as text, None where missing: 1, 1.0, "1" and " 1 " are all "1"."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, float | np.floating):
        return _text_of_float(float(value))
    text = str(value).strip()  # of a Boolean: 'True' or 'False'
    lower = text.lower()
    if lower in MISSING:
        return None
    if lower in ("true", "false"):
        return lower.capitalize()
    whole = text[:-2] if text.endswith(".0") else ""
    return whole if whole.lstrip("-").isdigit() else text


def _text_of_float(value: float) -> str | None:
    if not np.isfinite(value):
        return None
    return str(int(value)) if value.is_integer() else repr(value)


def codes_and_texts(column: pd.Series[Any]) -> tuple[Array, Array]:
    """Codes (n,) int64 into the distinct texts (k,) object; a code of -1 is a missing value."""
    raw_codes, values = pd.factorize(column, use_na_sentinel=True)
    texts = np.array([text_of(v) for v in values], dtype=object)
    codes_of_texts, distinct = pd.factorize(texts, use_na_sentinel=True)
    lookup = np.append(codes_of_texts, -1).astype(np.int64)  # the last entry serves the code -1
    return lookup[raw_codes], np.asarray(distinct, dtype=object)


def texts(column: pd.Series[Any]) -> Array:
    """The column as texts (n,) object, None where missing."""
    codes, distinct = codes_and_texts(column)
    return np.append(distinct, np.array([None], dtype=object))[codes]


def numbers(column: pd.Series[Any]) -> Array:
    """The column as float64 (n,): NaN where a value is missing, infinite or no number."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return seconds(column, None)
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = np.array(column.to_numpy(dtype=np.float64, na_value=np.nan))
    else:
        values = by_distinct(column, parse_numbers)
    return bounded(values)


def bounded(values: Array) -> Array:
    """Numbers that can be computed with: infinite ones are missing, huge ones are ±1e36."""
    clipped = np.clip(values, -LARGEST, LARGEST)
    return np.where(np.isfinite(values), clipped, np.nan)


def seconds(column: pd.Series[Any], layout: str | None) -> Array:
    """Times as seconds since 1970 UTC, float64 (n,): NaN where missing or of another layout."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return _since_1970(pd.to_datetime(column, utc=True))
    if layout == UNIX:
        return numbers(column)
    return by_distinct(column, lambda distinct: parse_times(distinct, layout or ISO))


def parse_times(distinct: Array, layout: str) -> Array:
    """Texts (k,) of one layout as seconds since 1970, NaN where they do not fit it."""
    times = pd.to_datetime(pd.Series(distinct), format=layout, errors="coerce", utc=True)
    return _since_1970(times)


def by_distinct(column: pd.Series[Any], parse: Callable[[Array], Array]) -> Array:
    """`parse` applied to the distinct texts alone and spread over the rows; NaN where missing."""
    codes, distinct = codes_and_texts(column)
    return np.append(parse(distinct) if len(distinct) else np.empty(0), np.nan)[codes]


def scalars(table: Any, name: str) -> pd.Series[Any]:
    """A column that must hold one value a row. Raises DataError for a column of arrays."""
    column = table[name]
    if isinstance(column, pd.Series):
        return column
    raise DataError(f"Column {name!r} holds arrays of shape {column.shape[1:]}, not single values.")


def parse_numbers(distinct: Array) -> Array:
    """Texts (k,) as float64, NaN where they are no finite number."""
    numbers = pd.to_numeric(pd.Series(distinct, dtype=object), errors="coerce")
    return bounded(np.array(numbers, dtype=np.float64))


def _since_1970(times: pd.Series[Any]) -> Array:
    stamps = times.to_numpy(dtype="datetime64[us]")
    values = stamps.astype(np.int64) / 1e6
    values[np.isnat(stamps)] = np.nan
    return np.asarray(values, dtype=np.float64)
