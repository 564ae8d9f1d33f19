"""Hashes of whole rows: which rows have the same inputs, and whether chance alone explains it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.prediction import Array
from fathom.core.schema import Field, Schema
from fathom.data import cells
from fathom.data.parallel import WAITING, in_order
from fathom.data.table import Column, Table

IMPROBABLE = 0.01  # expected chance repeats of a row, below which a repeat is taken as a copy


def hash_inputs(schema: Schema, table: Table) -> Array:
    """A hash of all input values of each row, (n,) uint64; equal inputs have equal hashes."""
    frame = pd.DataFrame({str(i): _key(f, table[f.name]) for i, f in enumerate(schema.inputs)})
    hashes: Array = pd.util.hash_pandas_object(frame, index=False).to_numpy(dtype=np.uint64)
    return hashes


def copies(schema: Schema, table: Table, hashes: Array) -> Array:
    """Mask (n,): rows that stand several times and whose repetition chance does not explain.

    Were the columns independent, a row with value frequencies p would be expected n * prod(p)
    times; only rows expected less than 0.01 times count as copies. In a table of a few coarse
    columns, equal rows are different cases that look alike. Equal pictures are always copies.
    """
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    repeated: Array = counts[inverse] > 1
    rows = np.flatnonzero(repeated)
    if not len(rows) or schema.of_kind("image"):
        return repeated
    log_expected = np.full(len(rows), np.log(len(hashes)))
    for field in schema.inputs:
        codes, _ = pd.factorize(_key(field, table[field.name]), use_na_sentinel=False)
        shares = np.bincount(codes) / len(codes)
        log_expected += np.log(shares[codes[rows]])
    improbable = np.zeros(len(hashes), dtype=bool)
    improbable[rows] = log_expected < np.log(IMPROBABLE)
    return improbable


def _key(field: Field, column: Column) -> Any:
    """A column in its canonical form, hashable value by value."""
    if field.kind == "image":
        return hash_pictures(column)
    if not isinstance(column, pd.Series):
        return _hash_arrays(column)
    if field.kind == "number":
        return cells.numbers(column)
    codes, distinct = cells.codes_and_texts(column)
    return pd.Categorical.from_codes(codes, categories=pd.Index(distinct, dtype=object))


def hash_pictures(column: Column) -> Array:
    """A hash of each picture's pixels or of its file, (n,) uint64."""
    if not isinstance(column, pd.Series):
        return _hash_arrays(column)
    values = list(column)
    sizes = [_size(value) for value in values]
    # Files of different size differ: only those that share their size need be read.
    counts = pd.Series(sizes).value_counts()
    shared = {size for size, count in counts.items() if count > 1}

    def of_one(cell: tuple[object, int]) -> int:
        value, size = cell
        return _hash(_content(value) if size in shared else f"{size} {value}".encode())

    cells = zip(values, sizes, strict=True)
    return np.array(list(in_order(of_one, cells, workers=WAITING)), dtype=np.uint64)


def _hash_arrays(arrays: Array) -> Array:
    return np.array([_hash(np.ascontiguousarray(a).tobytes()) for a in arrays], dtype=np.uint64)


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")


def _content(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    path = Path(str(value))
    return path.read_bytes() if path.is_file() else str(value).encode()


def _size(value: object) -> int:
    if isinstance(value, bytes):
        return len(value)
    path = Path(str(value))
    return path.stat().st_size if path.is_file() else -1
