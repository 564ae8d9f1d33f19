"""What can be believed: one file for each kind of evidence, each giving Records."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from fathom.core.budget import Budget
from fathom.core.errors import FathomError
from fathom.core.progress import Progress, Silent
from fathom.core.record import Record
from fathom.core.registry import Registry
from fathom.evidence import (
    anatomy,
    attention,
    calibration,
    channels,
    comparison,
    cost,
    depth,
    fields,
    gap,
    memory,
    performance,
    start,
    training,
    walkthrough,
    worst,
)
from fathom.evidence.measure import EVIDENCE, AnySubject, Measure
from fathom.evidence.subject import Subject

# The order of registration is the order in which evidence is gathered: what decides comes first.
KINDS = (
    performance,
    comparison,
    start,
    gap,
    calibration,
    fields,
    training,
    anatomy,
    walkthrough,
    depth,
    channels,
    memory,
    attention,
    worst,
    cost,
)

for _kind in KINDS:
    EVIDENCE.register(_kind.measure.name)(_kind.measure)

__all__ = ["EVIDENCE", "KINDS", "Measure", "Subject", "gather"]


def _unheard(name: str, traceback_text: str) -> None:
    """Where nobody asks to be told of faults."""


def gather(
    subject: AnySubject,
    budget: Budget,
    progress: Progress | None = None,
    on_fault: Callable[[str, str], None] = _unheard,
    kinds: Registry[Measure] = EVIDENCE,
) -> list[Record]:
    """Every one of `kinds` of evidence in the order of the report, within `budget`.

    A kind that fails by our own fault leaves a skipped record, and `on_fault(name, traceback_text)`
    is told of it; a FathomError and Ctrl-C go through.
    """
    records: list[Record] = []
    total = len(list(kinds))
    shown = progress or Silent()
    for done, (name, kind) in enumerate(kinds.items()):
        shown.advance(done, total, name.replace("_", " "))
        records += _one(kind, subject, _share(name, budget, kinds), on_fault)
    shown.advance(total, total)
    return records


def _share(name: str, budget: Budget, kinds: Registry[Measure]) -> Budget:
    """The part of what is left that `name` may use: its weight among those still to come, doubled.

    Doubled, because most kinds need far less than their share and hand the rest on.
    """
    names = list(kinds)
    to_come = sum(kinds[other].weight for other in names[names.index(name) :])
    return budget.share(2 * budget.remaining * kinds[name].weight / to_come)


def _one(
    kind: Measure, subject: AnySubject, budget: Budget, on_fault: Callable[[str, str], None]
) -> list[Record]:
    try:
        return kind.measure(subject, budget)
    except FathomError:
        raise
    # A fault in one kind of evidence must not lose a network that took hours to train, nor the
    # other evidence. The traceback is handed on, and the report says that something is missing.
    except Exception as error:
        on_fault(kind.name, "".join(traceback.format_exception(error)))
        reason = (
            f"Measuring {kind.name} failed by a fault of Fathom's own; the rest is not touched."
        )
        return kind.skip(subject, reason)
