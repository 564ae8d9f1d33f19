"""Long tables, a row for each step of a series, folded into a row for each series.

Every number column that changes within a series becomes a channel of one field; what is constant
within all of them stays a column. Steps stand in the order of their times, each an equal step.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from msgspec.structs import replace as changed

from fathom.core.errors import DataError, nearest
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.core.ragged import Ragged
from fathom.core.schema import SeriesReading
from fathom.data import cells
from fathom.data.profile import find_layout, profile
from fathom.data.raw import Raw
from fathom.data.table import Column, Table

EVEN = 0.01  # so much longer may a step be than another, as clocks and rounding make it


@dataclass(frozen=True)
class Order:
    """Rows in the order of series and time: `rows` (m,) row of the table, `starts`, `lengths`.

    `uneven` tells whether the times of neighbouring steps are not equally far apart.
    """

    rows: Array
    starts: Array
    lengths: Array
    uneven: bool = False

    @property
    def first(self) -> Array:
        """The first row of each series as it stands in the table."""
        return np.asarray(np.minimum.reduceat(self.rows, self.starts), dtype=np.int64)

    def varying(self, codes: Array) -> Array:
        """Mask over series: in which of them `codes` (n,) change; -1 is no value."""
        ordered = codes[self.rows]
        low = np.where(ordered < 0, np.iinfo(np.int64).max, ordered)
        least = np.minimum.reduceat(low, self.starts)
        return np.asarray(np.maximum.reduceat(ordered, self.starts) > least)


def fold(raw: Raw, reading: SeriesReading, targets: Collection[str], progress: Progress) -> Raw:
    """One row for each value of the column `reading.id`.

    With `reading.channels` these are the channels, else they are found. Raises DataError, naming
    rows, for an id or a time that is missing or cannot be read, for two rows of one series at one
    time, for a target that changes within a series, and where no column is left as a channel.
    """
    order = _order(raw, reading)
    names = [n for n in raw.table.names if n not in (reading.id, reading.time)]
    channels = list(reading.channels)
    if not channels:
        for name in targets:
            _require_constant(raw, order, name, reading.id)
        free = [name for name in names if name not in targets]
        channels = _channels(raw, order, free, progress)
    if not channels:
        raise DataError(
            f"{raw.called} has no number column that changes within the values of {reading.id!r}: "
            "see whether that is the column that names the series (data.series_id)."
        )
    kept = {reading.id: raw.table[reading.id]}
    for name in names:
        if name not in channels and (reading.channels or not _changes(raw, order, name)):
            kept[name] = raw.table[name]
    table = Table(kept).take(order.first)
    name = reading.name
    while name in table:
        name += "_"
    table = table.replace(name, _series(raw, channels, order))
    where, first, column = raw.where, order.first, table[reading.id]
    assert isinstance(column, pd.Series)
    texts = cells.texts(column)
    note = _told(reading, channels, order)
    progress.say(note)
    return replace(
        raw,
        table=table,
        series_note=note,
        kinds={k: v for k, v in raw.kinds.items() if k in table} | {name: "series"},
        where=lambda row: f"{where(int(first[row]))} ({reading.id} {texts[row]})",
        series_reading=changed(reading, name=name, channels=tuple(channels)),
    )


def _told(reading: SeriesReading, channels: list[str], order: Order) -> str:
    """What became of the rows, for people."""
    many, few = len(order.rows), len(order.starts)
    of = f"{'channel' if len(channels) == 1 else 'channels'} {', '.join(map(repr, channels))}"
    by = "in the order of the rows" if reading.time is None else f"in the order of {reading.time!r}"
    told = f"{many:,} rows became {few:,} series of the {of}, one for each {reading.id!r}, {by}"
    if order.uneven:
        told += "; the times between steps are uneven: steps are counted, not timed"
    return f"{told}."


def _order(raw: Raw, reading: SeriesReading) -> Order:
    codes, _ = cells.codes_and_texts(_column(raw, reading.id, "data.series_id"))
    if (codes < 0).any():
        row = int((codes < 0).argmax())
        raise DataError(
            f"{raw.locate(row)} has no value of {reading.id!r}, which names its series."
        )
    times = np.arange(len(codes), dtype=np.float64)
    if reading.time is not None:
        times = _times(raw, reading.time)
    rows = np.lexsort((times, codes))
    ordered, at = codes[rows], times[rows]
    same = (ordered[1:] == ordered[:-1]) & (at[1:] == at[:-1])
    if same.any():
        place = int(same.argmax())
        first, second = sorted((int(rows[place]), int(rows[place + 1])))
        raise DataError(
            f"{raw.locate(second)} has the same {reading.id!r} and {reading.time!r} as "
            f"{raw.locate(first)}: a series has one row for each time; leave one of them out."
        )
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    between = np.diff(at)[ordered[1:] == ordered[:-1]]
    uneven = len(between) > 0 and bool(between.max() > (1 + EVEN) * between.min())
    return Order(rows, starts, np.diff(np.append(starts, len(rows))), uneven)


def _column(raw: Raw, name: str, key: str) -> Any:
    if name not in raw.table:
        raise DataError(
            f"{raw.called} has no column {name!r} ({key}).{nearest(name, raw.table.names)}"
        )
    return cells.scalars(raw.table, name)


def _times(raw: Raw, name: str) -> Array:
    column = _column(raw, name, "data.series_time")
    if pd.api.types.is_numeric_dtype(column.dtype):
        times = cells.numbers(column)
    elif pd.api.types.is_datetime64_any_dtype(column.dtype):
        times = cells.seconds(column, None)
    else:
        times = cells.numbers(column)
        layout = find_layout(profile(name, column))
        if layout is not None:
            times = cells.seconds(column, layout)
        elif np.isnan(times).any():  # what most cells are tells which of them is wrong
            others = (cells.seconds(column, each) for each in cells.LAYOUTS)
            times = max([times, *others], key=lambda found: np.isfinite(found).sum())
    if np.isnan(times).any():
        row = int(np.isnan(times).argmax())
        raise DataError(
            f"{raw.locate(row)} holds {column.iloc[row]!r} in {name!r}, which is no time: write "
            "numbers or ISO dates, one in every row."
        )
    return times


def _changes(raw: Raw, order: Order, name: str) -> bool:
    column = raw.table[name]
    if not isinstance(column, pd.Series):
        return True
    return bool(order.varying(cells.codes_and_texts(column)[0]).any())


def _channels(raw: Raw, order: Order, names: list[str], progress: Progress) -> list[str]:
    """The number columns that change within series; others that do are left out, and it is said."""
    found: list[str] = []
    left_out: list[str] = []
    for name in names:
        if _changes(raw, order, name):
            (found if _is_number(raw.table[name]) else left_out).append(name)
    if left_out:
        progress.say(
            f"{', '.join(map(repr, left_out))} {'change' if len(left_out) > 1 else 'changes'} "
            "within a series without being numbers: left out."
        )
    return found


def _require_constant(raw: Raw, order: Order, name: str, id: str) -> None:
    codes, _ = cells.codes_and_texts(_column(raw, name, "--target"))
    varying = order.varying(codes)
    if varying.any():
        place = int(varying.argmax())
        start = order.starts[place]
        rows = order.rows[start : start + order.lengths[place]]
        other = next(int(r) for r in rows if codes[r] >= 0 and codes[r] != codes[rows].max())
        raise DataError(
            f"The target {name!r} changes within a series ({raw.locate(other)}): it must be the "
            f"same in all rows of one {id!r}."
        )


def _is_number(column: Column) -> bool:
    if not isinstance(column, pd.Series) or pd.api.types.is_datetime64_any_dtype(column.dtype):
        return False
    values = cells.numbers(column)
    return bool((np.isfinite(values) | column.isna().to_numpy()).all())


def _series(raw: Raw, channels: list[str], order: Order) -> Ragged:
    for name in channels:
        _column(raw, name, "a channel of the series")
    columns = [cells.numbers(cells.scalars(raw.table, name)) for name in channels]
    values = np.stack(columns, axis=1)[order.rows]
    return Ragged(values, order.starts, order.lengths, np.nan)
