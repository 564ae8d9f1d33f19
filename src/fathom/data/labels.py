"""Several labels at once: from lists, parted texts or yes/no columns to one column of label sets.

A label set is one text, a JSON list in the order of the names, such as '["blue", "red"]'; '[]' is
the empty set, which is a value like any other, and a missing one stays missing. So a target of many
labels is one scalar column, and all that counts, splits and hashes targets goes on as it is.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.errors import DataError, PlanError, nearest
from fathom.core.lists import json_list
from fathom.core.prediction import Array
from fathom.core.schema import LabelReading, Schema, TaskName
from fathom.data import cells
from fathom.data.raw import Problem, Raw
from fathom.data.table import Table

Target = str | Sequence[str] | None
EMPTY = "[]"
SEPARATORS = ("|", ";", ",", "/", " ")
PLAIN = ("|", ";")  # hardly ever stand within a label
YES = frozenset({"1", "true", "yes", "y", "t"})
NO = frozenset({"0", "-1", "false", "no", "n", "f"})
IN_WORDS = {" ": "a space"}


@dataclass(frozen=True)
class Folded:
    """Data whose target is one column. `reading` is None where each row has one value; `hint` says
    so where its texts look like several labels all the same.
    """

    raw: Raw
    target: str | None
    task: TaskName | None
    reading: LabelReading | None = None
    reason: str = ""
    hint: str = ""


def fold_labels(raw: Raw, target: Target, task: TaskName | None) -> Folded:
    """Fold what is to be learned into one column.

    Several targets, a column of lists, and any column where `task` is 'multilabel' become label
    sets; anything else stays as it is. Raises DataError where a column is not there or cannot be
    read so, PlanError where several targets are asked for with another task.
    """
    names = _names(target if target else raw.target)
    for name in names:
        if name not in raw.table:
            raise DataError(
                f"{raw.called} has no column {name!r} (--target).{nearest(name, raw.table.names)}"
            )
    if len(names) > 1:
        return _fold_columns(raw, names, task)
    if not names:
        return Folded(raw, None, task)
    name = names[0]
    column = raw.table[name]
    if task == "multilabel" or (
        task is None and isinstance(column, pd.Series) and _is_lists(column)
    ):
        return _fold_one(raw, name, task)
    hint = _hint(name, column) if task is None and isinstance(column, pd.Series) else ""
    return Folded(raw, name, task, hint=hint)


def indicator(texts: Array, labels: Sequence[str]) -> Array:
    """Label sets (n,) as texts: (n, K) uint8, 1 where a label holds; unknown labels are passed."""
    codes, distinct = pd.factorize(pd.Series(texts, dtype=object), use_na_sentinel=True)
    places = {label: k for k, label in enumerate(labels)}
    hot = np.zeros((len(distinct) + 1, len(labels)), dtype=np.uint8)  # the last: a missing set
    for row, text in enumerate(distinct):
        for label in json.loads(str(text)):
            if label in places:
                hot[row, places[label]] = 1
    return hot[codes]


def label_counts(texts: Array) -> dict[str, int]:
    """How many rows have each label; `texts` (n,) are label sets or None."""
    counts: dict[str, int] = {}
    for text, rows in pd.Series(texts, dtype=object).value_counts().items():
        for label in json.loads(str(text)):
            counts[label] = counts.get(label, 0) + int(rows)
    return counts


def strata(texts: Array, fewest: int = 20) -> Array:
    """A stratum for each label set (n,), int64: a frequent set is one, a rare one goes by its
    rarest label, so that no split lacks a label because it only occurs in rare company.
    """
    counts, rows = label_counts(texts), pd.Series(texts, dtype=object).value_counts()
    keys = {
        text: text if count >= fewest or text == EMPTY else _rarest(str(text), counts)
        for text, count in rows.items()
    }
    return np.asarray(pd.factorize(np.array([keys[t] for t in texts], dtype=object))[0])


def left_out(raw: Raw, schema: Schema) -> tuple[Problem, ...]:
    """The labels that the schema does not know because too few training rows tell of them."""
    if schema.task != "multilabel":
        return ()
    texts = cells.texts(cells.scalars(raw.table, schema.target.name))
    rare = sorted(set(label_counts(texts)) - set(schema.labels))
    if schema.label_reading is not None and len(schema.label_reading.columns) > 1:
        rare = [name for name in schema.label_reading.columns if name not in schema.labels]
    if not rare:
        return ()
    named = ", ".join(map(repr, rare[:8])) + (f" and {len(rare) - 8} more" if rare[8:] else "")
    noun = "label" if len(rare) == 1 else "labels"
    reason = f"too few training rows have or lack the {noun} {named}: left out"
    return (Problem(f"target {schema.target.name!r}", reason),)


def is_list_text(text: object) -> bool:
    """Whether a text is a list of names, as JSON or as Python writes it."""
    return isinstance(text, str) and _list_of(text) is not None


def _label_set(value: Any) -> str | None:
    """A list of names as a label set; None where the value is no flat list of names."""
    if not isinstance(value, list | tuple | set | frozenset):
        return None
    plain = str | bool | int | None
    if not all(isinstance(v, plain) or (isinstance(v, float) and _is_whole(v)) for v in value):
        return None
    return json_list(sorted({label for v in value if (label := _label(v))}))


def _is_whole(value: float) -> bool:
    return bool(np.isnan(value)) or value.is_integer()


def _label(value: Any) -> str:
    """A label as text, empty where there is none."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float) else str(value).strip()


