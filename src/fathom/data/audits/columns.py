"""Columns: identifiers, constants and missing values; and what could not be read at all."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fathom.core.ragged import Ragged
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.core.schema import Field, Schema
from fathom.data import cells
from fathom.data.audits.words import percent
from fathom.data.raw import Raw
from fathom.data.series import value_counts

FILES = ("image", "audio")  # kinds that are never empty cells: what cannot be read is left out


def column_records(raw: Raw, schema: Schema) -> list[Record]:
    """`data.missing`, `data.identifiers`, `data.constants` and `data.unreadable`."""
    left_out = [f for f in schema.fields if f.role == "ignored" and "--drop" not in f.reason]
    constants = [f for f in left_out if f.reason.startswith(("a constant", "every value"))]
    identifiers = [f for f in left_out if f not in constants]
    return [
        _missing(raw, schema),
        _left_out("data.identifiers", identifiers, "No input column names or describes rows."),
        _left_out("data.constants", constants, "No column is constant."),
        unreadable_record(raw),
    ]


def missing_share(raw: Raw, field: Field) -> float:
    """Share of rows in which an input cannot be used: empty, or no number in a number column.

    Of series it is the share of their values, steps × channels.
    """
    column = raw.table[field.name]
    if isinstance(column, Ragged):
        counts, steps = value_counts(column)
        return 1.0 - float(counts.sum()) / max(1, steps * len(counts))
    if not isinstance(column, pd.Series) or field.kind in FILES:
        return 0.0
    if field.kind == "number":
        return float(np.isnan(cells.numbers(column)).mean())
    codes, _ = cells.codes_and_texts(column)
    return float((codes < 0).mean())


def _missing(raw: Raw, schema: Schema) -> Record:
    if all(field.kind in FILES for field in schema.inputs):
        reason = "The inputs are pictures or sounds, which are there or not."
        return not_applicable("data.missing", "data", reason)
    shares = {f.name: missing_share(raw, f) for f in schema.inputs if f.kind not in FILES}
    gaps = sorted(((s, name) for name, s in shares.items() if s > 0), reverse=True)
    total = float(np.mean(list(shares.values())))
    sentence = "No input value is missing."
    if gaps:
        sentence = (
            f"{percent(total)} of the input values are missing, in {len(gaps)} of {len(shares)} "
            f"columns; most in {gaps[0][1]} ({percent(gaps[0][0])})."
        )
    dead = [told for f in schema.inputs if (told := _without_a_value(raw, f))]
    sentence = " ".join([sentence, *dead])
    worst = max(gaps[0][0] if gaps else 0.0, 0.05 if dead else 0.0)
    grade: Grade = "good" if worst < 0.05 else "fair" if worst < 0.5 else "poor"
    rows = [[name, percent(share), _rows_with_gaps(raw, name, share)] for share, name in gaps[:30]]
    figure = Figure("table", {"columns": ["column", "missing", "rows"], "rows": rows})
    return Record(
        "data.missing",
        "data",
        sentence,
        value=total,
        unit="share",
        n=len(raw),
        method="empty cells, texts in number columns, and gaps within series (steps × channels)",
        higher_is_better=False,
        grade=grade,
        figure=figure if gaps else None,
    )


def _rows_with_gaps(raw: Raw, name: str, share: float) -> int:
    column = raw.table[name]
    if isinstance(column, Ragged):
        return sum(not len(row) or bool(np.isnan(row).any()) for row in column)
    return round(share * len(raw))


def _without_a_value(raw: Raw, field: Field) -> str:
    """A sentence that names the channels of a series which have no value in any row, or ''."""
    column = raw.table[field.name]
    if not isinstance(column, Ragged):
        return ""
    counts, _ = value_counts(column)
    reading = raw.series_reading
    names = [f"{place + 1} of {len(counts)}" for place in range(len(counts))]
    if reading is not None and reading.name == field.name:
        names = [repr(name) for name in reading.channels]
    dead = [name for name, count in zip(names, counts, strict=True) if not count]
    if not dead:
        return ""
    what, has = ("Channel", "has") if len(dead) == 1 else ("Channels", "have")
    more = f" and {len(dead) - 5:,} more" if len(dead) > 5 else ""
    return f"{what} {', '.join(dead[:5])}{more} of {field.name} {has} no value in any row."


def _left_out(id: str, fields: list[Field], none: str) -> Record:
    """The columns that inference left out, with their reasons."""
    sentence = none
    if fields:
        named = "; ".join(f"{f.name} ({f.reason})" for f in fields[:4])
        more = f"; and {len(fields) - 4:,} more" if len(fields) > 4 else ""
        sentence = f"Left out: {named}{more}."
    rows = [[f.name, f.reason] for f in fields]
    figure = Figure("table", {"columns": ["column", "reason"], "rows": rows}) if rows else None
    return Record(
        id, "data", sentence, value=float(len(fields)), unit="columns", grade="good", figure=figure
    )


def unreadable_record(raw: Raw) -> Record:
    """`data.unreadable`: what reading left out, or found remarkable."""
    problems = raw.problems
    share = len(problems) / max(1, len(raw) + len(problems))
    sentence = "Everything could be read."
    if problems:
        first = f"{problems[0].where}: {problems[0].reason}"
        more = f"; and {len(problems) - 1:,} more" if len(problems) > 1 else ""
        sentence = f"Left out or remarkable: {first}{more}."
    rows = [[p.where, p.reason] for p in problems[:30]]
    figure = Figure("table", {"columns": ["where", "reason"], "rows": rows}) if rows else None
    grade: Grade = "good" if not problems else "fair" if share < 0.05 else "poor"
    return Record(
        "data.unreadable",
        "data",
        sentence,
        value=float(len(problems)),
        unit="problems",
        n=len(raw),
        method="what the reader and the check for missing targets left out",
        higher_is_better=False,
        grade=grade,
        figure=figure,
    )
