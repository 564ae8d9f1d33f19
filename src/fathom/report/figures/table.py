"""Table: rows and columns, numbers set to the right."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from fathom.report.figures.drawing import FIGURES, Drawing, cell, require
from fathom.report.templating import render


class Table(Struct):
    """Cells are text, numbers or nothing."""

    columns: list[str]
    rows: list[list[Any]]

    def __post_init__(self) -> None:
        fits = all(len(row) == len(self.columns) for row in self.rows)
        require(fits, "a row has more or fewer cells than there are columns")

    @property
    def numeric(self) -> list[int]:
        """The columns that hold nothing but numbers."""
        return [
            place
            for place in range(len(self.columns))
            if self.rows and all(isinstance(row[place], int | float) for row in self.rows)
        ]

    @property
    def texts(self) -> list[list[str]]:
        """The cells as they are shown."""
        return [[cell(value) for value in row] for row in self.rows]


@FIGURES.register("table")
def draw(data: dict[str, Any]) -> Drawing:
    """The table in a box of its own that scrolls where it is too wide."""
    table = msgspec.convert(data, Table)
    markup = render("table.html", columns=table.columns, rows=table.texts, numeric=table.numeric)
    return Drawing(markup, "", wide=True)
