"""Table: rows and columns, numbers set to the right."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import Struct

from fathom.report.figures.drawing import FIGURES, Drawing, cell, require
from fathom.report.templating import render

_NUMBER = re.compile(r"[-+−]?[\d.,]+(e[-+]?\d+)? ?%?|-?inf|nan")


class Table(Struct):
    """Cells are text, numbers or nothing."""

    columns: list[str]
    rows: list[list[Any]]

    def __post_init__(self) -> None:
        fits = all(len(row) == len(self.columns) for row in self.rows)
        require(fits, "a row has more or fewer cells than there are columns")

    @property
    def numeric(self) -> list[int]:
        """The columns that hold nothing but numbers, written or not, and gaps."""
        columns = [[row[place] for row in self.rows] for place in range(len(self.columns))]
        return [place for place, values in enumerate(columns) if _numbers(values)]

    @property
    def texts(self) -> list[list[str]]:
        """The cells as they are shown, numbers with a true minus sign."""
        numeric = self.numeric
        return [
            [
                cell(value).replace("-", "−") if place in numeric else cell(value)
                for place, value in enumerate(row)
            ]
            for row in self.rows
        ]


def _numbers(values: list[Any]) -> bool:
    known = [str(value) for value in values if value not in (None, "")]
    return bool(known) and all(map(_NUMBER.fullmatch, known))


@FIGURES.register("table")
def draw(data: dict[str, Any]) -> Drawing:
    """The table in a box of its own that scrolls where it is too wide."""
    table = msgspec.convert(data, Table)
    markup = render("table.html", columns=table.columns, rows=table.texts, numeric=table.numeric)
    return Drawing(markup, "", wide=True)
