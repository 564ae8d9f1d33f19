"""Splitting: train, validation, calibration and test rows, so that nothing leaks between them.

Given splits are never altered. What is missing is cut: stratified by class (or by tenths of a
number), with groups, copies and near duplicates of a row on one side, or along the time that
orders the rows.
A split is a pure function of data and seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Field, Schema
from fathom.data import cells
from fathom.data.labels import strata as label_strata
from fathom.data.prepare import target_values
from fathom.data.raw import Raw
from fathom.data.repeats import Repeats, components, find_repeats

PARTS = ("train", "validation", "calibration", "test")
SMALL = 2000  # below this many rows, a larger share is needed to measure anything
SHARES = {"test": 0.15, "validation": 0.10, "calibration": 0.05}
SMALL_SHARES = {"test": 0.20, "validation": 0.125, "calibration": 0.075}
CAPS = {"test": 20_000, "validation": 6_000, "calibration": 3_000}
"""More rows than these hardly narrow an interval, and are better spent on training."""
BY = {
    "classification": "class",
    "multilabel": "label set, rare sets by their rarest label",
    "regression": "tenths of the target",
}


@dataclass(frozen=True)
class Splits:
    """Row positions (int64, increasing) of each part, and a sentence on how they came about."""

    train: Array
    validation: Array
    calibration: Array
    test: Array
    how: str

    def parts(self) -> dict[str, Array]:
        """The parts by name."""
        return {name: getattr(self, name) for name in PARTS}

    def without(self, rows: Array, why: str) -> Splits:
        """The splits without some rows; the sentence has the counts that are left, and `why`."""
        kept = {name: part[~np.isin(part, rows)] for name, part in self.parts().items()}
        way = self.how.partition("; ")[2].removesuffix(".")
        return Splits(**kept, how=f"{_sizes(kept)}; {way}; {why}.")


def split(raw: Raw, schema: Schema, *, seed: int, repeats: Repeats | None = None) -> Splits:
    """Positions of every row of `raw` in exactly one part. `repeats` are found where not given.

    Raises DataError where groups or times are too few to make the parts that are missing.
    """
    part = np.full(len(raw), "train", dtype=object)
    if raw.given_split is not None:
        part[:] = raw.given_split
    wanted = [name for name in ("test", "validation", "calibration") if not (part == name).any()]
    order = next((f for f in schema.fields if f.role == "order"), None)
    if order is not None:
        way = _cut_by_order(raw, order, part, wanted)
    else:
        if repeats is None:
            repeats = find_repeats(raw, schema, seed=seed)
        sizes = part_sizes(int((part == "train").sum()), wanted)
        way = _cut_by_units(raw, schema, part, sizes, seed=seed, repeats=repeats)
    how = _sentence(raw, part, wanted, way)
    rows = {name: np.flatnonzero(part == name) for name in PARTS}
    return Splits(**rows, how=how)


def hold_out(
    raw: Raw, schema: Schema, sizes: Mapping[str, int], *, seed: int, repeats: Repeats
) -> Splits:
    """Parts of about so many rows, by name, cut from all rows alike; the others train.

    Raises DataError where rows that must stay together are too few to make the parts.
    """
    part = np.full(len(raw), "train", dtype=object)
    wanted = {name: rows for name, rows in sizes.items() if rows > 0}
    way = _cut_by_units(raw, schema, part, wanted, seed=seed, repeats=repeats) if wanted else ""
    parts = {name: np.flatnonzero(part == name) for name in PARTS}
    return Splits(**parts, how=f"{_sizes(parts)}; {way}.")


def part_sizes(rows: int, wanted: Sequence[str]) -> dict[str, int]:
    """How many of `rows` each wanted part gets: a share that is larger for small data, capped."""
    shares = SMALL_SHARES if rows < SMALL else SHARES
    return {p: max(1, min(round(shares[p] * rows), CAPS[p])) for p in wanted}


def _cut_by_units(
    raw: Raw,
    schema: Schema,
    part: Array,
    wanted: Mapping[str, int],
    *,
    seed: int,
    repeats: Repeats,
) -> str:
    """Assign `wanted` parts, rows by name, in place: whole units, every k-th along the strata."""
    pool = np.flatnonzero(part == "train")
    all_of_it = len(pool) == len(raw)  # then nothing need be copied
    within = raw if all_of_it else raw.take(pool)
    units, way = _units(within, schema, repeats if all_of_it else repeats.take(pool))
    strata = _strata(within, schema)
    sizes = np.bincount(units)
    _require_units(raw, schema, len(sizes), list(wanted))
    first = np.full(len(sizes), len(units))
    np.minimum.at(first, units, np.arange(len(units)))
    free = np.ones(len(sizes), dtype=bool)
    if schema.is_named:
        free[_kept_for_training(units, strata, numpy_generator(seed, "split", "train"))] = False
    spare = len(wanted) - schema.is_named  # units that later parts still need
    for name, rows in wanted.items():
        generator = numpy_generator(seed, "split", name)
        chosen = _systematic(strata[first], sizes, free, rows, generator)[: free.sum() - spare]
        _require_some(raw, chosen, name)
        spare -= 1
        free[chosen] = False
        part[pool[np.isin(units, chosen)]] = name
    return f"stratified by {BY[schema.task]}{way}"


def _systematic(
    strata: Array, sizes: Array, free: Array, rows: int, generator: np.random.Generator
) -> Array:
    """Units with about `rows` rows in all: every k-th along (stratum, size), in random order.

    Systematic sampling takes its share of every stratum, and of the whole, to within one unit.
    """
    candidates = np.flatnonzero(free)
    keys = (generator.random(len(candidates)), -sizes[candidates], strata[candidates])
    candidates = candidates[np.lexsort(keys)]
    share = min(1.0, rows / max(1, int(sizes[candidates].sum())))
    ticks = np.floor(np.arange(len(candidates) + 1) * share + generator.random())
    chosen: Array = candidates[np.diff(ticks) > 0]
    if len(chosen) or not len(candidates):
        return chosen
    return np.asarray(generator.choice(candidates, 1))


def _kept_for_training(units: Array, classes: Array, generator: np.random.Generator) -> Array:
    """Units that stay in train so that it has every class: as few as a greedy choice needs."""
    pairs = pd.DataFrame({"unit": units, "label": classes}).drop_duplicates()
    pairs = pairs.iloc[generator.permutation(len(pairs))]
    if (pairs["unit"].value_counts() == 1).all():
        return np.asarray(pairs.drop_duplicates("label")["unit"])
    kept: list[int] = []
    uncovered = set(pairs["label"])
    by_unit = pairs.groupby("unit")["label"].agg(set).to_dict()
    for label, unit in zip(pairs["label"], pairs["unit"], strict=True):
        if label in uncovered:
            kept.append(int(unit))
            uncovered -= by_unit[unit]
    return np.array(kept, dtype=np.int64)


def _strata(raw: Raw, schema: Schema) -> Array:
    """The class or kind of label set of each row, or the tenth of the target that it lies in, as
    int64 codes.
    """
    values = target_values(raw, schema)
    if schema.task == "multilabel":
        return label_strata(values)
    if schema.task == "classification":
        return np.asarray(pd.factorize(values)[0], dtype=np.int64)
    ranks = pd.Series(values).rank(method="first").to_numpy() - 1
    bins = min(10, max(1, len(values) // 10))
    return np.asarray(ranks * bins // max(1, len(values)), dtype=np.int64)


def _units(raw: Raw, schema: Schema, repeats: Repeats) -> tuple[Array, str]:
    """The unit that each row belongs to, int64 codes without gaps, and how to say it."""
    how_repeats = _how_repeats(repeats)
    group = next((f for f in schema.fields if f.role == "group"), None)
    if group is None:
        return repeats.units, how_repeats
    rows = np.arange(len(raw), dtype=np.int64)
    of_groups = rows.copy()
    codes, _ = cells.codes_and_texts(cells.scalars(raw.table, group.name))
    of_groups[codes >= 0] = len(raw) + codes[codes >= 0]  # a row without a group stands alone
    of_groups = _codes(of_groups)
    how = f"; rows of one {group.name} kept together"
    joined = _joined(of_groups, repeats.units)
    if how_repeats and np.bincount(joined).max() <= max(
        np.bincount(of_groups).max(), len(raw) // 10
    ):
        return joined, how + how_repeats
    return of_groups, how


def _how_repeats(repeats: Repeats) -> str:
    together = (np.bincount(repeats.units) > 1)[repeats.units]
    near = int((together & ~repeats.copied).sum())
    kept = []
    if repeats.copied.any():
        kept.append(f"{int(repeats.copied.sum()):,} rows that are copies of others")
    if near:
        kept.append(f"{near:,} near duplicates")
    how = f"; {' and '.join(kept)} kept together" if kept else ""
    if not repeats.near.searched:
        how += "; near duplicates not looked for"
    return how


def _joined(first: Array, second: Array) -> Array:
    """Connected components of two partitions of the rows."""
    offset = int(first.max()) + 1
    nodes = np.arange(offset + int(second.max()) + 1)
    return _codes(components(nodes, np.stack([first, second + offset], axis=1))[first])


def _codes(labels: Array) -> Array:
    return np.asarray(pd.factorize(labels)[0], dtype=np.int64)


def _require_units(raw: Raw, schema: Schema, units: int, wanted: list[str]) -> None:
    if units > len(wanted):
        return
    group = next((f.name for f in schema.fields if f.role == "group"), None)
    column = f"--group {group} makes" if group else "it has"
    raise DataError(
        f"{raw.called} cannot be split: {column} {units} separate groups of rows, and "
        f"{len(wanted) + 1} are needed for {', '.join(('train', *wanted))}."
    )


def _require_some(raw: Raw, chosen: Array, name: str) -> None:
    if len(chosen):
        return
    raise DataError(
        f"{raw.called} has too few rows, or groups of rows, to set some of them aside for {name} "
        "while every class keeps one to train on: add rows, or group by a finer column."
    )


def _cut_by_order(raw: Raw, order: Field, part: Array, wanted: list[str]) -> str:
    """Assign `wanted` parts in place, newest rows to test; equal times are never separated."""
    pool = np.flatnonzero(part == "train")
    times = order_values(raw, order)[pool]
    ranked = np.argsort(np.where(np.isnan(times), -np.inf, times), kind="stable")
    times = np.nan_to_num(times[ranked], nan=-np.inf)
    starts = np.flatnonzero(times[1:] > times[:-1]) + 1
    names = [name for name in ("validation", "calibration", "test") if name in wanted]
    if len(starts) < len(names):
        raise DataError(
            f"Column {order.name!r} has {len(starts) + 1} distinct values, too few to cut "
            f"{', '.join(names)} off along it: order by a finer time, or leave --time out."
        )
    sizes = part_sizes(len(pool), names)
    end = len(pool)
    for left, name in zip(range(len(names) - 1, -1, -1), reversed(names), strict=True):
        usable = starts[left:]
        usable = usable[usable < end]  # `left` further cuts must fit below
        cut = int(usable[np.abs(usable - (end - sizes[name])).argmin()])
        part[pool[ranked[cut:end]]] = name
        end = cut
    return f"along {order.name}: the oldest rows train, the newest test"


def order_values(raw: Raw, order: Field) -> Array:
    """The column that orders the rows as float64, NaN where missing."""
    column = cells.scalars(raw.table, order.name)
    if order.kind == "time":
        layout = getattr(order.statistics, "layout", None)
        return cells.seconds(column, layout)
    return cells.numbers(column)


def _sizes(parts: Mapping[str, Array]) -> str:
    return ", ".join(f"{len(parts[name]):,} {name}" for name in PARTS)


def _sentence(raw: Raw, part: Array, wanted: list[str], way: str) -> str:
    rows = {name: np.flatnonzero(part == name) for name in PARTS}
    given = [name for name in PARTS if len(rows[name]) and name not in wanted]
    sizes = _sizes(rows)
    if raw.given_split is None:
        return f"{sizes}; {way}."
    if not wanted:
        return f"{sizes}; all as given."
    cut = " and ".join(name for name in PARTS if name in wanted)
    return f"{sizes}; {', '.join(given[1:]) or 'train'} as given, {cut} cut from train, {way}."
