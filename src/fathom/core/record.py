"""Record: one measured statement about a model or its data. Evidence is a list of them."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

EVIDENCE_FORMAT = 1

Grade = Literal["good", "fair", "poor", "unknown"]
MARKS: dict[Grade, str] = {"good": "✓", "fair": "!", "poor": "✗", "unknown": "·"}
"""What stands for a grade in a terminal."""

Status = Literal["measured", "not_applicable", "skipped"]


class Figure(Struct, frozen=True, forbid_unknown_fields=True):
    """What a picture in the report is drawn from. `kind` is a key of the report's figure registry;
    `data` is JSON: numbers, strings, lists, dictionaries; pictures as data URIs.
    """

    kind: str
    data: dict[str, Any]


class Record(Struct, frozen=True, forbid_unknown_fields=True):
    """One statement: a value with its unit, interval, n and method, and a sentence for a person.

    `id` is stable and public (`performance.accuracy`), `group` the part of the report it belongs
    to, `split` what it was measured on, `interval` a 95 % interval. `higher_is_better` is None
    where neither end is better. A record that was not measured says why in `reason`.
    """

    id: str
    group: str
    sentence: str
    value: float | str | None = None
    unit: str = ""
    interval: tuple[float, float] | None = None
    n: int | None = None
    split: str = ""
    method: str = ""
    higher_is_better: bool | None = None
    status: Status = "measured"
    reason: str = ""
    grade: Grade = "unknown"
    figure: Figure | None = None


class Evidence(Struct, frozen=True, forbid_unknown_fields=True):
    """The file `evidence.json`."""

    records: tuple[Record, ...]
    format_version: int = EVIDENCE_FORMAT


def not_applicable(id: str, group: str, reason: str) -> Record:
    """A record that says why something cannot be measured for this task or kind of data."""
    return Record(id, group, sentence=reason, status="not_applicable", reason=reason)


def skipped(id: str, group: str, reason: str) -> Record:
    """A record that says why something was left out this time, and how to run it."""
    return Record(id, group, sentence=reason, status="skipped", reason=reason)
