"""Drawing: a figure as markup with its caption; the registry of kinds; a table for the unknown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from markupsafe import Markup

from fathom.core.record import Figure
from fathom.core.registry import Registry
from fathom.report import words
from fathom.report.templating import render

_MOST_ROWS = 200


class Drawing(NamedTuple):
    """`markup` is HTML or SVG, `caption` says in words what is to be seen.

    `wide` asks for the page's full width.
    """

    markup: Markup
    caption: str
    wide: bool = False


Draw = Callable[[dict[str, Any]], Drawing]
FIGURES: Registry[Draw] = Registry("kind of figure")


def draw(figure: Figure) -> Drawing:
    """A figure as its kind is drawn; a plain table where the kind is unknown or the data odd."""
    if figure.kind in FIGURES:
        try:
            return FIGURES[figure.kind](figure.data)
        except msgspec.ValidationError:
            pass
    return plain(figure)


def plain(figure: Figure) -> Drawing:
    """Whatever a figure holds, as rows of name and content."""
    rows = [[words.plain(str(key)), cell(value)] for key, value in figure.data.items()]
    markup = render("table.html", columns=["part", "content"], rows=rows[:_MOST_ROWS], numeric=[])
    return Drawing(markup, f"The numbers behind a figure of the kind “{figure.kind}”.")


def cell(value: Any) -> str:
    """A table cell's text: numbers with three figures, a dash where there is nothing."""
    match value:
        case None:
            text = "–"
        case bool():
            text = "yes" if value else "no"
        case int():
            text = f"{value:,}"
        case float():
            text = words.number(value)
        case list() | tuple():
            text = ", ".join(map(cell, value))
        case dict():
            text = "; ".join(f"{key}: {cell(part)}" for key, part in value.items())
        case _:
            text = str(value)
    return words.shorten(text)


def require(equal: bool, what: str) -> None:
    """Raise the ValueError that makes a figure's data count as odd."""
    if not equal:
        raise ValueError(what)


def finite(values: list[float | None]) -> list[float]:
    """Numbers with NaN for what is missing; JSON has no NaN and writes null."""
    return [math.nan if value is None else value for value in values]
