"""Learning a schema's statistics, from the rows of the training split and no others."""

from __future__ import annotations

import msgspec
import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.schema import (
    AudioStatistics,
    CategoryStatistics,
    Field,
    ImageStatistics,
    NumberStatistics,
    Schema,
    SeriesStatistics,
    Statistics,
    TextStatistics,
    TimeStatistics,
)
from fathom.data import cells
from fathom.data.labels import label_counts
from fathom.data.pictures import learn_pictures, told_levels
from fathom.data.scaling import standardise
from fathom.data.series import learn_series, series_of, told_series
from fathom.data.sounds import learn_sounds, told_sounds
from fathom.data.table import Table
from fathom.data.texts import Pretokenized, learn_texts, told_cut

BINS = 32  # bins of the piecewise-linear embedding of a number
MOST_VALUES = 128  # so few distinct values are an edge each
ROWS_PER_EDGE = 10  # fewer would let the embedding learn single rows by heart
MAXIMUM_VOCABULARY = 5000
FEWEST_OF_LABEL = 10  # training rows, below which a label cannot be told from chance
MAXIMUM_LABELS = 1000
NORMAL_IQR = 1.349  # interquartile range of a normal distribution, in standard deviations
_DAY, _YEAR = 86_400.0, 31_556_952.0


def learn(
    schema: Schema,
    table: Table,
    rows: Array,
    *,
    image_size: int | None = None,
    tokenizer: Pretokenized | None = None,
    sample_rate: int | None = None,
) -> Schema:
    """The schema with the statistics of every input and of the target, over `rows` alone.

    `image_size` brings pictures to about image_size² pixels; None keeps their own size where they
    are arrays, and at most 64² where they are files. `tokenizer` is that of a pretrained network
    which is to read the texts, `sample_rate` that of one which is to hear the sounds.
    """

    def learned(field: Field) -> Field:
        if field.role not in ("input", "target"):
            return field
        column = Table({field.name: table[field.name]}).take(rows)  # one at a time: they are copies
        if field.kind == "audio" and field.role == "input":
            statistics: Statistics = learn_sounds(field.name, column[field.name], sample_rate)
        else:
            statistics = _statistics(schema, field, column, image_size, tokenizer)
        return _told(msgspec.structs.replace(field, statistics=statistics))

    return msgspec.structs.replace(schema, fields=tuple(map(learned, schema.fields)))


def _told(field: Field) -> Field:
    """The field with what was learned of pictures, texts or sound in its reason."""
    told = ""
    if isinstance(field.statistics, ImageStatistics) and field.statistics.levels is not None:
        told = told_levels(field.statistics.levels)
    if isinstance(field.statistics, TextStatistics):
        told = told_cut(field.statistics)
    if isinstance(field.statistics, SeriesStatistics):
        told = told_series(field.statistics)
    if isinstance(field.statistics, AudioStatistics):
        told = told_sounds(field.statistics)
    return msgspec.structs.replace(field, reason=f"{field.reason}; {told}") if told else field


def _statistics(
    schema: Schema,
    field: Field,
    table: Table,
    image_size: int | None,
    tokenizer: Pretokenized | None,
) -> Statistics:
    if field.kind == "image" and field.role == "input":
        return learn_pictures(field.name, table[field.name], image_size)
    if field.kind == "series" and field.role == "input":
        return learn_series(series_of(table[field.name], field.name, 1), field.name)
    column = cells.scalars(table, field.name)
    if field.kind == "text" and field.role == "input":
        return learn_texts(column, tokenizer)
    return _of_scalars(schema, field, column)


def _of_scalars(schema: Schema, field: Field, column: pd.Series) -> Statistics:
    if field.role == "target":
        return _target_statistics(schema, column)
    if field.kind == "number":
        return learn_number(column)
    if field.kind == "time":
        assert isinstance(field.statistics, TimeStatistics)
        return learn_time(column, field.statistics.layout)
    return learn_category(column)


def learn_number(column: pd.Series) -> NumberStatistics:
    """Centre, scale and bin edges of a number column; robust, so that outliers do not set them.

    The centre is the median and the scale the interquartile range / 1.349; where that is 0 the
    standard deviation, and 1 for a constant.
    """
    values = cells.numbers(column)
    present = values[~np.isnan(values)]
    if not len(present):
        return NumberStatistics(0.0, 1.0, 0.0, 0.0, len(values))
    center, scale = _center_and_scale(present)
    edges = _edges(standardise(present, center, scale))
    low, high = float(present.min()), float(present.max())
    return NumberStatistics(center, scale, low, high, len(values) - len(present), edges)


