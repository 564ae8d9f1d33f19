"""NumPy files: .npz with X and y, with x_train, y_train, x_test, y_test, or with a column each.

Inputs (n, channels, time) are series where they are far longer than wide or hold what no pixel is
(see `memory.is_series`), else pictures (n, height, width).

Also .npy files, X.npy with y.npy beside it, or a folder of them. The names may be spelled as people
do: train_images and train_labels, X_val, features and target. Nothing pickled is ever opened.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.files import sha256
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.core.schema import Kind
from fathom.data.formats import memory, packed
from fathom.data.formats.folders import visible
from fathom.data.formats.names import ORDER, SPLITS, TARGETS
from fathom.data.joining import join
from fathom.data.raw import Raw, Signs
from fathom.data.table import Column, Table

INPUTS = frozenset(("x", "input", "inputs", "feature", "features", "data", "image", "images"))
Arrays = Mapping[str, Array]


def recognises(path: Path) -> bool:
    """Whether the path is a NumPy file, or a folder of .npy files."""
    if path.is_dir():
        inside = visible(path)
        return bool(inside) and all(p.suffix.lower() == ".npy" and p.is_file() for p in inside)
    return path.suffix.lower() in (".npz", ".npy")


def read_file(
    path: Path,
    *,
    labelled: bool,
    progress: Progress,
    signs: Signs | None = None,
    series: bool = False,
) -> Raw:
    """Read the arrays of one path. Raises DataError where they are damaged or do not fit.

    Inputs of three axes are series where `series` says so, else where `memory.is_series` does.
    """
    if path.is_dir():
        arrays: Arrays = {p.stem: _load_npy(p) for p in visible(path)}
    elif path.suffix.lower() == ".npz":
        arrays = _load_npz(path)
    else:
        arrays = _with_partner(path)
    raw = _of_arrays(arrays, path, progress, series)
    if not path.is_dir() and len(arrays) != 2:
        raw = replace(raw, digest=f"sha256:{sha256(path)}")
    return replace(raw, name=memory.run_name(path), source=str(path))


def read_series(
    path: Path, *, labelled: bool, progress: Progress, signs: Signs | None = None
) -> Raw:
    """The same where inputs of three axes are known to be series."""
    return read_file(path, labelled=labelled, progress=progress, signs=signs, series=True)


def _of_arrays(arrays: Arrays, path: Path, progress: Progress, series: bool) -> Raw:
    roles = {name: role for name in arrays if (role := _role(name)) is not None}
    pairs: dict[str, dict[str, str]] = {}
    for name, (split, what) in roles.items():
        if what in pairs.setdefault(split, {}):
            raise DataError(
                f"{path} holds both {pairs[split][what]!r} and {name!r}: leave one of them out."
            )
        pairs[split][what] = name
    whole = all("x" in pair and arrays[pair["x"]].ndim > 1 for pair in pairs.values())
    if not pairs or not whole or (len(pairs) > 1 and "train" not in pairs):
        raw = _of_columns(arrays, path, series)
        # Inputs along one axis, such as texts, are a column, and y beside them what is learned.
        only = next(iter(pairs.values())) if len(pairs) == 1 else {}
        answers = only["y"] if {"x", "y"} <= set(only) else ""
        return replace(raw, target=answers, target_note="") if answers in raw.table else raw
    if left_out := [name for name in arrays if name not in roles]:
        progress.say(f"{path.name}: {', '.join(left_out)} left out, beside {', '.join(roles)}.")
    first = pairs.get("train") or next(iter(pairs.values()))
    inputs = arrays[first["x"]]
    series = series or (inputs.ndim == 3 and memory.is_series(inputs))  # of all splits alike
    parts = {split: _pair(arrays, pair, path, series) for split, pair in pairs.items()}
    if len(parts) == 1:
        return next(iter(parts.values()))
    raw = parts.pop("train")
    for split in (name for name in ORDER if name in parts):
        raw = join(raw, parts[split], progress, split)
    return raw


def _role(name: str) -> tuple[str, str] | None:
    """The split ('train' where none is named) and 'x' or 'y' that an array's name says."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    if len(words) == 1 and (joined := re.fullmatch(r"([xy])([a-z]{3,})", words[0])):
        words = list(joined.groups()) if joined[2] in SPLITS else words
    split = [SPLITS[word] for word in words if word in SPLITS]
    rest = [word for word in words if word not in SPLITS]
    if len(split) > 1 or len(rest) != 1 or rest[0] not in {*INPUTS, *TARGETS}:
        return None
    return (split[0] if split else "train"), ("x" if rest[0] in INPUTS else "y")


