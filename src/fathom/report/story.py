"""Story: what the report tells beside the records. `story.json` in the run folder."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from fathom.core.schema import Schema

STORY_FORMAT = 1


class SchemaRow(Struct, frozen=True, forbid_unknown_fields=True):
    """One column as the report's table shows it."""

    name: str
    kind: str
    role: str
    reason: str


class Story(Struct, frozen=True, forbid_unknown_fields=True):
    """A run in words, apart from what was measured.

    `name` is the run's, `task` one sentence about what is predicted from what, `created` an ISO
    date. `rows` and `columns` count the usable data, `splits` its rows by split, and `split_how`
    says how they were parted. `why` maps a plan's dotted key to a sentence. `primary` and
    `best_baseline` name the metric that chose and the baseline that is best on validation; where
    they are empty they are read off the records. `seconds` is the time worked, `stages` how it was
    spent by the process that ended the run, the report apart. `pretrained` says whose weights the
    network began with, and what they may be used under; empty where it began with none.
    `warning_count` counts all warnings, of which `warnings` shows the first. `unit_of_rows` is what
    `rows` counts: 'documents' of a corpus, whose `splits` are counted in bytes.
    """

    name: str
    task: str
    created: str
    command: str
    repeat_command: str
    predict_command: str
    rows: int
    columns: int
    splits: dict[str, int]
    schema: tuple[SchemaRow, ...]
    plan_yaml: str
    why: dict[str, str]
    versions: dict[str, str]
    hardware: dict[str, Any]
    default_model: str
    seconds: float
    budget_seconds: float | None = None
    warnings: tuple[str, ...] = ()
    source: str = ""
    folder: str = ""
    split_how: str = ""
    primary: str = ""
    best_baseline: str = ""
    fathom_version: str = ""
    replans: tuple[str, ...] = field(default=())
    stages: dict[str, float] = field(default_factory=dict)
    pretrained: str = ""
    warning_count: int = 0
    unit_of_rows: str = "rows"
    format_version: int = STORY_FORMAT


def schema_rows(schema: Schema) -> tuple[SchemaRow, ...]:
    """The rows of a story's table, one for each field."""
    return tuple(SchemaRow(f.name, f.kind, f.role, f.reason) for f in schema.fields)