def learn_category(column: pd.Series) -> CategoryStatistics:
    """The vocabulary by falling count, then name; rare values are left to the code of unknown."""
    codes, distinct = cells.codes_and_texts(column)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    rare = max(2, min(10, len(codes) // 5000))  # too rare to learn an embedding from
    ranked = sorted(zip(-counts, distinct, strict=True))
    kept = [(name, int(-count)) for count, name in ranked if -count >= rare][:MAXIMUM_VOCABULARY]
    missing = int((codes < 0).sum())
    return CategoryStatistics(tuple(n for n, _ in kept), tuple(c for _, c in kept), missing)


def learn_time(column: pd.Series, layout: str | None) -> TimeStatistics:
    """Seconds since 1970, and the places in year, week and day where these vary."""
    values = cells.seconds(column, layout)
    present = values[~np.isnan(values)]
    if not len(present):
        return TimeStatistics(0.0, 1.0, len(values), ("seconds",), layout)
    center, scale = _center_and_scale(present)
    parts = ["seconds"]
    if np.ptp(present) > _YEAR / 6:
        parts += ["year_sin", "year_cos"]
    if len(np.unique(np.floor(present / _DAY) % 7)) > 1:
        parts += ["week_sin", "week_cos"]
    if len(np.unique(present % _DAY)) > 1:
        parts += ["day_sin", "day_cos"]
    return TimeStatistics(center, scale, len(values) - len(present), tuple(parts), layout)


def target_classes(column: pd.Series) -> CategoryStatistics:
    """The classes in order: as numbers where all are numbers, else by name."""
    codes, distinct = cells.codes_and_texts(column)
    counts = np.bincount(codes[codes >= 0], minlength=len(distinct))
    order = _class_order(distinct)
    return CategoryStatistics(
        tuple(str(distinct[i]) for i in order),
        tuple(int(counts[i]) for i in order),
        int((codes < 0).sum()),
    )


def target_labels(schema: Schema, column: pd.Series) -> CategoryStatistics:
    """The labels of label sets, in the order of their columns, else of numbers or names.

    What too few rows have, or lack, cannot be learned and is left out. Raises DataError where fewer
    than two are left.
    """
    texts = cells.texts(column)
    present = sum(text is not None for text in texts)
    counts = label_counts(texts)
    fewest = max(2, min(FEWEST_OF_LABEL, present // 20))
    reading = schema.label_reading
    names = np.array(list(counts), dtype=object)
    ordered = [str(names[i]) for i in _class_order(names)] if len(names) else []
    if reading is not None and len(reading.columns) > 1:
        ordered = [name for name in reading.columns if name in counts]
    kept = [name for name in ordered if fewest <= counts[name] <= present - fewest]
    most = set(sorted(kept, key=lambda name: -counts[name])[:MAXIMUM_LABELS])
    kept = [name for name in kept if name in most]
    if len(kept) < 2:
        raise DataError(
            f"Of {len(counts):,} labels of {schema.target.name!r} {len(kept)} can be learned: it "
            f"takes {fewest} training rows that have a label and {fewest} that lack it, and two "
            "such labels; add rows, or choose another target."
        )
    return CategoryStatistics(
        tuple(kept), tuple(counts[name] for name in kept), len(texts) - present
    )


def _target_statistics(schema: Schema, column: pd.Series) -> Statistics:
    if schema.task == "multilabel":
        return target_labels(schema, column)
    return target_number(column) if schema.task == "regression" else target_classes(column)


def target_number(column: pd.Series) -> NumberStatistics:
    """Mean and standard deviation of a number to be learned (its squared error is minimised)."""
    values = cells.numbers(column)
    present = values[~np.isnan(values)]
    low, high = float(present.min()), float(present.max())
    scale = float(present.std())
    missing = len(values) - len(present)
    return NumberStatistics(float(present.mean()), scale if scale > 0 else 1.0, low, high, missing)


def _class_order(distinct: Array) -> list[int]:
    numbers = cells.parse_numbers(distinct)
    if np.isnan(numbers).any():
        return sorted(range(len(distinct)), key=lambda i: str(distinct[i]))
    return sorted(range(len(distinct)), key=lambda i: float(numbers[i]))


def _center_and_scale(present: Array) -> tuple[float, float]:
    low, center, high = (float(q) for q in np.quantile(present, [0.25, 0.5, 0.75]))
    scale = (high - low) / NORMAL_IQR
    if not scale > 0:
        scale = float(present.std())
    return center, scale if scale > 0 else 1.0


def _edges(encoded: Array) -> tuple[float, ...]:
    """Increasing edges: every value where they are few, else quantiles of rows and of values.

    Quantiles of rows alone give a column that is mostly zero five edges or so, and the thresholds
    that trees find in it are lost; the quantiles of its distinct values keep them.
    """
    encoded = encoded.astype(np.float32)
    distinct = np.unique(encoded)
    affordable = max(len(encoded) // ROWS_PER_EDGE, 2)
    if len(distinct) > min(MOST_VALUES, affordable):
        shares = np.linspace(0, 1, min(BINS, affordable) + 1)
        quantiles = [np.quantile(v, shares, method="nearest") for v in (encoded, distinct)]
        distinct = np.unique(np.concatenate(quantiles))
    return tuple(float(edge) for edge in distinct)
