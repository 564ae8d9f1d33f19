"""Auditing: what is wrong with the data before anything is learned from it, as Records."""

from __future__ import annotations

from dataclasses import dataclass

from fathom.core.budget import Budget
from fathom.core.progress import Progress, Silent
from fathom.core.record import Record
from fathom.core.schema import Schema
from fathom.data.audits.columns import column_records
from fathom.data.audits.equal_rows import equal_row_records
from fathom.data.audits.leaks import Leaks, find_leaks
from fathom.data.audits.target import target_records
from fathom.data.raw import Raw


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
    records = (
        *target_records(raw, schema),
        leaks.record,
        *equal_row_records(raw, schema),
        *column_records(raw, schema),
    )
    return Audit(records, leaks.columns)