def _pair(arrays: Arrays, pair: Mapping[str, str], path: Path, series: bool) -> Raw:
    inputs = _decoded(arrays[pair["x"]])
    try:
        if "y" not in pair:
            raw = memory.read_object(inputs, series=series)
            raw = replace(raw, target_note=_no_targets(arrays))
        else:
            raw = memory.read_object((inputs, _decoded(arrays[pair["y"]])), series=series)
    except DataError as error:
        raise DataError(f"{path}, {' and '.join(pair.values())}: {error}") from None
    where = f"{path.name} {pair['x']} row "
    return replace(raw, source=f"{path} ({pair['x']})", where=lambda row: f"{where}{row + 1}")


def _of_columns(arrays: Arrays, path: Path, series: bool) -> Raw:
    """Each array a column, or several: rows along the first axis."""
    columns: dict[str, Column] = {}
    kinds: dict[str, Kind] = {}
    usable = {name: array for name, array in arrays.items() if array.ndim}
    lengths = {name: len(array) for name, array in usable.items()}
    if len(set(lengths.values())) != 1:
        shown = ", ".join(f"{name} {array.shape}" for name, array in list(arrays.items())[:6])
        raise DataError(
            f"{path} holds arrays that make no table ({shown or 'none'}): save X and y, x_train, "
            "y_train, x_test and y_test, or arrays of equal length, one for each column."
        )
    for name, array in usable.items():
        if array.ndim == 3 and (series or memory.is_series(array)):
            columns[name], kinds[name] = memory.series_of(array), "series"
            continue
        if array.ndim > 2:
            columns[name], kinds[name] = memory.pictures(array), "image"
            continue
        frame = _frame(name if len(usable) > 1 or array.ndim == 1 else "x", _decoded(array))
        columns |= Table.from_frame(memory.tidy(frame, str(path))).columns
    table = Table(columns)
    if not len(table):
        raise DataError(f"{path} has no rows.")
    digest = f"sha256:{memory.table_digest(table)}"
    where = f"{path.name} row "
    return Raw(
        "",
        "",
        table,
        kinds=kinds,
        target_note=_no_targets(arrays),
        digest=digest,
        where=lambda row: f"{where}{row + 1}",
    )


def _no_targets(arrays: Arrays) -> str:
    """What to say where nothing is told to be the target."""
    shown = ", ".join(list(arrays)[:6])
    return f"there is no array y beside {shown}; save one, or say which column with --target"


def _frame(name: str, array: Array) -> pd.DataFrame:
    if array.dtype.names:
        return pd.DataFrame({n: _decoded(array[n]) for n in array.dtype.names})
    if array.ndim == 1:
        return pd.DataFrame({name: array})
    return pd.DataFrame(array, columns=[f"{name}{i}" for i in range(array.shape[1])])


def _decoded(array: Array) -> Array:
    """Bytes as text."""
    return np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array


def _load_npz(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            _require_harmless(archive, path)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from None


def _require_harmless(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse what would fill the memory, or runs a program, before anything is unpacked."""
    if sum(info.file_size for info in archive.infolist()) > packed.allowed_bytes(path):
        raise packed.too_large(path)
    for info in archive.infolist():
        with archive.open(info) as file:
            _check_header(file, info.file_size, path, info.filename.removesuffix(".npy"))


def _check_header(file: IO[bytes], size: int, path: Path, name: str) -> None:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"an array of version {version}")
    old = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise DataError(
            f"{path} holds {name!r} as pickled objects, which can run any program when they are "
            "opened: save it as an array of numbers or of text, array.astype(str)."
        )
    if prod(shape) * dtype.itemsize > size:
        raise ValueError(f"{name} announces the shape {shape} but has only {size} bytes")


def _load_npy(path: Path) -> Array:
    try:
        with path.open("rb") as file:
            _check_header(file, path.stat().st_size, path, path.stem)
        array: Array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise _damaged(path, error) from None
    return array


def _with_partner(path: Path) -> Arrays:
    """One .npy file, and the targets that lie beside its inputs under the same name."""
    role = _role(path.stem)
    arrays = {path.stem: _load_npy(path)}
    if role is not None and role[1] == "x":
        for other in visible(path.parent):
            if other.suffix.lower() == ".npy" and _role(other.stem) == (role[0], "y"):
                arrays[other.stem] = _load_npy(other)
    return arrays


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return DataError(f"{path} is damaged or no NumPy file ({reason}): save it again.")
