"""Depth: a score at each stage of a network, with its interval, beside the whole network's."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import msgspec
from msgspec import Struct

from fathom.report import words
from fathom.report.figures import plot
from fathom.report.figures.drawing import FIGURES, Drawing, finite, require

_MOST_LEVEL = 5  # more names under the axis stand aslant
_LONGEST = 16


class Depth(Struct):
    """`low` and `high` are the ends of 95 % intervals; `whole` is the network's own score."""

    stages: list[str]
    values: list[float | None]
    low: list[float | None]
    high: list[float | None]
    whole: float | None = None
    y_label: str = ""
    percent: bool = False
    breaks: list[int] = []
    """Where a chain of stages begins that does not follow from the one before it."""

    def __post_init__(self) -> None:
        parts = (self.stages, self.values, self.low, self.high)
        require(len({len(part) for part in parts}) == 1, "stages and scores differ in number")


@FIGURES.register("depth")
def draw(data: dict[str, Any]) -> Drawing:
    """A line over the stages with intervals, and a level line for the whole network."""
    depth = msgspec.convert(data, Depth)
    caption = _caption(depth)
    return Drawing(plot.plot(lambda axes: _paint(axes, depth), caption), caption)


def _paint(axes: Any, depth: Depth) -> None:
    places = range(len(depth.stages))
    factor = 100 if depth.percent else 1
    values, low, high = (
        [factor * value for value in finite(part)] for part in (depth.values, depth.low, depth.high)
    )
    for start, end in pairwise([0, *depth.breaks, len(values)]):
        axes.plot(places[start:end], values[start:end], color=plot.ACCENT, marker="o", markersize=4)
    axes.vlines(places, low, high, color=plot.ACCENT, linewidth=1)
    ends = [("linear probe", values[-1], plot.ACCENT)]
    if depth.whole is not None:
        axes.axhline(factor * depth.whole, color=plot.INK, linewidth=1.2, linestyle="--")
        ends.append(("network", factor * depth.whole, plot.INK))
    axes.margins(x=0.04, y=0.08)
    axes.autoscale_view()
    plot.number_axis(axes.yaxis, most=5)
    many = len(depth.stages) > _MOST_LEVEL
    names = [_short(name, fields=bool(depth.breaks)) for name in depth.stages]
    slant = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if many else {}
    axes.set_xticks(list(places), names, **slant)
    plot.label_axes(axes, "", f"{depth.y_label}{', %' if depth.percent else ''}")
    plot.name_ends(axes, ends)


def _short(name: str, *, fields: bool) -> str:
    """A stage's name as the axis has room for it; of 'field: stage' the field gives way."""
    field, colon, stage = name.rpartition(": ") if fields else ("", "", name)
    return f"{words.shorten(field, _LONGEST - 4)}{colon}{words.shorten(stage, _LONGEST)}"


def _caption(depth: Depth) -> str:
    known = [value for value in finite(depth.values) if math.isfinite(value)]
    title = words.plain(depth.y_label or "score")
    if not known:
        return f"{title} of linear probes: nothing was measured."

    def written(value: float) -> str:
        return f"{100 * value:.1f} %" if depth.percent else words.number(value)

    whole = ""
    if depth.whole is not None:
        whole = f"; the dashed line is the whole network's, {written(depth.whole)}"
    return (
        f"{title} of a linear model on each stage's outputs, with 95 % intervals: from "
        f"{written(known[0])} to {written(known[-1])}{whole}."
    )
