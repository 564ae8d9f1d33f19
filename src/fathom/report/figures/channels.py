"""Channels: for each stage some channels, the image made for each beside real patches."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from fathom.report.figures.drawing import FIGURES, Drawing
from fathom.report.templating import render

CAPTION = (
    "What excites some channels, from the first stages to the last. On the left of each row an "
    "image that was made for the channel, from noise; beside it the patches of validation pictures "
    "that excite it most."
)


class Channel(Struct):
    """Its image and its patches as data URIs."""

    name: str
    image: str
    patches: list[str]


class Stage(Struct):
    """Some channels of one stage."""

    stage: str
    channels: list[Channel]
    note: str = ""


class Channels(Struct):
    """Stages in the order of computation."""

    items: list[Stage]


@FIGURES.register("channels")
def draw(data: dict[str, Any]) -> Drawing:
    """A block for each stage, a row of pictures for each channel."""
    items = msgspec.convert(data, Channels).items
    return Drawing(render("channels.html", items=items), CAPTION, wide=True)
