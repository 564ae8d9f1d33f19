"""Preparing: rows that cannot be learned from are left out, and too little data is said so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.schema import Schema
from fathom.data import cells
from fathom.data.raw import Problem, Raw

MINIMUM_ROWS = 10
WHAT = {"classification": "class", "multilabel": "set of labels", "regression": "value"}


def drop_unusable(raw: Raw, schema: Schema) -> Raw:
    """The rows that have a target; those without are counted in one Problem for each given split.

    Raises DataError where fewer than 10 rows are left to train on, where the target has one class
    or one value alone or a number beyond 1e36, or where given test rows have a class that the
    training rows lack.
    """
    values = target_values(raw, schema)
    present = pd.notna(values)
    if not present.all():
        problems = _missing_targets(raw, schema, ~present)
        raw, values = raw.take(present), values[present]
        raw = replace(raw, problems=(*raw.problems, *problems))
    _require_size(raw, schema, values)
    _require_rows(raw, schema, _training(raw))
    _require_variety(raw, schema, values, _training(raw))
    return raw


def target_values(raw: Raw, schema: Schema) -> Array:
    """The target of all rows: texts (n,) object with None, or float64 with NaN where missing.

    Label sets are texts too; see `data.labels`.
    """
    column = cells.scalars(raw.table, schema.target.name)
    return cells.texts(column) if schema.is_named else cells.numbers(column)


def _training(raw: Raw) -> Array:
    if raw.given_split is None:
        return np.ones(len(raw), dtype=bool)
    return np.asarray(raw.given_split == "train")


def _missing_targets(raw: Raw, schema: Schema, missing: Array) -> list[Problem]:
    target, reading = schema.target.name, schema.label_reading
    hint = " (write [] where no label holds)" if reading and len(reading.columns) == 1 else ""
    given = raw.given_split if raw.given_split is not None else np.full(len(raw), "", dtype=object)
    problems = []
    for part in dict.fromkeys(given[missing]):
        rows = np.flatnonzero(missing & (given == part))
        noun = "row" if len(rows) == 1 else "rows"
        of_part = f" of the given {part} split" if part else ""
        problems.append(
            Problem(
                raw.locate(int(rows[0])) + (" and further" if len(rows) > 1 else ""),
                f"{len(rows):,} {noun}{of_part} without a value of the target {target!r} left out"
                f"{hint}",
            )
        )
    return problems


def _require_size(raw: Raw, schema: Schema, values: Array) -> None:
    if schema.is_named or not (huge := np.abs(values) >= cells.LARGEST).any():
        return
    row = int(huge.argmax())
    column = cells.scalars(raw.table, schema.target.name)
    raise DataError(
        f"{raw.locate(row)} has {column.iloc[row]} as its {schema.target.name!r}, a number too "
        "large to be learned: correct it, or leave the cell empty and the row is left out."
    )


def _require_rows(raw: Raw, schema: Schema, training: Array) -> None:
    rows = int(training.sum())
    if rows >= MINIMUM_ROWS:
        return
    kind = "training rows" if raw.given_split is not None else "rows"
    raise DataError(
        f"{raw.called} has {rows} {kind} with a value of {schema.target.name!r}; at least "
        f"{MINIMUM_ROWS} are needed to train and to test anything, a few hundred to learn well: "
        "add rows, or see whether the target column is the right one."
    )


def _require_variety(raw: Raw, schema: Schema, values: Array, training: Array) -> None:
    target = schema.target.name
    known = set(values[training])
    if len(known) < 2:
        only = next(iter(known))
        what = WHAT[schema.task]
        raise DataError(
            f"Target {target!r} has one {what} alone in the training rows, {only!r}: there is "
            "nothing to learn; choose another with --target or add rows of others."
        )
    if schema.task != "classification" or training.all():
        return
    for row in np.flatnonzero(~training):
        if values[row] not in known:
            raise DataError(
                f"{raw.locate(int(row))} has the class {values[row]!r} of {target!r}, which no "
                "training row has: add training rows of it, or take it out of the other splits."
            )
