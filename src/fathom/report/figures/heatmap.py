"""Heat map: a number for each pair of labels, shaded; for few labels, which stand at its side."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import Struct

from fathom.report import words
from fathom.report.figures.drawing import FIGURES, Drawing, finite, require
from fathom.report.templating import render


class Heatmap(Struct):
    """`values[i][j]` for labels i and j, from 0 to 1; `unit` says what they are."""

    labels: list[str]
    values: list[list[float | None]]
    unit: str = ""

    def __post_init__(self) -> None:
        size = len(self.labels)
        square = len(self.values) == size and all(len(row) == size for row in self.values)
        require(square, "values are not a square of labels")


@FIGURES.register("heatmap")
def draw(data: dict[str, Any]) -> Drawing:
    """A table whose cells are the darker the nearer they are to 1."""
    heatmap = msgspec.convert(data, Heatmap)
    rows = [[_cell(value) for value in finite(row)] for row in heatmap.values]
    markup = render("heatmap.html", labels=heatmap.labels, rows=rows, unit=heatmap.unit)
    caption = (
        f"{words.plain(heatmap.unit or 'values')} of each stage with each, from 0 to 1: the "
        "deeper the colour, the more alike. Columns have the numbers of the rows."
    )
    return Drawing(markup, caption)


def _cell(value: float) -> tuple[str, float]:
    if not math.isfinite(value):
        return "–", 0.0
    return f"{value:.2f}", round(min(1.0, max(0.0, value)) ** 2, 3)
