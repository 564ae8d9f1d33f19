"""Auditing: what is wrong with the data before anything is learned from it, as Records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Silent
from fathom.core.record import Record
from fathom.core.schema import Schema
from fathom.data.audits.columns import column_records, unreadable_record
from fathom.data.audits.equal_rows import equal_row_records
from fathom.data.audits.leaks import Leaks, find_leaks
from fathom.data.audits.near_duplicates import near_duplicate_record
from fathom.data.audits.series_ids import LongTable
from fathom.data.audits.target import target_records
from fathom.data.raw import Problem, Raw
from fathom.data.repeats import Repeats, find_repeats
from fathom.data.split import Splits


@dataclass(frozen=True)
class Audit:
    """The records of an audit, the input columns that give the target away, and the repeats.

    `series` is there where one of these columns only names series, of which the rows are steps.
    """

    records: tuple[Record, ...]
    leaks: tuple[str, ...]
    repeats: Repeats | None = None
    series: LongTable | None = None


def audit(
    raw: Raw,
    schema: Schema,
    *,
    seed: int,
    budget: Budget,
    training: Array | None = None,
    repeats: Repeats | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Look at rows, columns and target of data whose unusable rows were dropped.

    Leaks are looked for in the rows `training` alone (by default in those given to train on), so
    that no decision sees the targets of test rows. The search stops when the budget is spent, and
    says so. `repeats` are found where they are not given.
    """
    if repeats is None:
        repeats = find_repeats(raw, schema, seed=seed)
    leaks: Leaks = find_leaks(
        raw,
        schema,
        seed=seed,
        budget=budget,
        progress=progress or Silent(),
        training=training,
    )
    records = _records(raw, schema, repeats, leaks.record)
    return Audit(records, leaks.columns, repeats, leaks.series)


def with_problems(audit: Audit, raw: Raw) -> Audit:
    """The audit with what was noticed of `raw` after it, as `raw.problems` tells."""
    anew = unreadable_record(raw)
    return replace(audit, records=tuple(anew if r.id == anew.id else r for r in audit.records))


def after_encoding(
    audit: Audit, raw: Raw, schema: Schema, splits: Splits, unreadable: Mapping[int, str]
) -> tuple[Audit, Splits]:
    """The audit and the splits without the rows that turned out unreadable when encoded.

    `unreadable` maps row positions of `raw` to reasons, as `encode` gives them. The positions in
    the splits stay those of `raw`. The search for leaks looks at no pictures, and stands.
    """
    if not unreadable:
        return audit, splits
    rows = np.array(sorted(unreadable), dtype=np.int64)
    found = tuple(Problem(raw.locate(row), unreadable[row]) for row in rows.tolist())
    kept_rows = np.setdiff1d(np.arange(len(raw)), rows)
    readable = raw.take(kept_rows)
    readable = replace(readable, problems=(*raw.problems, *found))
    leak = next(record for record in audit.records if record.id == "data.leak")
    noun = "row" if len(rows) == 1 else "rows"
    kept = splits.without(rows, f"{len(rows):,} unreadable {noun} left out")
    assert audit.repeats is not None  # `audit` has looked for them
    records = _records(readable, schema, audit.repeats.take(kept_rows), leak)
    return replace(audit, records=records), kept


def _records(raw: Raw, schema: Schema, repeats: Repeats, leak: Record) -> tuple[Record, ...]:
    return (
        *target_records(raw, schema),
        leak,
        *equal_row_records(raw, schema, repeats),
        near_duplicate_record(raw, schema, repeats),
        *column_records(raw, schema),
    )
