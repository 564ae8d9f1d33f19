"""Columns of files in tables: paths of pictures or sounds, or their bytes, beside other columns.

Relative paths are looked for in the table's own folder (`Raw.folder`). They are made absolute once,
here, so that what comes after never asks where a table lay. A table may name files anywhere: it is
the user's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.progress import Progress
from fathom.core.schema import Kind, Schema
from fathom.data.media import Look, Medium, look_at_all, tell_of_several
from fathom.data.opening import PICTURES
from fathom.data.parallel import in_order
from fathom.data.profile import Finding, judge, profile
from fathom.data.raw import Raw
from fathom.data.sound_files import SOUNDS

AT_LEAST = 0.5  # share of the values that must be such files; fewer are a mistake to be told
MEDIA: dict[Kind, Medium] = {medium.kind: medium for medium in (PICTURES, SOUNDS)}
"""The kinds of column whose cells are files."""


def judge_files(raw: Raw, name: str) -> Finding | None:
    """What speaks for files in a scalar column, over all its values; None where nothing does.

    Paths are pictures (or sounds) where all end as such files do and at least half of the files
    are there. Where they are not, the column is what its texts are, and the reason says where was
    looked.
    """
    column = raw.table[name]
    if not isinstance(column, pd.Series) or pd.api.types.is_numeric_dtype(column.dtype):
        return None
    first = [cell for cell in column[column.notna()].iloc[:50] if isinstance(cell, str | bytes)]
    if first and isinstance(first[0], bytes):
        return _judge_bytes(column)
    for medium in MEDIA.values():
        # Some first, before all cells are looked at one by one: there may be millions.
        if first and all(_is_named_so(text, medium) for text in first):
            return _judge_paths(raw, name, column, medium)
    return None


def _judge_paths(raw: Raw, name: str, column: pd.Series[Any], medium: Medium) -> Finding | None:
    present = [cell for cell in column if isinstance(cell, str | bytes)]
    if not all(_is_named_so(text, medium) for text in dict.fromkeys(present)):
        return None
    paths = _absolute(raw, column)
    there = sum(isinstance(path, str) and Path(path).is_file() for path in paths)
    folder = _folder(raw)
    kind = medium.many[:-1]
    count = f"{there:,} of {len(present):,} values are {kind} files (looked for in {folder})"
    if there >= AT_LEAST * len(present):
        if there == len(present):
            count = (
                f"paths of {medium.many}: all {there:,} values are files (looked for in {folder})"
            )
        return Finding(medium.kind, count)
    finding = judge(profile(name, column))
    reason = f"{finding.reason}; named like {medium.many}, but only {count}"
    return replace(finding, reason=reason)


def absolute_paths(raw: Raw, names: Iterable[str]) -> Raw:
    """The table with the paths in the columns of files `names` made absolute."""
    table = raw.table
    for name in names:
        column = table[name]
        if isinstance(column, pd.Series) and name not in raw.looked_at:
            cells = _absolute(raw, column)
            table = table.replace(name, pd.Series(cells, dtype=object))
    return replace(raw, table=table)


def find_files(raw: Raw, schema: Schema, progress: Progress) -> Raw:
    """The data with absolute paths, and a digest that covers the content of the files.

    Raises DataError where less than half of a column's files are there and can be opened; others
    are named by row when they are encoded.
    """
    fields = [f for f in schema.of_kind(*MEDIA) if f.name not in raw.looked_at]
    fields = [f for f in fields if isinstance(raw.table[f.name], pd.Series)]
    raw = absolute_paths(raw, [field.name for field in fields])
    for field in fields:
        name, medium = field.name, MEDIA[field.kind]
        cells = list(raw.table[name])
        files = list(dict.fromkeys(cell for cell in cells if isinstance(cell, str)))
        looks = dict(zip(files, look_at_all(map(Path, files), medium, progress), strict=True))
        _require_files(raw, name, cells, looks, medium)
        tell_of_several([file for file, look in looks.items() if look.several], progress)
        content = hashlib.sha256(f"{raw.digest}\0{name}".encode())
        for file in files:
            content.update(f"\0{looks[file].digest}".encode())
        raw = replace(raw, digest=f"sha256:{content.hexdigest()}")
    return raw


def _judge_bytes(column: pd.Series[Any]) -> Finding:
    cells = [cell for cell in column if isinstance(cell, bytes)]
    counts = {m.kind: sum(in_order(m.opens, cells)) for m in MEDIA.values()}
    medium = max(MEDIA.values(), key=lambda m: counts[m.kind])
    there = counts[medium.kind]
    if there < AT_LEAST * len(cells):
        reason = f"bytes, of which {there:,} of {len(cells):,} are {medium.many}"
        return Finding("category", reason, use=False)
    return Finding(medium.kind, f"encoded {medium.many}: {there:,} of {len(cells):,} values")


def _is_named_so(text: str | bytes, medium: Medium) -> bool:
    return isinstance(text, str) and PurePath(text.strip()).suffix.lower() in medium.suffixes


def _absolute(raw: Raw, column: pd.Series[Any]) -> list[Any]:
    """Each cell: a text as an absolute path, bytes as they are, else None."""
    return [
        str((raw.folder(row) / cell.strip()).absolute())
        if isinstance(cell, str) and cell.strip()
        else (cell if isinstance(cell, bytes) else None)
        for row, cell in enumerate(column)
    ]


def _folder(raw: Raw) -> Path:
    return raw.folder(0).resolve()


def _require_files(
    raw: Raw, name: str, cells: list[Any], looks: dict[str, Look], medium: Medium
) -> None:
    """Raise DataError naming the first row whose file cannot be opened, where most cannot."""
    bad = np.array([isinstance(cell, str) and bool(looks[cell].reason) for cell in cells])
    named = sum(isinstance(cell, str | bytes) for cell in cells)
    if not named:
        raise DataError(
            f"Column {name!r} names no {medium.many[:-1]} in any row: see whether it is the one."
        )
    if bad.sum() <= AT_LEAST * named:
        return
    row = int(bad.argmax())
    raise DataError(
        f"{int(bad.sum()):,} of {named:,} {medium.many} in column {name!r} cannot be used, such as "
        f"{cells[row]} in {raw.locate(row)}, which {looks[cells[row]].reason}. Put the files there "
        "(relative paths are looked for in the folder of the table), or leave the column out with "
        f"--drop {name}."
    )
