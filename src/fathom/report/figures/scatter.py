"""Scatter: points, such as predicted against true numbers."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from fathom.report.figures import plot
from fathom.report.figures.curves import Series
from fathom.report.figures.drawing import FIGURES, Drawing


class Scatter(Struct):
    """Points; with `diagonal` both axes are alike and the line of equal values is drawn."""

    x: list[float | None]
    y: list[float | None]
    x_label: str = ""
    y_label: str = ""
    diagonal: bool = False


@FIGURES.register("scatter")
def draw(data: dict[str, Any]) -> Drawing:
    """Translucent dots, so that crowds look dense."""
    scatter = msgspec.convert(data, Scatter)
    series = msgspec.convert({"name": "", "x": scatter.x, "y": scatter.y}, Series)
    points = series.points
    caption = f"{scatter.y_label} against {scatter.x_label} of {len(points):,} examples."
    caption = caption[:1].upper() + caption[1:]
    if scatter.diagonal:
        caption += " On the line the two are equal."
    height = 360 if scatter.diagonal else plot.HEIGHT
    width = 400 if scatter.diagonal else plot.WIDTH
    markup = plot.plot(
        lambda axes: _paint(axes, scatter, points), caption, width=width, height=height
    )
    return Drawing(markup, caption)


def _paint(axes: Any, scatter: Scatter, points: list[tuple[float, float]]) -> None:
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    axes.plot(xs, ys, "o", color=plot.ACCENT, alpha=0.45, markersize=4, markeredgewidth=0)
    if scatter.diagonal and points:
        low, high = min(xs + ys), max(xs + ys)
        air = (high - low) * 0.04 or 1.0
        ends = (low - air, high + air)
        axes.plot(ends, ends, color=plot.INK, linewidth=0.8)
        axes.set_xlim(ends)
        axes.set_ylim(ends)
        axes.set_aspect("equal")
    plot.number_axis(axes.xaxis, most=5)
    plot.number_axis(axes.yaxis, most=5)
    plot.label_axes(axes, scatter.x_label, scatter.y_label)
