"""Series ids: columns that seem to give the target away because each row is a step of a series."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fathom.core.prediction import Array
from fathom.core.schema import Schema, TimeStatistics
from fathom.data import cells
from fathom.data.prepare import target_values
from fathom.data.raw import Raw

FEWEST_STEPS = 3  # rows of one value, in the middle of all values, from which on it may be a series
FEWEST_SERIES = 5


@dataclass(frozen=True)
class LongTable:
    """The columns of a table that names series (`id`) and orders their steps (`time`)."""

    id: str
    time: str

    @property
    def way_out(self) -> str:
        """What to do instead, as a half sentence."""
        id, time = shlex.quote(self.id), shlex.quote(self.time)
        return (
            f"{self.id!r} looks like the name of a series whose steps are the rows, in the order "
            f"of {self.time!r}: learn from whole series with --set series_id={id} --set "
            f"series_time={time}, or from single rows with --group {id}, which keeps those of "
            "one value in one split"
        )


def find_long_table(raw: Raw, schema: Schema, columns: Iterable[str]) -> LongTable | None:
    """The first of some columns that looks like the id of series, with what orders their steps.

    It has few values, each in several rows with one target, and more than there are targets to
    stand for; and another column never repeats within one of them, and is a time or goes one way.
    """
    target, _ = pd.factorize(np.asarray(target_values(raw, schema)))
    for name in columns:
        ids = pd.factorize(cells.scalars(raw.table, name))[0]
        if not _names_series(ids, target):
            continue
        for other in schema.of_kind("number", "time"):
            if other.name != name and _orders(raw, other.name, other.statistics, ids):
                return LongTable(name, other.name)
    return None


def _names_series(ids: Array, target: Array) -> bool:
    if (ids < 0).any():
        return False
    counts = np.bincount(ids)
    pairs = len(np.unique(np.stack([ids, target]), axis=1).T)
    repeated = float(np.median(counts)) >= FEWEST_STEPS
    return repeated and len(counts) >= FEWEST_SERIES and pairs == len(counts) > target.max() + 1


def _orders(raw: Raw, name: str, statistics: object, ids: Array) -> bool:
    column = cells.scalars(raw.table, name)
    is_time = isinstance(statistics, TimeStatistics)
    values = cells.numbers(column)
    if isinstance(statistics, TimeStatistics):
        values = cells.seconds(column, statistics.layout)
    if np.isnan(values).any():
        return False
    order = np.argsort(ids, kind="stable")
    steps = np.diff(values[order])[np.diff(ids[order]) == 0]
    if is_time:
        return len(np.unique(np.stack([ids, values]), axis=1).T) == len(ids)
    return len(steps) > 0 and bool((steps > 0).all() or (steps < 0).all())
