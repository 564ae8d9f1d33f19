"""Walkthrough: one example on its way through the network, step by step."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from fathom.report.figures.drawing import FIGURES, Drawing
from fathom.report.figures.table import Table
from fathom.report.templating import render


class Step(Struct):
    """A step with what it computes: a formula, a table of numbers, a picture."""

    title: str
    sentence: str = ""
    table: Table | None = None
    formula: str | None = None
    image: str | None = None


class Walkthrough(Struct):
    """The steps in order."""

    steps: list[Step]


@FIGURES.register("walkthrough")
def draw(data: dict[str, Any]) -> Drawing:
    """A numbered list."""
    walkthrough = msgspec.convert(data, Walkthrough)
    caption = "One example on its way through the network, from its input to the answer."
    return Drawing(render("walkthrough.html", steps=walkthrough.steps), caption, wide=True)