def _names(target: Target) -> tuple[str, ...]:
    if target is None:
        return ()
    names = (target,) if isinstance(target, str) else tuple(dict.fromkeys(target))
    return tuple(str(name) for name in names)


def _list_of(text: str) -> str | None:
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        return _label_set(json.loads(text))
    except ValueError:
        pass
    try:  # as pandas writes a list into a CSV file: with single quotes
        return _label_set(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_lists(column: pd.Series[Any]) -> bool:
    if not (pd.api.types.is_string_dtype(column.dtype) or column.dtype == object):
        return False
    distinct = cells.codes_and_texts(column)[1]
    return bool(len(distinct)) and all(is_list_text(text) for text in distinct)


def _hint(name: str, column: pd.Series[Any]) -> str:
    """What to say of texts that look like sets of a few labels; empty for all others."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return ""
    codes, distinct = cells.codes_and_texts(column)
    rows = np.bincount(codes[codes >= 0], minlength=len(distinct))
    for separator in PLAIN:
        parted = np.array([separator in str(text) for text in distinct], dtype=bool)
        texts = [str(text) for text in distinct if text != EMPTY]
        labels = {label for text in texts for label in _parts(text, separator)}
        if rows[parted].sum() > 0.2 * rows.sum() and len(labels) < len(distinct):
            return (
                f"{name} looks like sets of {len(labels):,} labels parted by {separator!r}: to "
                "learn each label by itself, say --task multilabel."
            )
    return ""


def _fold_one(raw: Raw, name: str, task: TaskName | None) -> Folded:
    column = cells.scalars(raw.table, name)
    codes, distinct = cells.codes_and_texts(column)
    separator = _separator(raw, name, codes, distinct)
    sets = _spread(column, lambda text: _parsed(text, separator))
    counts = label_counts(sets.to_numpy())
    if len(counts) < 2:
        only = f", {next(iter(counts))!r}" if counts else ""
        raise DataError(
            f"Target {name!r} has {'one label' if counts else 'no label'} in all its rows{only}: "
            "several labels at once take two or more; choose another with --target."
        )
    each = sum(counts.values()) / max(1, int(sets.notna().sum()))
    parted = "lists" if not separator else f"texts parted by {IN_WORDS.get(separator, separator)!r}"
    reason = f"{name} holds {parted} of {len(counts):,} labels, {each:.1f} a row on average"
    reason += "; asked for with --task" if task else ""
    reading = LabelReading((name,), separator)
    raw = replace(raw, table=raw.table.replace(name, sets), target=name)
    return Folded(raw, name, "multilabel", reading, reason)


def _separator(raw: Raw, name: str, codes: Array, distinct: Array) -> str:
    """What parts the labels in one cell; empty where each value is a list.

    The one that leaves the fewest labels: a wrong one leaves whole sets, or tears words apart.
    Raises DataError where nothing does.
    """
    texts = [str(text) for text in distinct if text != EMPTY]
    lists = [is_list_text(text) for text in texts]
    if all(lists):
        return ""
    if any(lists):
        other = texts[lists.index(False)]
        row = int(np.flatnonzero(codes == list(distinct).index(other))[0])
        raise DataError(
            f"Target {name!r} holds lists, but {raw.locate(row)} holds {other!r}"
            ': write it as a list too, such as ["red", "blue"].'
        )
    best, fewest = "", 0
    for separator in SEPARATORS:
        if not any(separator in text for text in texts):
            continue
        labels = len({label for text in texts for label in _parts(text, separator)})
        if separator not in PLAIN and labels >= len(texts):
            continue  # it makes more labels than there are sets: it stands within the labels
        if not best or labels < fewest:
            best, fewest = separator, labels
    if best:
        return best
    raise DataError(
        f"Target {name!r} holds no lists of labels, and none of {' '.join(SEPARATORS[:-1])} or a "
        f"space parts its texts, such as {str(distinct[0]) if len(distinct) else ''!r}: write "
        "red;blue, or learn one class a row with --task classification."
    )


def _parts(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def _parsed(text: str, separator: str) -> str | None:
    """One cell as a canonical text; None where it is no list although it should be."""
    if text == EMPTY:
        return EMPTY
    return json_list(sorted(set(_parts(text, separator)))) if separator else _list_of(text)


def _spread(column: pd.Series[Any], parse: Callable[[str], str | None]) -> pd.Series[Any]:
    """Each distinct text parsed, None where it is missing."""
    codes, distinct = cells.codes_and_texts(column)
    parsed = np.array([*(parse(str(text)) for text in distinct), None], dtype=object)
    bad = np.flatnonzero(pd.isna(parsed[:-1]))
    if len(bad):
        raise DataError(
            f"Column {column.name!r} holds {str(distinct[bad[0]])!r}, which is no list of labels: "
            'write such as ["red", "blue"].'
        )
    return pd.Series(parsed[codes], dtype="str", name=column.name)


def _fold_columns(raw: Raw, names: tuple[str, ...], task: TaskName | None) -> Folded:
    if task not in (None, "multilabel"):
        raise PlanError(
            f"Several targets ({', '.join(names[:5])}) are labels that may hold at once, which is "
            f"--task multilabel: leave --task {task} out, or give one --target."
        )
    kept = [n for n in raw.table.names if n not in names]
    name = ", ".join(names) if len(names) <= 3 else f"{names[0]} and {len(names) - 1} more"
    while name in kept:
        name += " labels"
    table = _joined(raw.table, names, name, raw.locate)
    reason = f"{len(names)} yes/no columns are to be learned"
    return Folded(
        replace(raw, table=table, target=name), name, "multilabel", LabelReading(names), reason
    )


def _joined(table: Table, names: Sequence[str], name: str, locate: Callable[[int], str]) -> Table:
    """The table with yes/no columns folded into one; a row with a gap in one of them has no set."""
    hot = np.column_stack([_yes_no(table, column, locate) for column in names])
    order = np.argsort(np.array(names, dtype=object), kind="stable")
    patterns, codes = np.unique(hot[:, order], axis=0, return_inverse=True)
    ordered = [names[i] for i in order]
    texts = [
        None if (row < 0).any() else json_list([ordered[k] for k in np.flatnonzero(row > 0)])
        for row in patterns
    ]
    column = pd.Series(np.array(texts, dtype=object)[codes.ravel()], dtype="str", name=name)
    return table.drop(names).replace(name, column)


def _yes_no(table: Table, name: str, locate: Callable[[int], str]) -> Array:
    """1 for yes, 0 for no, -1 where missing, (n,) int8."""
    codes, distinct = cells.codes_and_texts(cells.scalars(table, name))
    meaning: Mapping[bool, int] = {True: 1, False: 0}
    values = np.full(len(distinct) + 1, -1, dtype=np.int8)
    for k, text in enumerate(distinct):
        word = str(text).lower()
        if word not in YES | NO:
            row = int(np.flatnonzero(codes == k)[0])
            raise DataError(
                f"Target {name!r} holds {str(text)!r} in {locate(row)}: of several targets each "
                "must be a yes/no column (1 and 0, true and false, yes and no); write it so, or "
                f"learn it alone with --target {name}."
            )
        values[k] = meaning[word in YES]
    return values[codes]


def _rarest(text: str, counts: Mapping[str, int]) -> str:
    return str(min(json.loads(text), key=lambda label: (counts[label], label)))
