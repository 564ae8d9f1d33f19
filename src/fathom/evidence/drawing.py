"""Real examples as a person sees them: pictures as data URIs, rows as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fathom.core.examples import Examples
from fathom.core.ragged import Ragged
from fathom.data.data_uri import data_uri
from fathom.evidence.subject import Subject

__all__ = ["data_uri", "picture_of", "row_of", "text_of"]

COLUMNS = 12  # of a row that is shown: more does not fit a page
LENGTH = 80  # characters of one cell


def picture_of(subject: Subject, examples: Examples, position: int) -> str | None:
    """The first picture of an example; None where it has none."""
    for field in subject.schema.of_kind("image"):
        if field.name in examples.inputs:
            return data_uri(examples.inputs[field.name][position])
    return None


def row_of(subject: Subject, examples: Examples, position: int) -> dict[str, str] | None:
    """The raw values of an example's scalar inputs; None where it has none."""
    row = int(examples.rows[position])
    columns = {f.name: subject.table[f.name] for f in subject.schema.inputs if f.kind != "image"}
    shown = list(columns.items())[:COLUMNS]
    return {name: text_of(column, row) for name, column in shown} or None


def text_of(column: Any, row: int) -> str:
    """A cell in few characters."""
    if isinstance(column, Ragged):
        steps = column.row(row)
        first = ", ".join(f"{number:.3g}" for number in steps[:5, 0]) if len(steps) else "nothing"
        return f"{len(steps)} steps: {first}{' …' if len(steps) > 5 else ''}"
    value: Any = column.iloc[row] if isinstance(column, pd.Series) else column[row]
    if np.ndim(value) == 0 and pd.isna(value):
        return "missing"
    text = f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"
