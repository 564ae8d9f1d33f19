"""Joining: several data sets of the same columns become one, as shards or as given splits."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from fathom.core.errors import DataError, nearest
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.core.ragged import Ragged
from fathom.data.raw import Raw
from fathom.data.series import series_of
from fathom.data.table import Column, Table

T = TypeVar("T")


def join(train: Raw, other: Raw, progress: Progress, split: str = "test") -> Raw:
    """One Raw of both: rows of `train`, then those of `other` as the given split `split`.

    What splits `train` gives besides are kept, except that its own test rows may not be there.
    Columns of `other` that `train` lacks are left out.
    """
    if train.given_split is not None and split in train.given_split:
        raise DataError(
            f"{train.source} has a {split} split of its own: leave --test {other.source} out."
        )
    if other.given_split is not None:
        raise DataError(
            f"{other.source} has splits of its own: name only its folder or file of {split} data."
        )
    demand(other, list(train.table.names), f"which {train.source or 'the training data'} has")
    extra = [name for name in other.table.names if name not in train.table]
    if extra:
        progress.say(f"{other.source}: columns {', '.join(map(repr, extra))} are left out.")
    first = train.given_split
    first = np.array(["train"] * len(train), dtype=object) if first is None else first
    both = np.concatenate([first, np.array([split] * len(other), dtype=object)])
    return replace(stack([train, other]), given_split=both, signs=train.signs)


def stack(parts: Sequence[Raw]) -> Raw:
    """The rows of all parts, one after the other, each located as before; no given split.

    The columns are those of the first part. Raises DataError where a column cannot be joined.
    """
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        table=Table({name: _concatenate(name, parts) for name in parts[0].table.names}),
        given_split=None,
        problems=tuple(problem for part in parts for problem in part.problems),
        digest=joint_digest(part.digest for part in parts),
        where=place_in([len(part) for part in parts], [part.where for part in parts]),
        base=place_in([len(part) for part in parts], [part.folder for part in parts]),
        signs={name: sign for part in reversed(parts) for name, sign in part.signs.items()},
        looked_at=frozenset.intersection(*(part.looked_at for part in parts)),
    )


def joint_digest(digests: Iterable[str]) -> str:
    """One digest, 'sha256:...', of parts that stand one after the other."""
    return f"sha256:{sha256(' '.join(digests).encode()).hexdigest()}"


def place_in(lengths: Sequence[int], wheres: Sequence[Callable[[int], T]]) -> Callable[[int], T]:
    """How rows are named, or where they lie, that come from one part after the other."""
    ends = list(accumulate(lengths))

    def where(row: int) -> T:
        part = bisect_right(ends, row)
        return wheres[part](row - (ends[part - 1] if part else 0))

    return where


def demand(raw: Raw, names: list[str], what: str) -> None:
    """Raise DataError naming the columns that are missing."""
    missing = [name for name in names if name not in raw.table]
    if not missing:
        return
    others = [name for name in raw.table.names if name not in names]
    hint = nearest(missing[0], others) if len(missing) == 1 else ""
    has = ", ".join(raw.table.names[:20]) + (" …" if len(raw.table.names) > 20 else "")
    raise DataError(
        f"{raw.called} lacks {'the column' if len(missing) == 1 else 'the columns'} "
        f"{', '.join(map(repr, missing))}, {what}; it has: {has}.{hint}"
    )


def _concatenate(name: str, parts: Sequence[Raw]) -> Column:
    columns: list[Any] = [part.table[name] for part in parts]
    ragged = next((column for column in columns if isinstance(column, Ragged)), None)
    if ragged is not None:
        return _series(name, columns, parts, ragged.values.shape[1])
    if any(isinstance(column, np.ndarray) for column in columns):
        return _arrays(columns, parts)
    families = [_family(column) for column in columns]
    present = [f for f in families if f != "missing"]
    if len(set(present)) > 1:
        if present[0] != "text":
            raise _foreign(name, columns, families, parts)
        columns = [as_text(column) for column in columns]
    elif present and len(present) < len(families):  # empty columns take the type of the others
        like = columns[families.index(present[0])]
        columns = [
            _empty_like(c, like) if family == "missing" else c
            for c, family in zip(columns, families, strict=True)
        ]
    joined: Column = pd.concat(columns, ignore_index=True)
    return joined


def _series(name: str, columns: Sequence[Any], parts: Sequence[Raw], channels: int) -> Ragged:
    series = []
    for column, part in zip(columns, parts, strict=True):
        series.append(series_of(column, name, channels))
        if series[-1].values.shape[1] != channels:
            raise DataError(
                f"The series {name!r} of {part.called} have {series[-1].values.shape[1]} channels, "
                f"others {channels}: bring both to the same."
            )
    return Ragged.joined(series)


def _arrays(columns: Sequence[Any], parts: Sequence[Raw]) -> Array:
    for column, part in zip(columns, parts, strict=True):
        if getattr(column, "shape", ())[1:] != columns[0].shape[1:]:
            raise DataError(
                f"{part.source} has pictures of another size or form than {parts[0].source}: "
                "bring both to one size."
            )
    return np.concatenate(columns)


def _empty_like(column: pd.Series[Any], like: pd.Series[Any]) -> Any:
    if pd.api.types.is_bool_dtype(like.dtype):
        return pd.Series(pd.NA, index=column.index, dtype="boolean")
    if pd.api.types.is_numeric_dtype(like.dtype):
        return column.astype("float64")
    return pd.Series(None, index=column.index, dtype=like.dtype)


def _foreign(
    name: str, columns: Sequence[Any], families: Sequence[str], parts: Sequence[Raw]
) -> DataError:
    """Some part holds another type than the first that holds any."""
    first = next(i for i, family in enumerate(families) if family != "missing")
    other = next(
        i for i, family in enumerate(families) if family not in ("missing", families[first])
    )
    row = _first_foreign(columns[other])
    return DataError(
        f"Column {name!r} holds {families[first]}s in {parts[first].source}, but "
        f"{columns[other].iloc[row]!r} in {parts[other].where(row)}: correct one of the two files."
    )


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
