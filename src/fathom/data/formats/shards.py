"""Several files of one table: a folder, a pattern such as part-*.csv, or a list of paths.

All have the same columns, in any order. Text files are cut into fields first, and what is a number
is decided on the rows of all of them. In a folder, train.csv and test.csv (also validation), or
folders train/ and test/, are given splits.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import pyarrow as pa

from fathom.core.errors import DataError
from fathom.core.progress import Progress
from fathom.data.formats import delimited
from fathom.data.formats.columns import keep_signs, to_columns
from fathom.data.formats.folders import visible
from fathom.data.formats.memory import run_name
from fathom.data.formats.names import ORDER, SPLITS
from fathom.data.formats.tables import TABLES
from fathom.data.joining import join, joint_digest, place_in, stack
from fathom.data.raw import Raw, Signs
from fathom.data.table import Table

_PART = re.compile(rf"({'|'.join(SPLITS)})([-_.]?(part|shard)?[-_.]?\d+([-_.]of[-_.]\d+)?)?", re.I)
_DOCUMENT = re.compile(r"(readme|licen[cs]e|changelog|notice|copying|citation)\b", re.I)
_PAPERS = (".md", ".rst", ".html", ".pdf", ".names", ".crc", ".yaml", ".yml")
_SILENT = ("_SUCCESS", "_metadata", "_common_metadata")

Splits = list[tuple[str, list[Path]]]


def is_pattern(source: str) -> bool:
    """Whether a path holds wildcards."""
    return glob.has_magic(source)


def matching(source: str) -> list[Path]:
    """The files that a pattern matches, sorted; none where it is no pattern."""
    if not is_pattern(source):
        return []
    found = glob.glob(os.path.expanduser(source), recursive=True)  # noqa: PTH111, PTH207
    return [path for path in map(Path, sorted(found)) if path.is_file()]


def are_paths(source: object) -> TypeGuard[Sequence[str | Path]]:
    """Whether the object is a list of paths."""
    listed = isinstance(source, list | tuple) and len(source) > 0
    return listed and all(isinstance(path, str | os.PathLike) for path in source)  # type: ignore[attr-defined]


def recognises(path: Path) -> bool:
    """Whether the path is a folder of tables: directly, or in folders named after splits."""
    if not path.is_dir():
        return False
    inside = visible(path)
    if any(p.is_dir() for p in inside):
        folders = [p for p in inside if p.is_dir()]
        names = {p.name.lower() for p in folders}
        inner = [p for folder in folders for p in visible(folder)]
        return names <= set(SPLITS) and any(map(_is_table, inner)) and all(map(_fits, inner))
    return any(map(_is_table, inside)) and all(map(_fits, inside))


def read_file(path: Path, *, labelled: bool, progress: Progress, signs: Signs | None = None) -> Raw:
    """Read a folder of tables. Raises DataError naming the file that does not fit."""
    splits = _folders(path) or _files(path)
    if len(splits) > 1:
        told = "; ".join(f"{split} is {_listed(files)}" for split, files in splits)
        progress.say(f"{path.name}: {told}.")
    raw = read_files(splits[0][1], progress, signs)
    for split, files in splits[1:]:
        part = read_files(files, progress, {**raw.signs, **(signs or {})})
        raw = join(raw, part, progress, split)
    return replace(raw, name=run_name(path), source=str(path))


def read_files(paths: Sequence[Path], progress: Progress, signs: Signs | None = None) -> Raw:
    """Read files of the same columns, one after the other; `signs` as for `ReadFile`."""
    if len(paths) == 1:
        return _read_one(paths[0], progress, signs)
    for path in paths:
        if not _is_table(path):
            raise DataError(
                f"{path} cannot be read together with {paths[0]}: several files must be tables."
            )
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        progress.say(f"Some of the {len(paths)} files share a name: rows are named by both alike.")
    raw = _texts(paths, progress, signs) if all(map(delimited.recognises, paths)) else None
    raw = raw or _stacked(paths, progress, signs)
    return replace(raw, name=run_name(paths[0].parent.resolve()), source=str(paths[0].parent))


def _texts(paths: Sequence[Path], progress: Progress, signs: Signs | None) -> Raw:
    """Text files: numbers are looked for when all of them are one table of text."""
    parts = []
    for count, path in enumerate(paths, 1):
        parts.append(delimited.read_texts(path, progress))
        _require_columns(paths[0], parts[0].table.column_names, path, parts[-1].table.column_names)
        progress.advance(count, len(paths), "files read")
    names = parts[0].table.column_names
    table = pa.concat_tables([part.table.select(names) for part in parts])
    lengths, wheres = [len(part.table) for part in parts], [part.where for part in parts]
    digest = joint_digest(part.digest for part in parts)
    if not len(table):
        raise DataError(f"{_listed(paths)} have headers but no rows below them.")
    columns: dict[str, Any] = dict(zip(names, table.columns, strict=True))
    delimiter = parts[0].layout.delimiter
    del table, parts
    where = place_in(lengths, wheres)
    typed, found = to_columns(columns, delimiter, progress.say, signs=signs, where=where)
    bases = [lambda row, folder=path.parent: folder for path in paths]
    return Raw(
        "",
        "",
        Table(typed),
        digest=digest,
        where=where,
        base=place_in(lengths, bases),
        signs=found,
    )


def _stacked(paths: Sequence[Path], progress: Progress, signs: Signs | None) -> Raw:
    parts: list[Raw] = []
    known = dict(signs or {})
    for count, path in enumerate(paths, 1):
        parts.append(_read_one(path, progress, known))
        known = {**parts[-1].signs, **known}
        _require_columns(paths[0], parts[0].table.names, path, parts[-1].table.names)
        progress.advance(count, len(paths), "files read")
    return stack(parts)


def _read_one(path: Path, progress: Progress, signs: Signs | None) -> Raw:
    for name in TABLES:
        reader = TABLES[name]
        if reader.recognises(path):
            raw = reader.read(path, labelled=False, progress=progress, signs=signs)
            return keep_signs(replace(raw, source=str(path)), signs or {}, progress.say)
    raise DataError(f"{path} is no table that is read.")


def _require_columns(
    first: Path, expected: Sequence[str], path: Path, found: Sequence[str]
) -> None:
    for lacking, having, names in (
        (path, first, [name for name in expected if name not in found]),
        (first, path, [name for name in found if name not in expected]),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise DataError(
                f"{lacking} lacks the column {names[0]!r}{more}, which {having} has: give all "
                "files the same columns, or name only those that belong together."
            )


def _folders(root: Path) -> Splits:
    """Folders named after splits, each with its tables; none where there are no folders."""
    folders = [p for p in visible(root) if p.is_dir()]
    found: dict[str, list[Path]] = {}
    for folder in folders:
        files = [p for p in visible(folder) if _is_table(p)]
        if files:
            found.setdefault(SPLITS[folder.name.lower()], []).extend(files)
    loose = [p for p in visible(root) if _is_table(p)]
    if found and loose:
        raise DataError(
            f"{loose[0]} lies beside folders of splits ({', '.join(p.name for p in folders)}): "
            "move it into one of them, or away."
        )
    return _in_order(root, found)


def _files(root: Path) -> Splits:
    """Files named after splits, or all of them as one table.

    Raises DataError where some are named so and others are not.
    """
    files = [p for p in visible(root) if _is_table(p)]
    found: dict[str, list[Path]] = {}
    others = []
    for path in files:
        match = _PART.fullmatch(path.name.split(".")[0])
        if match:
            found.setdefault(SPLITS[match[1].lower()], []).append(path)
        else:
            others.append(path)
    if "train" not in found or len(found) == 1:
        return [("train", files)]
    if others:
        raise DataError(
            f"{others[0]} lies beside {_listed([p for part in found.values() for p in part])}: "
            f"name the file to learn from instead of the folder, and the one to test on with "
            f"--test, such as {found['train'][0]}."
        )
    return _in_order(root, found)


def _in_order(root: Path, found: Mapping[str, list[Path]]) -> Splits:
    if found and "train" not in found:
        raise DataError(
            f"{root} has tables for {', '.join(found)} but none for train: name the files."
        )
    return [(split, found[split]) for split in ORDER if split in found]


def _is_table(path: Path) -> bool:
    if _DOCUMENT.match(path.name) or not path.is_file():
        return False
    return any(TABLES[name].recognises(path) for name in TABLES)


def _fits(path: Path) -> bool:
    """Whether a file may lie in a folder of tables: it is one, or says something about them."""
    paper = _DOCUMENT.match(path.name) or path.name in _SILENT or path.suffix.lower() in _PAPERS
    return path.is_file() and (bool(paper) or _is_table(path))


def _listed(paths: Sequence[Path]) -> str:
    names = [path.name for path in paths]
    return (
        ", ".join(names) if len(names) < 4 else f"{names[0]} ... {names[-1]} ({len(names)} files)"
    )
