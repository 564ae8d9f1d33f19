"""Bars: a value for each label; with intervals, dots on a scale that need not begin at zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from markupsafe import Markup
from msgspec import Struct

from fathom.report import words
from fathom.report.figures.drawing import FIGURES, Drawing, finite, require
from fathom.report.figures.plot import tick, ticks
from fathom.report.templating import render


class Bars(Struct):
    """`low` and `high` are the ends of 95 % intervals; `highlight` is the position of one label.

    Values are written with so many `decimals`, by default with three figures.
    """

    labels: list[str]
    values: list[float | None]
    low: list[float | None] | None = None
    high: list[float | None] | None = None
    x_label: str = ""
    highlight: int | None = None
    decimals: int | None = None

    def write(self, value: float) -> str:
        """A value as it stands beside its bar."""
        if self.decimals is None:
            return words.number(value)
        return f"{value:,.{self.decimals}f}".replace("-", "−")

    def __post_init__(self) -> None:
        lengths = {len(part) for part in (self.labels, self.values, self.low, self.high) if part}
        require(len(lengths) <= 1, "labels, values and intervals differ in number")


@dataclass(frozen=True)
class Span:
    """A value on a scale: `text` is how it is written; `strong` in the accent colour."""

    label: str
    value: float
    low: float
    high: float
    text: str
    note: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Scale:
    """A stretch of numbers, from 0 to 100 % of a width."""

    low: float
    high: float

    def __call__(self, value: float) -> float:
        """Where a value lies, in per cent of the width."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    @classmethod
    def around(cls, values: Sequence[float], margin: float = 0.06) -> Scale:
        """A scale that holds all of the values and some air."""
        known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        air = (high - low) * margin or abs(high) * 0.1 or 1.0
        return cls(low - air, high + air)


@FIGURES.register("bars")
def draw(data: dict[str, Any]) -> Drawing:
    """Dots with their intervals where there are intervals, bars from zero otherwise."""
    bars = msgspec.convert(data, Bars)
    if bars.low is not None and bars.high is not None:
        return Drawing(spans(_spans(bars), x_label=bars.x_label), _spans_caption(bars))
    return Drawing(_plain_bars(bars), _bars_caption(bars))


def spans(
    rows: Sequence[Span], *, x_label: str = "", write: Callable[[float], str] = tick
) -> Markup:
    """Rows of name, dot with interval, and value, over one axis."""
    ends = [end for row in rows for end in (row.value, row.low, row.high)]
    scale = Scale.around(ends)
    marks = [(scale(value), write(value)) for value in ticks(scale.low, scale.high)]
    return render("spans.html", rows=rows, scale=scale, ticks=marks, x_label=x_label)


def _spans(bars: Bars) -> list[Span]:
    values, low, high = (finite(part or []) for part in (bars.values, bars.low, bars.high))
    rows = []
    for i, label in enumerate(bars.labels):
        ends = low[i] if math.isfinite(low[i]) else values[i], high[i]
        top = ends[1] if math.isfinite(ends[1]) else values[i]
        if math.isfinite(values[i]):
            text, called = bars.write(values[i]), words.MODEL_TITLES.get(label, label)
            rows.append(Span(called, values[i], ends[0], top, text, strong=i == bars.highlight))
    return rows


def _plain_bars(bars: Bars) -> Markup:
    values = finite(bars.values)
    known = [value for value in values if math.isfinite(value)]
    low, high = min([0.0, *known]), max([0.0, *known])
    scale = Scale(low, high if high > low else low + 1.0)
    rows = [
        {
            "label": label,
            "text": bars.write(value) if math.isfinite(value) else "–",
            "start": scale(min(0.0, value)) if math.isfinite(value) else 0,
            "width": scale(abs(value) + low) if math.isfinite(value) else 0,
            "strong": i == bars.highlight,
        }
        for i, (label, value) in enumerate(zip(bars.labels, values, strict=True))
    ]
    return render("bars.html", rows=rows, x_label=bars.x_label, emphasis=bars.highlight is not None)


def _spans_caption(bars: Bars) -> str:
    return (
        f"{words.sentence_case(bars.x_label)} Dots are values, lines their 95 % intervals.".strip()
    )


def _bars_caption(bars: Bars) -> str:
    known = [
        pair
        for pair in zip(finite(bars.values), bars.labels, strict=True)
        if math.isfinite(pair[0])
    ]
    what = words.plain(bars.x_label or "values")
    if len(known) < 2:
        return words.sentence_case(what)
    (low, least), (high, most) = min(known), max(known)
    named = words.shorten(least, 60), words.shorten(most, 60)
    return (
        f"{what}: from {words.number(low)} (“{named[0]}”) to {words.number(high)} (“{named[1]}”)."
    )
