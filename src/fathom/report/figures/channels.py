"""Channels: for each stage some channels, what was made for each beside real patches, or words."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from fathom.report.figures.drawing import FIGURES, Drawing
from fathom.report.templating import render


class Channel(Struct):
    """What was made for it and its patches as data URIs; of texts, the words that excite it."""

    name: str
    image: str = ""
    patches: list[str] = []
    words: list[str] = []


class Stage(Struct):
    """Some channels of one stage."""

    stage: str
    channels: list[Channel]
    note: str = ""
    wide: bool = False  # its pictures are drawings of lines, which need room


class Channels(Struct):
    """Stages in the order of computation."""

    items: list[Stage]
    caption: str = ""


@FIGURES.register("channels")
def draw(data: dict[str, Any]) -> Drawing:
    """A block for each stage, a row of pictures for each channel."""
    channels = msgspec.convert(data, Channels)
    return Drawing(render("channels.html", items=channels.items), channels.caption, wide=True)
