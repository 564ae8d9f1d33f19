"""Hashes of whole rows: which rows have the same inputs, and whether chance alone explains it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from fathom.core.prediction import Array
from fathom.core.ragged import Ragged
from fathom.core.schema import Field, Schema
from fathom.data import cells
from fathom.data.parallel import WAITING, in_order
from fathom.data.table import Column, Table

IMPROBABLE = 0.01  # expected chance repeats of a row, below which a repeat is taken as a copy
_STEP = 0x9E3779B97F4A7C15
_MISSING = np.uint64(0x5851F42D4C957F2D)


def hash_inputs(schema: Schema, table: Table) -> Array:
    """A hash of all input values of each row, (n,) uint64; equal inputs have equal hashes.

    Column by column, so that a large table is never held twice.
    """
    total = np.zeros(len(table), dtype=np.uint64)
    for place, field in enumerate(schema.inputs):
        total += mixed(keys(field, table[field.name]), place)
    return total


def copies(schema: Schema, table: Table, hashes: Array) -> Array:
    """Mask (n,): rows that stand several times and whose repetition chance does not explain.

    Were the columns independent, a row with value frequencies p would be expected n * prod(p)
    times; only rows expected less than 0.01 times count as copies. In a table of a few coarse
    columns, equal rows are different cases that look alike. Equal pictures and sounds are always
    copies.
    """
    repeated = repeats_in(hashes)
    rows = np.flatnonzero(repeated)
    if not len(rows) or schema.of_kind("image", "audio"):
        return repeated
    log_expected = np.full(len(rows), np.log(len(hashes)))
    for field in schema.inputs:
        log_expected += np.log(shares(keys(field, table[field.name]), rows))
    improbable = np.zeros(len(hashes), dtype=bool)
    improbable[rows] = log_expected < np.log(IMPROBABLE)
    return improbable


def repeats_in(hashes: Array) -> Array:
    """Mask (n,): values that stand several times."""
    ranked = np.sort(hashes)
    several = np.unique(ranked[1:][ranked[1:] == ranked[:-1]])
    if not len(several):
        return np.zeros(len(hashes), dtype=bool)
    places = np.searchsorted(several, hashes).clip(max=len(several) - 1)
    return np.asarray(several[places] == hashes)


def shares(values: Array, rows: Array) -> Array:
    """How frequent the values of some rows (m,) are among all (n,), as shares."""
    asked, places = np.unique(values[rows], return_inverse=True)
    found = np.searchsorted(asked, values).clip(max=len(asked) - 1)
    counts = np.bincount(found[asked[found] == values], minlength=len(asked))
    return np.asarray(counts[places] / len(values))


def mixed(values: Array, place: int) -> Array:
    """Keys (n,) uint64 scattered over all bits, otherwise for each column (SplitMix64)."""
    x = values + np.uint64(_STEP * (place + 1) % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x ^ (x >> np.uint64(31)))


def keys(field: Field, column: Column, coarse: Callable[[Array], Array] | None = None) -> Array:
    """One number for each value of a column, (n,) uint64; `coarse` simplifies what is hashed:
    numbers (n,) float64, or distinct texts (k,) object.
    """
    if field.kind in ("image", "audio"):
        return hash_files(column)
    if isinstance(column, Ragged):
        return _hash_series(column, coarse)
    if not isinstance(column, pd.Series):
        return _hash_arrays(column)
    if field.kind == "number":
        values = cells.numbers(column)
        values = (coarse(values) if coarse else values) + 0.0  # there is one zero
        return np.where(np.isnan(values), _MISSING, values.view(np.uint64))
    codes, distinct = cells.codes_and_texts(column)
    texts = coarse(distinct) if coarse else distinct
    of_texts = pd.util.hash_array(texts, categorize=False) if len(texts) else np.empty(0, np.uint64)
    return np.append(of_texts, _MISSING)[codes]


def hash_files(column: Column) -> Array:
    """A hash of each picture's pixels, or of the file of a picture or sound, (n,) uint64."""
    if not isinstance(column, pd.Series):
        return _hash_arrays(np.asarray(column))
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


def _hash_series(column: Ragged, coarse: Callable[[Array], Array] | None) -> Array:
    rows = [column.row(i).astype(np.float64) + 0.0 for i in range(len(column))]
    coarser = [coarse(row) if coarse else row for row in rows]
    hashes = [_hash(np.ascontiguousarray(row).tobytes()) for row in coarser]
    return np.array(hashes, dtype=np.uint64)


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
