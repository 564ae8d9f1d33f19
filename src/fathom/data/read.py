"""Reading data: a path, a built-in name, or an object in memory becomes a Raw."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.errors import DataError, nearest
from fathom.core.progress import Progress, Silent
from fathom.core.schema import Schema
from fathom.data.formats import FORMATS, Format, memory
from fathom.data.raw import Raw
from fathom.data.table import Column, Table

BUILTIN = ("digits", "wine", "breast-cancer", "diabetes")
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


def read(
    source: object,
    *,
    test: object | None = None,
    target: str | None = None,
    progress: Progress | None = None,
) -> Raw:
    """Read all rows of a data set that is to be learned from.

    `source` is a path (CSV, TSV, TXT, Parquet, a folder with a folder of pictures per class, IDX
    files), a built-in name (digits, wine, breast-cancer, diabetes), a DataFrame, or a pair of
    inputs and targets: rows × columns, or pictures n × height × width (× channels). `test` is a
    second source with the same columns, whose rows become the given test split. `target` is only
    checked to be there. Raises DataError with one sentence for anything that cannot be read.
    """
    shown = progress or Silent()
    raw = _read_one(source, labelled=True, progress=shown)
    if target is not None:
        _demand(raw, [target], "the target")
    if test is None:
        return raw
    return join(raw, _read_one(test, labelled=True, progress=shown), progress=shown)


def read_rows(source: object, schema: Schema, progress: Progress | None = None) -> Raw:
    """Read rows to predict. The target may be absent; every input of the schema must be there.

    A folder of pictures may be flat, and one picture is enough. Files that cannot be read keep
    their place in the table and are listed in `problems`.
    """
    raw = _read_one(source, labelled=False, progress=progress or Silent())
    _demand(raw, [field.name for field in schema.inputs], "which the model needs")
    return raw


def _read_one(source: object, *, labelled: bool, progress: Progress) -> Raw:
    if isinstance(source, str | os.PathLike):
        return _read_path(os.fspath(source), labelled=labelled, progress=progress)
    if memory.recognises(source):
        return memory.read_object(source)
    raise DataError(
        f"Data of the type {type(source).__name__} cannot be read: give a path, a DataFrame, or "
        "a pair of inputs and targets."
    )


def _read_path(source: str, *, labelled: bool, progress: Progress) -> Raw:
    if not source.strip():
        raise DataError(f"The data is an empty path: give {_formats()}, or a built-in name.")
    path = Path(source).expanduser()
    try:
        if not path.exists():
            return _read_name(source)
        if not (path.is_file() or path.is_dir()):
            raise DataError(f"{source} is neither a file nor a folder: give one that is.")
        raw = _format(path).read(path, labelled=labelled, progress=progress)
    except PermissionError as error:
        raise DataError(
            f"{error.filename or source} may not be read by you: change its permissions."
        ) from None
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}.") from None
    return replace(raw, source=source)


def _read_name(source: str) -> Raw:
    """Read a built-in data set, or say what the name might have meant."""
    if source in BUILTIN:
        from fathom.data.formats import builtin  # loads scikit-learn

        return builtin.BUILTIN[source]()
    if source.startswith(("http:", "https:", "ftp:", "s3:", "gs:", "hf:")):
        raise DataError(f"{source} is not on this machine: download it and give the file's path.")
    if SCHEME.match(source) and not Path(source).drive:
        raise DataError(
            f"{source}: sources to act in, such as env: or game:, cannot be read yet; this "
            f"version reads {_formats()} and the built-in data {', '.join(BUILTIN)}."
        )
    path = Path(source).expanduser()
    if path.parent.is_dir():
        beside = [p.name for p in path.parent.iterdir()]
        known = [*beside, *BUILTIN] if path.name == source else beside
        hint = nearest(path.name, known) or f" Built-in data: {', '.join(BUILTIN)}."
        raise DataError(f"There is no file or folder {source!r}.{hint}")
    raise DataError(f"There is no folder {str(path.parent)!r}: check the path {source!r}.")


def _format(path: Path) -> Format:
    for name in FORMATS:
        if FORMATS[name].recognises(path):
            return FORMATS[name]
    ending = f"the ending {path.suffix!r}" if path.suffix else "no ending"
    raise DataError(f"{path} has {ending}, which is not read; what is read: {_formats()}.")


def _formats() -> str:
    return ", ".join(FORMATS[name].says for name in FORMATS)


def _demand(raw: Raw, names: list[str], what: str) -> None:
    """Raise DataError naming the columns that are missing."""
    missing = [name for name in names if name not in raw.table]
    if not missing:
        return
    where = raw.source or "The data"
    others = [name for name in raw.table.names if name not in names]
    hint = nearest(missing[0], others) if len(missing) == 1 else ""
    has = ", ".join(raw.table.names[:20]) + (" …" if len(raw.table.names) > 20 else "")
    raise DataError(
        f"{where} lacks {'the column' if len(missing) == 1 else 'the columns'} "
        f"{', '.join(map(repr, missing))}, {what}; it has: {has}.{hint}"
    )


def join(train: Raw, test: Raw, progress: Progress) -> Raw:
    """One Raw of both: rows of `train`, then those of `test` as the given test split.

    What splits `train` gives besides are kept, except that its own test rows may not be there.
    """
    if train.given_split is not None and "test" in train.given_split:
        raise DataError(
            f"{train.source} has a test split of its own: leave --test {test.source} out."
        )
    if test.given_split is not None:
        raise DataError(
            f"{test.source} has splits of its own: name only its folder or file of test data."
        )
    _demand(test, list(train.table.names), f"which {train.source or 'the training data'} has")
    extra = [name for name in test.table.names if name not in train.table]
    if extra:
        progress.say(f"{test.source}: columns {', '.join(map(repr, extra))} are left out.")
    columns = {n: _concatenate(n, train, test) for n in train.table.names}
    first = train.given_split
    first = np.array(["train"] * len(train), dtype=object) if first is None else first
    content = sha256(f"{train.digest} {test.digest}".encode()).hexdigest()
    return replace(
        train,
        table=Table(columns),
        given_split=np.concatenate([first, np.array(["test"] * len(test), dtype=object)]),
        problems=train.problems + test.problems,
        digest=f"sha256:{content}",
        where=lambda r: train.where(r) if r < len(train) else test.where(r - len(train)),
    )


def _concatenate(name: str, train: Raw, test: Raw) -> Column:
    one, two = train.table[name], test.table[name]
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        if one.shape[1:] == two.shape[1:]:
            return np.concatenate([one, two])
        raise DataError(
            f"{test.source} has pictures of another size or form than {train.source}: bring both "
            "to one size."
        )
    if _family(one) != _family(two):
        if _family(one) not in ("text", "missing") and _family(two) != "missing":
            row = _first_foreign(two)
            raise DataError(
                f"Column {name!r} holds {_family(one)}s in {train.source}, but "
                f"{two.iloc[row]!r} in {test.where(row)}: correct one of the two files."
            )
        one, two = (as_text(c) if "text" in (_family(one), _family(two)) else c for c in (one, two))
    return pd.concat([one, two], ignore_index=True)


def _family(column: pd.Series[Any]) -> str:
    if column.isna().all():
        return "missing"
    if pd.api.types.is_bool_dtype(column.dtype):
        return "Boolean"
    if pd.api.types.is_numeric_dtype(column.dtype):
        return "number"
    return "time" if pd.api.types.is_datetime64_any_dtype(column.dtype) else "text"


def _first_foreign(column: pd.Series[Any]) -> int:
    """The first present value that is no number, or the first present one."""
    present = column.notna()
    foreign = present & pd.to_numeric(column, errors="coerce").isna()
    return int((foreign if foreign.any() else present).to_numpy().argmax())


def as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """The column as text, whole numbers without a decimal point."""
    if pd.api.types.is_float_dtype(column.dtype) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.map(str, na_action="ignore").astype("str")
