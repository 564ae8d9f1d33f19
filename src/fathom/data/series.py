"""Series: what is learned of their values in training, and series as standardised numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.quantities import percent_digits
from fathom.core.ragged import Ragged
from fathom.core.schema import SeriesStatistics
from fathom.data.number_lists import cell_of, parsed
from fathom.data.scaling import standardise
from fathom.data.table import Column

MOST_STEPS = 2_048  # of longer series as many steps are averaged as makes them fit
LENGTH_SHARE = 0.99  # of the training rows are not cut
LONGEST_SPREAD = 1.5  # a few longer ones are not cut, either, up to so much more
NO_VALUE = "the series {name!r} has no value"


def learn_series(column: Ragged, name: str) -> SeriesStatistics:
    """Lengths, and the mean and standard deviation of each channel, over the training rows.

    Raises DataError where no row has a value.
    """
    lengths = column.lengths[column.lengths > 0]
    count, channels = len(column), column.values.shape[1]
    rows = [row for row in column if len(row)]
    values = np.concatenate(rows).astype(np.float64) if rows else np.empty((0, channels))
    known = ~np.isnan(values)
    if not known.any():
        raise DataError(
            f"Column {name!r} has no value in any of the {count:,} training rows: leave it out "
            "with --drop, or fill it."
        )
    usual = int(np.quantile(lengths, LENGTH_SHARE, method="higher"))
    longest = min(int(lengths.max()), int(LONGEST_SPREAD * usual))
    every = -(-longest // MOST_STEPS)
    counts = np.maximum(known.sum(axis=0), 1)
    centers = np.where(known, values, 0.0).sum(axis=0) / counts
    scales = np.sqrt(np.where(known, (values - centers) ** 2, 0.0).sum(axis=0) / counts)
    scales[~(scales > 0)] = 1.0
    empty = sum(bool(np.isnan(row).all()) for row in rows)
    return SeriesStatistics(
        channels=channels,
        length=-(-longest // every),
        typical=max(1, round(float(np.median(lengths)) / every)),
        centers=tuple(map(float, centers)),
        scales=tuple(map(float, scales)),
        every=every,
        gaps=float((~known).mean()),
        cut=float((column.lengths > longest).mean()),
        lost=float(np.maximum(lengths - longest, 0).sum() / lengths.sum()),
        missing=count - len(rows) + empty,
    )


def encode_series(column: Ragged, statistics: SeriesStatistics, name: str) -> Ragged:
    """Every series (steps, channels) float32, standardised and clipped; NaN where missing.

    One without a value is one step that is missing. Raises DataError for other channels than were
    learned.
    """
    if column.values.shape[1] != statistics.channels:
        raise DataError(
            f"The series in {name!r} have {_channels(column.values.shape[1])}, but the model has "
            f"learned {_channels(statistics.channels)}."
        )
    nothing = np.full((1, statistics.channels), np.nan, dtype=np.float32)
    rows = []
    for row in column:
        values = _shortened(row.astype(np.float64), statistics)
        rows.append(_standardised(values, statistics) if len(values) else nothing)
    return Ragged.of(rows, np.nan, np.float32, statistics.channels)


def without_values(column: Ragged) -> Array:
    """Mask (n,): rows in which no step has a value."""
    return np.array([bool(np.isnan(row).all()) for row in column], dtype=bool)


def value_counts(column: Ragged) -> tuple[Array, int]:
    """How many values each channel has in all rows, (channels,), and how many steps there are.

    A row without any step counts as one that is missing.
    """
    counts = np.zeros(column.values.shape[1], dtype=np.int64)
    for row in column:
        counts += (~np.isnan(row)).sum(axis=0)
    return counts, int(np.maximum(column.lengths, 1).sum())


def series_of(column: Column, name: str, channels: int) -> Ragged:
    """A column as series, from whatever holds them. Raises DataError where it holds none."""
    if isinstance(column, Ragged):
        return column
    if isinstance(column, pd.Series) and (
        column.isna().all() or not pd.api.types.is_numeric_dtype(column.dtype)
    ):
        cells = [None if cell is None else cell_of(cell) for cell in parsed(column)]
        if all((c is not None) == t for c, t in zip(cells, column.notna(), strict=True)):
            empty = np.empty((0, channels))
            rows = [empty if cell is None or not len(cell) else cell for cell in cells]
            if len({row.shape[1] for row in rows}) == 1:
                return Ragged.of(rows, np.nan, np.float64, rows[0].shape[1])
    raise DataError(f"Column {name!r} holds no series: give a list of numbers in each row.")


def series_fit(statistics: SeriesStatistics) -> bool:
    """Whether the numbers of the statistics can be of a column of series."""
    s = statistics
    return (
        s.channels >= 1
        and 1 <= s.typical <= s.length <= MOST_STEPS
        and s.every >= 1
        and len(s.centers) == len(s.scales) == s.channels
        and all(np.isfinite(s.centers))
        and all(np.isfinite(scale) and scale > 0 for scale in s.scales)
    )


def told_series(statistics: SeriesStatistics) -> str:
    """What is averaged or cut of long series, in words; empty where nothing is."""
    told = []
    if statistics.every > 1:
        told.append(f"every {statistics.every} steps are averaged")
    if statistics.cut:
        told.append(
            f"series longer than {statistics.length * statistics.every:,} steps "
            f"({percent_digits(statistics.cut)} % of the training rows) are cut there"
        )
    return "; ".join(told)


def _channels(count: int) -> str:
    return f"{count} channel{'' if count == 1 else 's'}"


def _shortened(values: Array, statistics: SeriesStatistics) -> Array:
    """Every so many steps as their mean, no more than the most."""
    every = statistics.every
    values = values[: statistics.length * every]
    if every > 1 and len(values):
        starts = np.arange(0, len(values), every)
        known = ~np.isnan(values)
        counts = np.add.reduceat(known, starts, axis=0, dtype=np.int64)
        sums = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
        values = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    there = np.flatnonzero(~np.isnan(values).all(axis=1))
    return values[: there[-1] + 1 if len(there) else 0]


def _standardised(values: Array, statistics: SeriesStatistics) -> Array:
    centers, scales = np.array(statistics.centers), np.array(statistics.scales)
    return standardise(values, centers, scales).astype(np.float32)
