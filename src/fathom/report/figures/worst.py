"""Examples: those that the network got most wrong, as pictures, texts or rows of a table."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from fathom.report.figures.drawing import FIGURES, Drawing, cell
from fathom.report.templating import render

_LONG = 60  # characters of a cell that a table would cut


class Example(Struct):
    """What it is, what was said of it and how surely, and where it lies in the data."""

    truth: str | float
    said: str | float
    confidence: float | None = None
    where: str = ""
    image: str | None = None
    row: dict[str, Any] | None = None


class Examples(Struct):
    """The worst first."""

    items: list[Example]


@FIGURES.register("examples")
def draw(data: dict[str, Any]) -> Drawing:
    """A gallery where there are pictures, one below the other where texts are long, or a table."""
    items = msgspec.convert(data, Examples).items
    gallery = any(item.image for item in items)
    columns = list(dict.fromkeys(name for item in items for name in item.row or {}))
    shown: list[dict[str, Any]] = [
        {
            "example": item,
            "truth": cell(item.truth),
            "said": cell(item.said),
            "confidence": _sure(item.confidence),
            "cells": [cell((item.row or {}).get(name)) for name in columns],
        }
        for item in items
    ]
    sure = any(item.confidence is not None for item in items)
    long = any(len(text) > _LONG for item in shown for text in item["cells"])
    kind = "gallery" if gallery else "texts" if long else "table"
    caption = f"The {len(items)} unseen examples that the network got most wrong, the worst first."
    if not items:
        caption = "There is no such example."
    markup = render(f"examples_{kind}.html", items=shown, columns=columns, sure=sure)
    return Drawing(markup, caption, wide=True)


def _sure(confidence: float | None) -> str:
    """A confidence in per cent; one that is short of certain never reads as 100 %."""
    if confidence is None:
        return ""
    if 0.995 <= confidence < 1:
        return f"{min(99.9, 100 * confidence):.1f} %"
    return f"{100 * confidence:.0f} %"
