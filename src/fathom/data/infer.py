"""Inferring a schema: what kind each column is, which one is the target, and which task that makes.

Every decision is taken on all rows and carries its reason as a sentence with figures. No
statistics here: those come from the training split alone (`data/learn.py`).
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from typing import Any, get_args

import numpy as np
import pandas as pd
from msgspec.structs import replace

from fathom.core.errors import DataError, PlanError, nearest
from fathom.core.ragged import Ragged
from fathom.core.schema import (
    Field,
    Kind,
    LabelReading,
    Role,
    Schema,
    TaskName,
    TimeStatistics,
)
from fathom.data import cells
from fathom.data.file_columns import judge_files
from fathom.data.labels import is_list_text
from fathom.data.profile import NOTHING, Finding, Profile, judge, profile
from fathom.data.raw import Raw
from fathom.data.series_columns import described

USABLE: tuple[Kind, ...] = (
    *("number", "category", "boolean", "time", "image", "text", "series", "audio"),
)
# Kinds that are taken as declared, and what their columns are declared to be, and hold.
DECLARED: dict[Kind, tuple[str, str]] = {
    "image": ("pictures", "pictures"),
    "text": ("text", "texts"),
    "audio": ("sound", "sounds"),
}
MAXIMUM_CLASSES = 1000
DROPPED = "left out with --drop"
FEW_INTEGERS = 20  # a whole-numbered target with at most so many values names classes


def infer_schema(
    raw: Raw,
    *,
    target: str | None = None,
    task: TaskName | None = None,
    labels: LabelReading | None = None,
    kinds: Mapping[str, Kind] | None = None,
    drop: Collection[str] = (),
    group: str | None = None,
    order: str | None = None,
) -> Schema:
    """Kinds, roles and reasons of all columns, and the task; no statistics.

    `labels` says how a target of label sets came about (see `data.labels`). `kinds` overrides the
    kind of single columns, which also makes an input of a column that would have been ignored.
    Raises DataError where a named column is not there, where no target is known, where the target
    does not fit the task, or where no column is left to learn from.
    """
    kinds = dict(kinds or {})
    names = raw.table.names
    target = _target(raw, target)
    _require_known_kinds(raw, kinds)
    roles = _roles(raw, target, drop, {"group": group, "order": order})
    declared: dict[str, Kind] = {**raw.kinds, **kinds}
    fields, chosen, task_reason = [], task, ""
    for name in names:
        role = roles.get(name)
        if role == "target" and labels is not None:
            chosen = "multilabel"
            fields.append(_target_field(name, chosen))
        elif role == "target":
            _require_single_values(raw, name)
            chosen, task_reason = infer_task(raw, name, task, kinds.get(name))
            fields.append(_target_field(name, chosen))
        elif raw.series_reading is not None and name == raw.series_reading.id and role is None:
            fields.append(Field(name, "category", "ignored", "names the series (data.series_id)"))
        else:
            field = _field(raw, name, role, declared.get(name), name in kinds)
            if raw.series_reading is not None and name == raw.series_reading.name:
                field = replace(field, reason=f"{field.reason}: {raw.series_note.rstrip('.')}")
            fields.append(field)
    assert chosen is not None  # the target is one of the names
    kept = (replace(f, decimal_sign=raw.signs.get(f.name, "")) for f in fields)
    schema = Schema(chosen, tuple(kept), task_reason, labels, series_reading=raw.series_reading)
    _require_inputs(raw, schema)
    return schema


def _require_single_values(raw: Raw, target: str) -> None:
    column = raw.table[target]
    if isinstance(column, pd.Series):
        return
    held = described(column) if isinstance(column, Ragged) else "pictures or other arrays"
    raise DataError(
        f"{raw.called}: the target {target!r} holds {held}, but what is learned is a number, a "
        f"class or a set of labels for each row: choose another with --target; the columns are "
        f"{_listed(raw)}."
    )


def infer_task(
    raw: Raw, target: str, task: TaskName | None, kind: Kind | None = None
) -> tuple[TaskName, str]:
    """The task that a target makes, with its reason. `task` or an overridden kind decides first.

    Raises DataError where the target cannot be learned that way.
    """
    facts = profile(target, cells.scalars(raw.table, target))
    if not facts.present:
        raise DataError(f"Target {target!r} has no value in any row: choose another with --target.")
    if task is None and kind is not None:
        task = "regression" if kind == "number" else "classification"
        reason = f"{target} was declared to be of kind {kind}"
    elif task is not None:
        reason = f"asked for with --task: {target} has {facts.figures}"
    else:
        task, reason = _guess_task(facts)
    if task == "regression":
        _require_numbers(raw, target, facts)
    else:
        _require_classes(target, facts)
    return task, reason


def _guess_task(facts: Profile) -> tuple[TaskName, str]:
    k = len(facts.distinct)
    if k <= 2:
        return "classification", f"{facts.name} has {k} classes"
    if facts.dirty.mean() > 0.5 or facts.counts[facts.dirty].sum() > 0.05 * facts.present:
        return "classification", f"{facts.name} has {k:,} classes"
    if not facts.whole:
        return "regression", f"{facts.name} is a number with {k:,} distinct values"
    span = float(np.ptp(facts.values[~facts.dirty])) + 1
    if k <= FEW_INTEGERS and span <= 2 * k and facts.present >= 4 * k:
        return "classification", f"{facts.name} has {k} distinct whole numbers, taken as classes"
    return "regression", f"{facts.name} is a whole number with {k:,} distinct values"


def _require_numbers(raw: Raw, target: str, facts: Profile) -> None:
    if not facts.dirty.any():
        return
    row = int(np.flatnonzero(np.isin(facts.codes, np.flatnonzero(facts.dirty)))[0])
    value = facts.distinct[facts.codes[row]]
    raise DataError(
        f"Target {target!r} should be a number, but {raw.locate(row)} holds {value!r}: "
        "mend or remove that row, or use --task classification."
    )


def _require_classes(target: str, facts: Profile) -> None:
    k = len(facts.distinct)
    if k == 1:
        raise DataError(
            f"Target {target!r} has one class alone, {cells.text_of(facts.distinct[0])!r}: there "
            "is nothing to learn; choose another with --target."
        )
    # No class may learn from one example: mostly single classes are names, not classes.
    single = int((facts.counts == 1).sum())
    if k <= MAXIMUM_CLASSES and (single <= k / 2 or k <= 5):
        return
    way_out = "choose another with --target"
    if not facts.dirty.any():
        way_out += ", or learn it as a number with --task regression"
    raise DataError(
        f"Target {target!r} has {k:,} classes in {facts.n:,} rows ({single:,} with a single row), "
        f"too many to learn: {way_out}."
    )


def _target(raw: Raw, target: str | None) -> str:
    wanted = target if target is not None else raw.target
    if isinstance(wanted, str):
        return wanted
    text = " If it is a text, --task language learns what comes next in it."
    raise DataError(
        f"{raw.called} does not say what is to be learned: "
        f"{raw.target_note or 'say which with --target COLUMN (in Python target=COLUMN)'}; "
        f"its columns are {_listed(raw)}.{text if raw.source.lower().endswith('.txt') else ''}"
    )


def _roles(
    raw: Raw, target: str, drop: Collection[str], others: Mapping[Role, str | None]
) -> dict[str, Role]:
    """The roles that were asked for, by column; each column has one at most."""
    if all(others.values()):
        raise PlanError("--group and --time exclude each other: give the one that matters more.")
    wanted: list[tuple[str, Role, str]] = [(target, "target", "--target")]
    wanted += [(name, "ignored", "--drop") for name in drop]
    options = {"group": "--group", "order": "--time"}
    wanted += [(name, role, options[role]) for role, name in others.items() if name is not None]
    roles: dict[str, Role] = {}
    for name, role, option in wanted:
        _require_column(raw, name, option)
        if roles.get(name, role) != role:
            raise PlanError(f"Column {name!r} cannot be both {roles[name]} and {role} ({option}).")
        roles[name] = role
    return roles


def _listed(raw: Raw) -> str:
    names = raw.table.names
    return ", ".join(names[:30]) + (" …" if len(names) > 30 else "")


def _require_column(raw: Raw, name: str, option: str) -> None:
    if name not in raw.table:
        raise DataError(
            f"{raw.called} has no column {name!r} ({option}).{nearest(name, raw.table.names)} "
            f"Its columns are {_listed(raw)}."
        )


def _require_known_kinds(raw: Raw, kinds: Mapping[str, Kind]) -> None:
    for name, kind in kinds.items():
        _require_column(raw, name, f"--set data.kinds.{name}={kind}")
        _require_kind(name, kind)


def _require_kind(name: str, kind: str) -> None:
    if kind not in get_args(Kind):
        raise PlanError(
            f"There is no kind {kind!r} (column {name!r}); usable are {', '.join(USABLE)}."
            f"{nearest(kind, USABLE)}"
        )
    if kind not in USABLE:
        raise PlanError(
            f"Column {name!r}: the kind {kind} is not used yet; usable are {', '.join(USABLE)}."
        )


def _target_field(name: str, task: TaskName) -> Field:
    kind: Kind = "number" if task == "regression" else "category"
    return Field(name, kind, "target", "what is to be learned")


def _field(raw: Raw, name: str, role: Role | None, declared: Kind | None, asked: bool) -> Field:
    column = raw.table[name]
    if not isinstance(column, pd.Series) or declared == "series" or declared in DECLARED:
        finding = _declared(column, declared, asked)
    elif declared is None and (files := judge_files(raw, name)) is not None:
        finding = files
    else:
        facts = profile(name, column)
        finding = judge(facts)
        if len(facts.distinct) and all(map(is_list_text, facts.distinct)):
            finding = Finding(
                "category",
                "lists of values, which are not used as inputs (those of numbers that were "
                f"measured one after the other are with --set data.kinds.{name}=series)",
                use=False,
            )
        if declared is not None:
            finding = _override(name, column, declared, finding)
    return _with_role(name, finding, role)


def _declared(column: Any, declared: Kind | None, asked: bool) -> Finding:
    if isinstance(column, Ragged):
        if not np.isfinite(column.values).any():
            return Finding("series", NOTHING, use=False)
        told = "declared as series" if asked else "the data holds series"
        return Finding("series", f"{told}: {described(column)}")
    if declared == "series":
        raise DataError("A column declared as series holds none: give a list of numbers a row.")
    if declared in DECLARED:
        one, several = DECLARED[declared]
        return Finding(declared, f"declared as {one}" if asked else f"the data holds {several}")
    shape = "×".join(map(str, column.shape[1:]))
    return Finding(declared or "series", f"arrays of {shape} values are not used yet", use=False)


def _override(name: str, column: pd.Series[Any], kind: Kind, finding: Finding) -> Finding:
    reason = f"declared as {kind} (its values look like {finding.kind}: {finding.reason})"
    layout = finding.layout
    if kind == "time" and finding.kind == "number":
        layout = cells.UNIX
    elif kind == "time" and finding.kind != "time":
        raise DataError(
            f"Column {name!r} cannot be read as times ({finding.reason}): write them as ISO dates, "
            "2024-05-31 or 2024-05-31 13:00, or choose another kind."
        )
    if kind == "number" and np.isnan(cells.numbers(column)).all():
        raise DataError(f"Column {name!r} holds no number at all: it cannot be of kind number.")
    return Finding(kind, reason, True, layout)


def _with_role(name: str, finding: Finding, role: Role | None) -> Field:
    kind, reason = finding.kind, finding.reason
    # The layout of a time is decided on all rows; the rest of its statistics is learned later.
    layout = TimeStatistics(0.0, 1.0, 0, (), finding.layout) if kind == "time" else None
    if role == "ignored":
        return Field(name, kind, role, f"{DROPPED} ({reason})")
    if role == "group":
        return Field(name, kind, role, f"rows of one value stay in one split ({reason})", layout)
    if role == "order":
        if kind not in ("number", "time"):
            raise DataError(
                f"Column {name!r} cannot order the rows (--time): it is neither a number nor a "
                f"time but {reason}."
            )
        return Field(name, kind, role, f"older rows train, newer rows test ({reason})", layout)
    return Field(name, kind, "input" if finding.use else "ignored", reason, layout)


def _require_inputs(raw: Raw, schema: Schema) -> None:
    if schema.inputs:
        return
    ignored = "; ".join(f"{f.name}: {f.reason}" for f in schema.fields if f.role == "ignored")
    raise DataError(
        f"{raw.called} has no column left to learn from ({ignored or 'it has only its target'}). "
        f"Add columns{_or_use(schema)}."
    )


def _or_use(schema: Schema) -> str:
    """The ways to use a column that is there; none where they are empty."""
    ignored = [f for f in schema.fields if f.role == "ignored"]
    dropped = [f.name for f in ignored if f.reason.startswith(DROPPED)]
    hopeless = (NOTHING, "a constant")
    guessed = [f.name for f in ignored if not f.reason.startswith((DROPPED, *hopeless))]
    ways = [f"leave out --drop {shlex.quote(dropped[0])}"] if dropped else []
    if guessed:
        ways.append(f"say what one is, as with --set data.kinds.{guessed[0]}=category")
    return "".join(f", or {way}" for way in ways) if ways else " that tell more"
