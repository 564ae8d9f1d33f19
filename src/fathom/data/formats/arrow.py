"""Arrow tables, from files and from whatever hands one over: structures, lists, classes, pictures.

Structures become columns with dotted names, lists one cell (see `nested`). What the library
`datasets` notes in a table is used: the names of classes, and which columns hold pictures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fathom.core.errors import DataError
from fathom.core.schema import Kind
from fathom.data.formats.memory import tidy
from fathom.data.formats.nested import add_columns, check_width, list_columns
from fathom.data.table import Column, Table

types = pa.types


@dataclass(frozen=True)
class FromArrow:
    """A table of columns that Fathom knows, the kinds that are declared, and the one target."""

    table: Table
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    target: str | None = None


def from_arrow(table: pa.Table, what: str) -> FromArrow:
    """Bring an Arrow table into columns of ours. `what` names it in errors.

    Raises DataError for maps, and for columns that bear one name.
    """
    features = _features(table)
    pictures = [f.name for f in table.schema if _holds_pictures(f)]
    columns: dict[str, Column] = {}
    for name in table.column_names:
        if table.column_names.count(name) > 1:
            raise DataError(f"{what} has more than one column named {name!r}: rename one.")
        if name in pictures:
            columns[name] = _picture_files(table[name], name, what)
        else:
            add_columns(columns, _scalars(name, table[name], what), what)
        check_width(len(columns), what)
    classes = {n: names for n, f in features.items() if (names := _class_names(f)) and n in columns}
    for name, names in classes.items():
        columns[name] = named_classes(columns[name], names, name, what)
    target = next(iter(classes)) if len(classes) == 1 else None
    kinds: dict[str, Kind] = dict.fromkeys(pictures, "image")
    return FromArrow(Table(columns), kinds, target)


def named_classes(column: Any, names: list[str], name: str, what: str) -> pd.Series[Any]:
    """Class numbers as the names that they stand for; -1, which stands for unknown, is missing."""
    numbers = pd.to_numeric(column, errors="coerce").fillna(-1).to_numpy(dtype=np.int64)
    if len(numbers) and (numbers.max() >= len(names) or numbers.min() < -1):
        row = int(np.argmax((numbers >= len(names)) | (numbers < -1)))
        raise DataError(
            f"Column {name!r} of {what} holds {numbers[row]} in row {row + 1}, but names "
            f"{len(names)} classes, 0 to {len(names) - 1}."
        )
    labels = pd.array([*map(str, names), None], dtype="str")
    return pd.Series(labels.take(numbers))


def _features(table: pa.Table) -> Mapping[str, Any]:
    """What `datasets` notes of each column in the table's metadata."""
    noted = (table.schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(noted)["info"]["features"] if noted else {}
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def _class_names(feature: Any) -> list[str]:
    named = isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    return list(feature.get("names") or ()) if named else []


def _holds_pictures(field: pa.Field) -> bool:
    """Whether cells are files as `datasets` keeps pictures: their bytes and their path."""
    if not types.is_struct(field.type):
        return False
    names = {field.type.field(i).name for i in range(field.type.num_fields)}
    return names == {"bytes", "path"}


def _picture_files(column: pa.ChunkedArray, name: str, what: str) -> pd.Series[Any]:
    """The bytes of each picture, or where there are none its path."""
    values = []
    for row, value in enumerate(column.to_pylist()):
        content = None if value is None else value["bytes"] or value["path"]
        if content is None:
            raise DataError(f"Column {name!r} of {what} holds no picture in row {row + 1}.")
        values.append(content)
    return pd.Series(values, dtype=object)


def _scalars(name: str, column: pa.ChunkedArray, what: str) -> dict[str, Any]:
    kind = column.type
    if types.is_struct(kind):
        found: dict[str, Any] = {}
        inner = pa.table({name: column}).flatten()
        for part in zip(inner.column_names, inner.columns, strict=True):
            found |= _scalars(*part, what)
        return found
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return list_columns(name, column.to_pylist())
    if types.is_binary(kind) or types.is_large_binary(kind):  # pictures, perhaps
        return {name: pd.Series(column.to_pylist(), dtype=object)}
    if types.is_nested(kind):
        raise DataError(
            f"Column {name!r} of {what} holds {kind}: spread it over columns of numbers or text, "
            "or leave it out."
        )
    if types.is_null(kind):
        return {name: pd.Series(np.full(len(column), np.nan))}
    return {name: tidy(pd.DataFrame({name: column.to_pandas()}), what)[name]}
