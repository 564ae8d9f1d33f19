"""Remarks: values that are used as they are, and of which people should know all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fathom.core.prediction import Array
from fathom.core.ragged import Ragged
from fathom.core.schema import (
    AudioStatistics,
    Field,
    Schema,
    SeriesStatistics,
    TextStatistics,
)
from fathom.data import cells, sounds, texts
from fathom.data.encode import Encoded
from fathom.data.parallel import in_order
from fathom.data.raw import Problem, Raw
from fathom.data.series import series_of
from fathom.data.sound_files import is_cut_off
from fathom.data.table import Table

MANY_CUT = 0.01  # share of the training rows from which on it is a warning that they are cut
CUT_OFF = "shorter than the header says, as files that were cut off are"
SILENT = "silent from beginning to end"


def limit_of(field: Field) -> str:
    """Behind what the values of a field are cut, in words."""
    s = field.statistics
    if isinstance(s, TextStatistics):
        return f"{s.length:,} tokens"
    if isinstance(s, AudioStatistics):
        return f"{s.length / s.rate:.3g} seconds"
    assert isinstance(s, SeriesStatistics)
    return f"{s.length * s.every:,} steps"


def cut_rows(table: Table, field: Field, encoded: Encoded) -> Array:
    """Rows whose text, sound or series is longer than what is seen of it.

    Only those that were encoded at full length are looked at once more.
    """
    s = field.statistics
    if isinstance(s, SeriesStatistics):
        lengths = series_of(table[field.name], field.name, s.channels).lengths
        return np.flatnonzero(lengths > s.length * s.every)
    assert isinstance(s, TextStatistics | AudioStatistics)
    block = encoded.examples.inputs[field.name]
    assert isinstance(block, Ragged)
    full = np.flatnonzero(block.lengths >= s.length)
    if not len(full):
        return full
    some = table.take(full)
    if isinstance(s, TextStatistics):
        return full[texts.too_long(cells.scalars(some, field.name), s)]
    return full[sounds.too_long(some[field.name], s)]


def odd_sounds(table: Table, field: Field, encoded: Encoded) -> dict[str, list[int]]:
    """What is odd about sounds that were read, to the rows that it holds for."""
    block = encoded.examples.inputs[field.name]
    assert isinstance(block, Ragged)
    read = [row for row in range(len(block)) if row not in encoded.unreadable]
    column: list[Any] = list(table[field.name])
    off = in_order(lambda row: is_cut_off(column[row]), read)
    found = {
        CUT_OFF: [row for row, odd in zip(read, off, strict=True) if odd],
        SILENT: [row for row in read if not block.row(row).any()],
    }
    return {what: rows for what, rows in found.items() if rows}


def remarks(raw: Raw, schema: Schema, encoded: Encoded, training: int) -> tuple[Problem, ...]:
    """What should be known of the texts, sounds and series that are learned from.

    `training` is the number of training rows.
    """
    return (*_much_cut(schema, training), *_odd(raw, schema, encoded))


def _much_cut(schema: Schema, training: int) -> Iterator[Problem]:
    for field in schema.of_kind("text", "audio", "series"):
        s = field.statistics
        assert isinstance(s, TextStatistics | AudioStatistics | SeriesStatistics)
        if s.cut >= MANY_CUT:
            rows, lost = round(s.cut * training), max(1, round(100 * s.lost))
            yield Problem(
                f"Column {field.name!r}",
                f"{rows:,} of {training:,} training rows are longer than {limit_of(field)} and cut "
                f"there: about {lost} % of the column is not seen by the network",
            )


def _odd(raw: Raw, schema: Schema, encoded: Encoded) -> Iterator[Problem]:
    for field in schema.of_kind("audio"):
        for what, rows in odd_sounds(raw.table, field, encoded).items():
            more = f" and {len(rows) - 1:,} more" if len(rows) > 1 else ""
            verb = "is" if len(rows) == 1 else "are"
            yield Problem(
                f"{raw.locate(rows[0])}{more}",
                f"{len(rows):,} of {len(raw):,} sounds {verb} {what}; used as read",
            )
