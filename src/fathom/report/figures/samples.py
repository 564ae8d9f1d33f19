"""Samples: texts that a network has written, each behind the beginning that it was given."""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec
from msgspec import Struct

from fathom.report.figures.drawing import FIGURES, Drawing
from fathom.report.templating import render

_LONGEST = 2_000  # characters of a text that are shown


class Sample(Struct):
    """What was given, and what was written behind it."""

    prompt: str
    text: str


class Samples(Struct):
    """Texts in their order."""

    items: list[Sample]
    caption: str = ""


@FIGURES.register("samples")
def draw(data: dict[str, Any]) -> Drawing:
    """Each text as it was written, line ends and blanks included, its beginning in grey."""
    samples = msgspec.convert(data, Samples)
    items = [{"prompt": _shown(s.prompt), "text": _shown(s.text)} for s in samples.items]
    return Drawing(render("samples.html", items=items), samples.caption, wide=True)


def _shown(text: str) -> str:
    """A text without what a page cannot hold: control characters become a sign."""
    kept = (c if c in "\n\t" or unicodedata.category(c)[0] != "C" else "\ufffd" for c in text)
    return "".join(kept)[:_LONGEST]
