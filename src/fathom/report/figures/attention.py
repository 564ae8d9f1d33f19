"""Attention: which place looks at which, as maps with the places' names or as lit pictures."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import Struct

from fathom.report import words
from fathom.report.figures.drawing import FIGURES, Drawing, finite, require
from fathom.report.templating import render

_LONGEST = 12
_FAINTEST = 0.02
CAPTION = (
    "What some heads look at in real validation examples. Each row of a map is a place that looks, "
    "each column one that is looked at: the deeper, the more weight it is given. A picture is "
    "bright where attention falls."
)


class Map(Struct):
    """One head's weights over labelled places, or a picture of them."""

    title: str
    labels: list[str]
    values: list[list[float | None]]
    image: str | None = None

    def __post_init__(self) -> None:
        size = len(self.labels)
        square = len(self.values) == size and all(len(row) == size for row in self.values)
        require(square, "weights are not a square of labels")


class Looked(Struct):
    """One example with its maps."""

    title: str
    maps: list[Map]


class Attention(Struct):
    """Examples in their order."""

    items: list[Looked]


@FIGURES.register("attention")
def draw(data: dict[str, Any]) -> Drawing:
    """A row of maps for each example."""
    items = msgspec.convert(data, Attention).items
    shown = [{"title": item.title, "maps": [_drawn(one) for one in item.maps]} for item in items]
    return Drawing(render("attention.html", items=shown), CAPTION, wide=True)


def _drawn(one: Map) -> dict[str, Any]:
    cells = [
        {"x": column, "y": row, "shade": round(math.sqrt(value), 2)}
        for row, values in enumerate(finite(line) for line in one.values)
        for column, value in enumerate(values)
        if math.isfinite(value) and value >= _FAINTEST
    ]
    labels = [words.shorten(label.strip() or "␣", _LONGEST) for label in one.labels]
    return {"title": one.title, "image": one.image, "labels": labels, "cells": cells}
