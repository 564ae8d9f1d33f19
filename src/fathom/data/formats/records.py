"""JSON: a record on each line (.jsonl, .ndjson), or a .json file that is a list of records.

A .json file may also hold columns, {"age": [31, 45], "city": ["Rome", "Oslo"]}, as pandas writes
them too, one list of records under a name, or a record on each line. What a record lacks is
missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.progress import Progress
from fathom.data.cells import text_of
from fathom.data.formats import packed
from fathom.data.formats.encoding import read_utf8
from fathom.data.formats.lines import LineNumbers
from fathom.data.formats.memory import run_name
from fathom.data.formats.nested import add_columns, check_width, flatten, list_columns
from fathom.data.raw import Raw, Signs
from fathom.data.table import Table

LINES = (".jsonl", ".ndjson")
SUFFIXES = (*LINES, ".json")
BATCH = 5_000  # few enough that a batch's values are still in the processor's cache when used
_EXAMPLE = '{"age": 31, "city": "Rome"}'
_DECODER = msgspec.json.Decoder()


def recognises(path: Path) -> bool:
    """Whether the file is called like JSON, packed or not."""
    return path.is_file() and packed.suffix(path) in SUFFIXES


def read_file(path: Path, *, labelled: bool, progress: Progress, signs: Signs | None = None) -> Raw:
    """Read one file of JSON. Raises DataError naming the file and the line or record."""
    content, digest = read_utf8(path, progress)
    records: Iterable[Any] | None = None
    where: Callable[[int], str] = lambda row: f"{path.name} record {row + 1}"  # noqa: E731
    if packed.suffix(path) not in LINES:
        records = _document(content, path)
    if records is None:
        where = LineNumbers(path, _filled_lines)
        records = _lines(content, path)
    columns = _columns(records, where, path)
    table = Table(columns)
    if not len(table):
        raise DataError(f"{path} holds no records: write one such as {_EXAMPLE} for each row.")
    return Raw(
        name=run_name(path),
        source=str(path),
        table=table,
        digest=f"sha256:{digest}",
        where=where,
    )


def _lines(content: bytes, path: Path) -> Iterator[Any]:
    """The records of a file with one on each line."""
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            yield decode(line)
        except ValueError as error:
            raise DataError(
                f"{path} line {number} is no JSON ({error}): every line must hold one whole record "
                f"such as {_EXAMPLE}."
            ) from None


def decode(text: bytes) -> Any:
    """One JSON value; NaN and Infinity, which Python writes, are known too. Raises ValueError."""
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _document(content: bytes, path: Path) -> Iterable[Any] | None:
    """The records of a whole document, or None where it holds a record on each line."""
    try:
        value = decode(content)
    except ValueError as error:
        if _begins_with_a_record(content):
            return None
        raise DataError(f"{path} is no JSON ({error}): write it again.") from None
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        found = _of_columns(value, path)
        if found is not None:
            return found
        lists = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        if len(lists) == 1:
            return lists[0]
        if content.strip().count(b"\n") == 0:
            return [value]
    raise DataError(
        f"{path} holds neither a list of records nor columns: write [{_EXAMPLE}, ...] or a record "
        "on each line."
    )


def _begins_with_a_record(content: bytes) -> bool:
    first, _, rest = content.lstrip().partition(b"\n")
    try:
        return bool(rest.strip()) and isinstance(decode(first), dict)
    except ValueError:
        return False


def _of_columns(value: Mapping[str, Any], path: Path) -> Iterable[Any] | None:
    """Records of a document of columns, in one of the ways that pandas writes; else None."""
    if {"columns", "data"} <= set(value) <= {"columns", "data", "index", "schema"}:
        names, rows = value["columns"], value["data"]
        if all(isinstance(row, list) and len(row) == len(names) for row in rows):
            return [dict(zip(names, row, strict=True)) for row in rows]
    if len(value) > 1 and all(isinstance(column, list) for column in value.values()):
        lengths = {name: len(column) for name, column in value.items()}
        if len(set(lengths.values())) > 1:
            short, long = (
                min(lengths, key=lengths.__getitem__),
                max(lengths, key=lengths.__getitem__),
            )
            raise DataError(
                f"{path} holds columns of unequal length: {short!r} has {lengths[short]} values, "
                f"{long!r} has {lengths[long]}."
            )
        return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
    columns = list(value.values())
    if columns and all(isinstance(c, dict) and c.keys() == columns[0].keys() for c in columns):
        rows = list(columns[0])
        if all(key.isdigit() for key in rows):  # {"age": {"0": 31, "1": 45}}
            return [{name: value[name][row] for name in value} for row in rows]
    return None


@dataclass
class _Column:
    """One field of all records so far: its values in batches, and the types among them."""

    name: str
    batches: list[Any] = field(default_factory=list)
    types: set[type] = field(default_factory=set)
    rows: int = 0

    def add(self, values: Sequence[Any], start: int) -> None:
        """Values of the rows from `start`; before them the field may not have been there."""
        self.fill(start)
        types = set(map(type, values))
        self.types |= types - {type(None)}
        self.batches.append(_compact(values, types))
        self.rows = start + len(values)

    def fill(self, rows: int) -> None:
        """Missing values up to so many rows."""
        if rows > self.rows:
            self.batches.append([None] * (rows - self.rows))
            self.rows = rows

    def values(self) -> Iterator[Any]:
        """All values, one after the other; None or NaN where a record lacks the field."""
        for batch in self.batches:
            yield from batch.tolist() if isinstance(batch, np.ndarray) else batch


def _compact(values: Sequence[Any], types: set[type]) -> Any:
    """Numbers and texts as arrays, which take a fifth of the memory; what else there is as is."""
    if types == {int} and min(values) >= -(2**63) and max(values) < 2**63:
        return np.array(values, dtype=np.int64)
    present = types - {type(None)}
    if present and present <= {int, float} and (int not in present or _exact(values)):
        return np.array(values, dtype=np.float64)
    return pd.array(values, dtype="str") if present == {str} else list(values)


def _exact(values: Sequence[Any]) -> bool:
    """Whether floats hold all these numbers exactly."""
    return bool(max(abs(value) for value in values if value is not None) < 2**53)


def _columns(
    records: Iterable[Any], where: Callable[[int], str], path: Path
) -> dict[str, pd.Series[Any]]:
    columns: dict[str, _Column] = {}
    rows = 0
    for batch in _batches(records):
        for name, values in _by_name(batch, rows, where).items():
            columns.setdefault(name, _Column(name)).add(values, rows)
        check_width(len(columns), str(path))
        rows += len(batch)
    result: dict[str, Any] = {}
    for name in list(columns):
        column = columns.pop(name)
        column.fill(rows)
        add_columns(result, _typed(column), str(path))
    return result


def _by_name(
    batch: list[Any], start: int, where: Callable[[int], str]
) -> Mapping[str, Sequence[Any]]:
    """The values of each field in some records, None where one lacks it."""
    _require_records(batch, start, where)
    if any(dict in set(map(type, record.values())) for record in batch):
        batch = [_flat(record, start + i, where) for i, record in enumerate(batch)]
    names = list(batch[0])
    if all(list(record) == names for record in batch):
        columns = zip(*(record.values() for record in batch), strict=True)
        return dict(zip(names, columns, strict=True))
    names = list(dict.fromkeys(name for record in batch for name in record))
    return {name: [record.get(name) for record in batch] for name in names}


def _batches(records: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for record in records:
        batch.append(record)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _require_records(batch: list[Any], start: int, where: Callable[[int], str]) -> None:
    for row, record in enumerate(batch, start):
        if not isinstance(record, dict):
            raise DataError(
                f"{where(row)} holds {str(record)[:40]!r} where a record such as {_EXAMPLE} should "
                "be."
            )


def _flat(record: Mapping[str, Any], row: int, where: Callable[[int], str]) -> Mapping[str, Any]:
    try:
        return flatten(record)
    except ValueError as error:
        raise DataError(f"{where(row)} has two fields {str(error)!r}: rename one.") from None


def _typed(column: _Column) -> dict[str, Any]:
    """A column as Booleans, numbers, text or lists; what is of several types becomes text."""
    name, types = column.name, column.types
    if list in types:
        return list_columns(name, [None if _missing(v) else v for v in column.values()])
    if types == {bool}:
        series = pd.Series(pd.array(list(column.values()), dtype="boolean"))
        return {name: series if series.isna().any() else series.astype(bool)}
    if types <= {int, float}:
        return {name: pd.Series(_numbers(column))}
    if types == {str}:
        parts = [pd.Series(batch, dtype="str") for batch in column.batches]
        return {name: pd.concat(parts, ignore_index=True)}
    return {name: pd.Series(list(map(text_of, column.values())), dtype="str")}


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and isnan(value))


def _numbers(column: _Column) -> Any:
    if all(isinstance(batch, np.ndarray) for batch in column.batches):
        return np.concatenate(column.batches)
    if column.types == {int}:  # whole numbers beyond 64 bits are names, which keep every digit
        values = [None if _missing(v) else int(v) for v in column.values()]
        present = [v for v in values if v is not None]
        if max(map(abs, present)) >= 2**63:
            fits = len(present) == len(values) and min(present) >= 0 and max(present) < 2**64
            texts = [None if v is None else str(v) for v in values]
            return np.array(values, dtype=np.uint64) if fits else pd.array(texts, dtype="str")
    return np.concatenate([np.array(batch, dtype=np.float64) for batch in column.batches])


def _filled_lines(content: bytes) -> list[int]:
    """The lines that hold a record, from 1."""
    return [number for number, line in enumerate(content.split(b"\n"), 1) if line.strip()]
