"""Rows that are nearly the same: equal but for case and blanks, rounding, or one jittered number.

Rows are nominated by a hash of their coarse values, and once more with one number column after the
other left out; they are confirmed column by column. As with copies, only what chance does not
explain counts: were the columns independent, a row with the frequencies p of its coarse values
would be expected n * prod(p) times, and that must be less than 0.01. A number that differs is left
out of the product, so that it never helps.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from fathom.core.prediction import Array
from fathom.core.schema import Field, Schema
from fathom.data import cells
from fathom.data.hashing import IMPROBABLE, keys, mixed, shares
from fathom.data.table import Table

DIGITS = 6  # significant ones in which numbers agree
JITTER = 0.01  # of a column's usual spread by which one number of a row may differ
MOST_CELLS = 200_000_000  # of a table, above which no column is left out: each takes a sort
_SPREAD_ROWS = 100_000  # from which a column's spread is read off


def near_rows(schema: Schema, table: Table, hashes: Array) -> Array:
    """Pairs (m, 2) int64 of nearly equal rows; `hashes` (n,) are those of the rows as they are.

    Rows that are exactly equal are no pair, and of many alike each is paired with the next.
    """
    total = np.zeros(len(table), dtype=np.uint64)
    for place, field in enumerate(schema.inputs):
        total += mixed(coarse(field, table), place)
    found = [_chained(total, None)]
    left_out = [np.full(len(found[0]), -1)]
    for place, field in _jittered(schema, table):
        without = total - mixed(coarse(field, table), place)
        pairs = _near_in(field, table, _chained(without, _numbers(field, table)))
        found.append(pairs)
        left_out.append(np.full(len(pairs), place))
    pairs, places = np.concatenate(found), np.concatenate(left_out)
    different = hashes[pairs[:, 0]] != hashes[pairs[:, 1]]
    return np.sort(_improbable(schema, table, pairs[different], places[different]), axis=1)


def _jittered(schema: Schema, table: Table) -> list[tuple[int, Field]]:
    """The columns that are left out one at a time, with their places."""
    numbers = [
        (i, f)
        for i, f in enumerate(schema.inputs)
        if f.kind == "number" and isinstance(table[f.name], pd.Series)
    ]
    return numbers if len(table) * max(1, len(numbers)) <= MOST_CELLS else []


def _numbers(field: Field, table: Table) -> Array:
    return cells.numbers(cells.scalars(table, field.name))


def coarse(field: Field, table: Table) -> Array:
    """Keys (n,) uint64 that are equal where values are but for writing and rounding."""
    numbers = field.kind in ("number", "series")
    return keys(field, table[field.name], rounded if numbers else simplified)


def rounded(values: Array) -> Array:
    """Numbers to six significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        power = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(values))))
        result = np.round(values * power) / power
    return np.where((values == 0) | ~np.isfinite(result), values, result)


def simplified(texts: Array) -> Array:
    """Texts without regard to case and to how many blanks stand between words."""
    return np.array([" ".join(str(text).casefold().split()) for text in texts], dtype=object)


def _chained(values: Array, within: Array | None) -> Array:
    """Pairs of rows with equal `values`, each with the next in the order of `within`."""
    ranked = np.sort(values)
    if not (ranked[1:] == ranked[:-1]).any():
        return np.empty((0, 2), dtype=np.int64)
    ranked = np.argsort(values) if within is None else np.lexsort((within, values))
    same = np.flatnonzero(values[ranked[1:]] == values[ranked[:-1]])
    return np.stack([ranked[same], ranked[same + 1]], axis=1)


def _near_in(field: Field, table: Table, pairs: Array) -> Array:
    """The pairs whose numbers in a column differ by a hundredth of its spread at most."""
    if not len(pairs):
        return pairs
    values = _numbers(field, table)
    some = values[:: max(1, len(values) // _SPREAD_ROWS)]
    low, high = np.nanquantile(some, [0.25, 0.75])
    spread = (high - low) / 1.349
    apart = np.abs(values[pairs[:, 0]] - values[pairs[:, 1]])
    return np.asarray(pairs[apart <= JITTER * spread])


def _improbable(schema: Schema, table: Table, pairs: Array, left_out: Array) -> Array:
    """The pairs that agree in every column but the one left out, and hardly by chance."""
    if not len(pairs):
        return pairs
    agree = np.ones(len(pairs), dtype=bool)
    log_expected = np.full(len(pairs), np.log(len(table)))
    for place, field in enumerate(schema.inputs):
        values = coarse(field, table)
        counts = left_out != place
        agree &= ~counts | (values[pairs[:, 0]] == values[pairs[:, 1]])
        log_expected += np.where(counts, np.log(shares(values, pairs[:, 0])), 0.0)
    return np.asarray(pairs[agree & (log_expected < np.log(IMPROBABLE))])
