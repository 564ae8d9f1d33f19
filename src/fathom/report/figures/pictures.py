"""Pictures: a row of small pictures with captions."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from fathom.report.figures.drawing import FIGURES, Drawing
from fathom.report.templating import render


class Picture(Struct):
    """A PNG or JPEG as data URI, and what it shows."""

    image: str
    caption: str = ""


class Pictures(Struct):
    """Pictures in their order."""

    items: list[Picture]


@FIGURES.register("pictures")
def draw(data: dict[str, Any]) -> Drawing:
    """A gallery."""
    items = msgspec.convert(data, Pictures).items
    return Drawing(render("pictures.html", items=items), "", wide=True)
