"""Encoding: from a table of raw values to the arrays that networks and baselines compute with.

Each row is encoded by itself, with the schema alone, so that a row means the same in training and
in serving. A number that cannot be parsed counts as missing, and a category that training never
saw has the code of unknown: such rows remain usable. A picture or sound that cannot be read does
not; its row is named in `Encoded.unreadable`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fathom.core.blocks import (
    CATEGORIES,
    NUMBERS,
    AudioBlock,
    Block,
    CategoriesBlock,
    ImageBlock,
    InputSpec,
    NumbersBlock,
    SeriesBlock,
    TextBlock,
)
from fathom.core.budget import Budget
from fathom.core.errors import DataError, nearest
from fathom.core.examples import Examples
from fathom.core.output import OutputSpec
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.core.ragged import Ragged
from fathom.core.schema import (
    AudioStatistics,
    CategoryStatistics,
    Field,
    ImageStatistics,
    NumberStatistics,
    Schema,
    SeriesStatistics,
    TextStatistics,
    TimeStatistics,
)
from fathom.core.stored import Rows
from fathom.data import cells
from fathom.data.labels import indicator
from fathom.data.pictures import encode_pictures
from fathom.data.scaling import standardise
from fathom.data.series import NO_VALUE, encode_series, series_of, without_values
from fathom.data.sounds import encode_sounds
from fathom.data.table import Table
from fathom.data.texts import as_written, encode_texts

MISSING_CODE, UNKNOWN_CODE, FIRST_CODE = 0, 1, 2
_PERIODS = {"year": 31_556_952.0, "week": 7 * 86_400.0, "day": 86_400.0}
# Bin edges of time features, whose distribution is known beforehand.
_EDGES = {"seconds": tuple(np.linspace(-1.5, 1.5, 25).tolist())}
_CYCLIC_EDGES = tuple(np.linspace(-1.0, 1.0, 17).tolist())


@dataclass(frozen=True)
class Encoded:
    """The examples of all rows in order, of each unreadable row its position and why, and of each
    picture column the rows whose values lie beyond the levels that training learned.
    """

    examples: Examples
    unreadable: dict[int, str]
    clipped: Mapping[str, frozenset[int]]


def input_spec(schema: Schema) -> InputSpec:
    """The blocks that `encode` gives for this schema, whose statistics must have been learned."""
    blocks: dict[str, Block] = {}
    names, edges = [], []
    for field in schema.of_kind("number", "time"):
        for name, of_name in _number_columns(field):
            names.append(name)
            edges.append(of_name)
    if names:
        blocks[NUMBERS] = NumbersBlock(tuple(names), tuple(edges))
    coded = schema.of_kind("category", "boolean")
    if coded:
        sizes = tuple(len(_vocabulary(f)) + FIRST_CODE for f in coded)
        blocks[CATEGORIES] = CategoriesBlock(tuple(f.name for f in coded), sizes)
    for field in schema.inputs:
        s = field.statistics
        if isinstance(s, ImageStatistics):
            blocks[field.name] = ImageBlock(s.channels, s.height, s.width, s.mean, s.std)
        elif isinstance(s, TextStatistics):
            blocks[field.name] = TextBlock(s.size, s.length, s.typical)
        elif isinstance(s, SeriesStatistics):
            gaps = s.gaps > 0 or s.missing > 0
            blocks[field.name] = SeriesBlock(s.channels, s.length, s.typical, gaps)
        elif isinstance(s, AudioStatistics):
            blocks[field.name] = AudioBlock(s.rate, s.length, s.typical, s.mean, s.std)
    return InputSpec(blocks)


def output_spec(schema: Schema) -> OutputSpec:
    """The form of the target, whose statistics must have been learned."""
    statistics = schema.target.statistics
    if schema.task == "multilabel":
        return OutputSpec("labels", labels=schema.labels)
    if isinstance(statistics, CategoryStatistics):
        return OutputSpec("classes", labels=statistics.vocabulary)
    assert isinstance(statistics, NumberStatistics)
    return OutputSpec("number", center=statistics.center, scale=statistics.scale)


def encode(
    table: Table,
    schema: Schema,
    *,
    targets: bool = True,
    progress: Progress | None = None,
    budget: Budget | None = None,
    digest: str = "",
) -> Encoded:
    """All rows of `table`, in order. Targets are None where they are not asked for or not there.

    Raises DataError where an input column is missing, or where a target cannot be encoded (none in
    a row, or a class that training never saw), and BudgetError where decoding all pictures would
    take more than 60 % of what is left of `budget`. With the `digest` of the data that the table
    is of, decoded pictures are kept in a cache; see `encode_pictures`.
    """
    _require_columns(table, schema)
    inputs: dict[str, Rows] = {}
    unreadable: dict[int, str] = {}
    clipped: dict[str, frozenset[int]] = {}
    if schema.of_kind("number", "time"):
        inputs[NUMBERS] = _numbers(table, schema)
    if schema.of_kind("category", "boolean"):
        inputs[CATEGORIES] = _categories(table, schema)
    for field in schema.of_kind("image"):
        beyond: set[int] = set()
        pictures, reasons = encode_pictures(
            table[field.name], _image(field), progress, budget, digest=digest, clipped=beyond
        )
        inputs[field.name] = pictures
        unreadable.update(reasons)
        clipped[field.name] = frozenset(beyond)
    for field in schema.of_kind("audio"):
        assert isinstance(field.statistics, AudioStatistics)
        sounds, reasons = encode_sounds(table[field.name], field.statistics, progress, budget)
        inputs[field.name] = sounds
        unreadable.update(reasons)
    written: dict[str, Ragged] = {}
    for field in schema.of_kind("text"):
        assert isinstance(field.statistics, TextStatistics)
        column = cells.scalars(table, field.name)
        inputs[field.name] = encode_texts(column, field.statistics)
        written[field.name] = as_written(column)
    for field in schema.of_kind("series"):
        assert isinstance(field.statistics, SeriesStatistics)
        series = series_of(table[field.name], field.name, field.statistics.channels)
        inputs[field.name] = encode_series(series, field.statistics, field.name)
        if len(schema.inputs) == 1:  # beside other inputs a missing series is no more than a gap
            empty = np.flatnonzero(without_values(series))
            unreadable.update(dict.fromkeys(empty.tolist(), NO_VALUE.format(name=field.name)))
    known = targets and schema.target.name in table
    codes = encode_targets(table, schema) if known else None
    examples = Examples(inputs, codes, np.arange(len(table), dtype=np.int64), written)
    return Encoded(examples, unreadable, clipped)


def encode_targets(table: Table, schema: Schema) -> Array:
    """Class codes (n,) int64, numbers (n,) float64 in the target's own units, or labels (n, K).

    Labels are uint8, 1 where one holds; those that the schema does not know are passed over. Raises
    DataError where a row has no target, or a class that training never saw.
    """
    column = cells.scalars(table, schema.target.name)
    if schema.task == "regression":
        values = cells.numbers(column)
        _require_targets(schema, np.isnan(values))
        return values
    labels = schema.labels
    if schema.task == "multilabel":
        texts = cells.texts(column)
        _require_targets(schema, np.asarray(pd.isna(texts)))
        return indicator(texts, labels)
    codes, distinct = cells.codes_and_texts(column)
    _require_targets(schema, codes < 0)
    places = pd.Index(labels).get_indexer(pd.Index(distinct, dtype=object))
    if (places < 0).any():
        label = str(distinct[int(np.flatnonzero(places < 0)[0])])
        raise DataError(
            f"The class {label!r} of {schema.target.name!r} was never seen in training "
            f"(known: {', '.join(labels[:20])}{' …' if len(labels) > 20 else ''}): add training "
            f"rows of it, or take its rows out.{nearest(label, labels)}"
        )
    return np.asarray(places[codes], dtype=np.int64)


def _numbers(table: Table, schema: Schema) -> Array:
    columns = []
    for field in schema.of_kind("number", "time"):
        statistics = field.statistics
        column = cells.scalars(table, field.name)
        if isinstance(statistics, TimeStatistics):
            columns += _time_features(cells.seconds(column, statistics.layout), statistics)
        else:
            assert isinstance(statistics, NumberStatistics)
            values = cells.numbers(column)
            columns.append(standardise(values, statistics.center, statistics.scale))
    return np.stack(columns, axis=1).astype(np.float32)


def _time_features(seconds: Array, statistics: TimeStatistics) -> list[Array]:
    features = []
    for part in statistics.parts:
        if part == "seconds":
            features.append(standardise(seconds, statistics.center, statistics.scale))
            continue
        cycle, wave = part.split("_")
        angle = 2 * np.pi * (seconds % _PERIODS[cycle]) / _PERIODS[cycle]
        features.append(np.sin(angle) if wave == "sin" else np.cos(angle))
    return features


def _categories(table: Table, schema: Schema) -> Array:
    coded = schema.of_kind("category", "boolean")
    return np.stack([_codes(table, field) for field in coded], axis=1)


def _codes(table: Table, field: Field) -> Array:
    codes, distinct = cells.codes_and_texts(cells.scalars(table, field.name))
    places = pd.Index(_vocabulary(field), dtype=object).get_indexer(
        pd.Index(distinct, dtype=object)
    )
    of_distinct = np.where(places < 0, UNKNOWN_CODE, places + FIRST_CODE)
    return np.append(of_distinct, MISSING_CODE).astype(np.int64)[codes]


def _number_columns(field: Field) -> list[tuple[str, tuple[float, ...]]]:
    statistics = field.statistics
    if isinstance(statistics, TimeStatistics):
        return [(f"{field.name} {p}", _EDGES.get(p, _CYCLIC_EDGES)) for p in statistics.parts]
    assert isinstance(statistics, NumberStatistics)
    return [(field.name, statistics.quantiles)]


def _vocabulary(field: Field) -> tuple[str, ...]:
    assert isinstance(field.statistics, CategoryStatistics)
    return field.statistics.vocabulary


def _image(field: Field) -> ImageStatistics:
    assert isinstance(field.statistics, ImageStatistics)
    return field.statistics


def _require_columns(table: Table, schema: Schema) -> None:
    for field in schema.inputs:
        if field.name not in table:
            raise DataError(
                f"The data has no column {field.name!r}, which the model was trained on."
                f"{nearest(field.name, table.names)} Add the column, empty where unknown."
            )


def _require_targets(schema: Schema, missing: Array) -> None:
    if missing.any():
        raise DataError(
            f"Row {int(missing.argmax()) + 1} has no usable value of the target "
            f"{schema.target.name!r} ({int(missing.sum()):,} such rows in all): leave them out."
        )
