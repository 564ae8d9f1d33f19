"""Surprises: values in new data that the model cannot take for what they are."""

from __future__ import annotations

from collections import Counter

import numpy as np

from fathom.core.blocks import CATEGORIES, NUMBERS
from fathom.core.examples import Examples
from fathom.core.schema import ImageStatistics, Schema, TimeStatistics
from fathom.data import cells
from fathom.data.encode import UNKNOWN_CODE, Encoded
from fathom.data.pictures import told_clipped
from fathom.data.remarks import cut_rows, limit_of, odd_sounds
from fathom.data.table import Table

Surprises = Counter[tuple[str, str]]
"""(column, what happens to such values) to their number."""

UNKNOWN = "are none that the model has learned: they count as unknown"


def find_surprises(table: Table, schema: Schema, encoded: Encoded) -> Surprises:
    """Count what of `table`, as it was encoded, is missing, unknown, clipped, cut or damaged."""
    examples = encoded.examples
    return (
        _unparsed(table, schema, examples)
        + _unknown(schema, examples)
        + _clipped(schema, encoded)
        + _cut(table, schema, encoded)
        + _odd_sounds(table, schema, encoded)
    )


def _cut(table: Table, schema: Schema, encoded: Encoded) -> Surprises:
    found: Surprises = Counter()
    for field in schema.of_kind("text", "audio", "series"):
        what = f"are longer than {limit_of(field)}: what comes after is not seen by the network"
        found[field.name, what] = len(cut_rows(table, field, encoded))
    return +found


def _odd_sounds(table: Table, schema: Schema, encoded: Encoded) -> Surprises:
    found: Surprises = Counter()
    for field in schema.of_kind("audio"):
        for what, rows in odd_sounds(table, field, encoded).items():
            found[field.name, f"are {what}"] = len(rows)
    return found


def _clipped(schema: Schema, encoded: Encoded) -> Surprises:
    found: Surprises = Counter()
    for field in schema.of_kind("image"):
        statistics, rows = field.statistics, encoded.clipped.get(field.name, ())
        if rows and isinstance(statistics, ImageStatistics) and statistics.levels:
            found[field.name, told_clipped(statistics.levels)] = len(rows)
    return found


def _unparsed(table: Table, schema: Schema, examples: Examples) -> Surprises:
    found: Surprises = Counter()
    position = 0
    for field in schema.of_kind("number", "time"):
        lost = np.isnan(examples.inputs[NUMBERS][:, position])
        there = cells.codes_and_texts(cells.scalars(table, field.name)[lost])[0] >= 0
        found[field.name, f"cannot be read as a {field.kind}: they count as missing"] = int(
            there.sum()
        )
        statistics = field.statistics
        position += len(statistics.parts) if isinstance(statistics, TimeStatistics) else 1
    return +found  # without the zeros


def _unknown(schema: Schema, examples: Examples) -> Surprises:
    found: Surprises = Counter()
    for position, field in enumerate(schema.of_kind("category", "boolean")):
        codes = examples.inputs[CATEGORIES][:, position]
        found[field.name, UNKNOWN] = int((codes == UNKNOWN_CODE).sum())
    return +found
