"""Auditing: what is wrong with the data before anything is learned from it, as Records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fathom.core.budget import Budget
from fathom.core.progress import Progress, Silent
from fathom.core.record import Record
from fathom.core.schema import Schema
from fathom.data.audits.columns import column_records
from fathom.data.audits.equal_rows import equal_row_records
from fathom.data.audits.leaks import Leaks, find_leaks
from fathom.data.audits.target import target_records
from fathom.data.raw import Problem, Raw
from fathom.data.split import Splits


@dataclass(frozen=True)
class Audit:
    """The records of an audit, and the input columns that give the target away."""

    records: tuple[Record, ...]
    leaks: tuple[str, ...]


def audit(
    raw: Raw, schema: Schema, *, seed: int, budget: Budget, progress: Progress | None = None
) -> Audit:
    """Look at rows, columns and target of data whose unusable rows were dropped.

    Leaks are looked for in the training rows alone where a split is given, so that no decision
    sees the targets of the test rows. The search stops when the budget is spent, and says so.
    """
    shown = progress or Silent()
    leaks: Leaks = find_leaks(raw, schema, seed=seed, budget=budget, progress=shown)
    return Audit(_records(raw, schema, leaks.record), leaks.columns)


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
    readable = raw.take(np.setdiff1d(np.arange(len(raw)), rows))
    readable = replace(readable, problems=(*raw.problems, *found))
    leak = next(record for record in audit.records if record.id == "data.leak")
    noun = "row" if len(rows) == 1 else "rows"
    kept = splits.without(rows, f"{len(rows):,} unreadable {noun} left out")
    return replace(audit, records=_records(readable, schema, leak)), kept


def _records(raw: Raw, schema: Schema, leak: Record) -> tuple[Record, ...]:
    return (
        *target_records(raw, schema),
        leak,
        *equal_row_records(raw, schema),
        *column_records(raw, schema),
    )
