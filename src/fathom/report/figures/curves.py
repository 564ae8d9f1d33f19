"""Curves: lines over a common axis, each with its name at its end."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import Struct

from fathom.report import words
from fathom.report.figures import plot
from fathom.report.figures.drawing import FIGURES, Drawing, finite, require

_COLOURS = (plot.ACCENT, plot.INK, plot.MUTED)
_MOST_IN_WORDS = 3
_DASHES = ("-", "--", ":")


class Series(Struct):
    """One line; `low` and `high` are the ends of 95 % intervals at its points."""

    name: str
    x: list[float | None]
    y: list[float | None]
    low: list[float | None] | None = None
    high: list[float | None] | None = None

    def __post_init__(self) -> None:
        parts = (self.x, self.y, self.low, self.high)
        lengths = {len(part) for part in parts if part is not None}
        require(len(lengths) == 1, "x, y and intervals differ in length")

    @property
    def points(self) -> list[tuple[float, float]]:
        """The points that can be drawn."""
        pairs = zip(finite(self.x), finite(self.y), strict=True)
        return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]

    @property
    def band(self) -> list[tuple[float, float, float]]:
        """The intervals that can be drawn: x, low, high."""
        if self.low is None or self.high is None:
            return []
        ends = zip(finite(self.x), finite(self.low), finite(self.high), strict=True)
        return [each for each in ends if all(map(math.isfinite, each))]


class Curves(Struct):
    """Lines over one x axis; `log_x` and `log_y` stretch small values."""

    series: list[Series]
    x_label: str = ""
    y_label: str = ""
    log_y: bool = False
    log_x: bool = False


@FIGURES.register("curves")
def draw(data: dict[str, Any]) -> Drawing:
    """The lines, the first in the accent colour."""
    curves = msgspec.convert(data, Curves)
    lines = [(series.name, _drawable(series, curves.log_y)) for series in curves.series]
    lines = [(name, points) for name, points in lines if points]
    caption = _caption(curves, lines)
    return Drawing(plot.plot(lambda axes: _paint(axes, curves, lines), caption), caption)


def _drawable(series: Series, log: bool) -> list[tuple[float, float]]:
    return [(x, y) for x, y in series.points if y > 0 or not log]


def _paint(axes: Any, curves: Curves, lines: list[tuple[str, list[tuple[float, float]]]]) -> None:
    log = curves.log_y and bool(lines)
    if log:
        axes.set_yscale("log")
    if curves.log_x and lines:
        axes.set_xscale("log")
    for place, series in enumerate(curves.series):
        if series.band:
            xs, low, high = zip(*series.band, strict=True)
            colour = _COLOURS[place % len(_COLOURS)]
            axes.fill_between(xs, low, high, color=colour, alpha=0.15, linewidth=0)
    ends = []
    for place, (name, points) in enumerate(lines):
        colour = _COLOURS[place % len(_COLOURS)]
        dashes = _DASHES[place // len(_COLOURS) % len(_DASHES)]
        xs, ys = zip(*points, strict=True)
        marker = "o" if len(points) == 1 else None
        axes.plot(
            xs,
            ys,
            color=colour,
            linestyle=dashes,
            marker=marker,
            markersize=4,
            clip_on=marker is None,
        )
        ends.append((name, ys[-1], colour))
    axes.margins(x=0, y=0.06)
    axes.autoscale_view()
    whole = all(x == int(x) for _, points in lines for x, _ in points)
    plot.number_axis(axes.xaxis, whole=whole, log=curves.log_x and bool(lines))
    plot.number_axis(axes.yaxis, most=5, log=log)
    plot.label_axes(axes, curves.x_label, curves.y_label)
    if len(lines) > 1:
        plot.name_ends(axes, ends)


def _caption(curves: Curves, lines: list[tuple[str, list[tuple[float, float]]]]) -> str:
    over = f" over {curves.x_label}" if curves.x_label else ""
    title = f"{words.plain(curves.y_label or 'Value')}{over}"
    if curves.log_y:
        title += " (logarithmic scale)"
    shaded = " Shaded are 95 % intervals." if any(s.band for s in curves.series) else ""
    if len(lines) > _MOST_IN_WORDS:
        names = ", ".join(name for name, _ in lines[:-1])
        return f"{title}: {words.shorten(names)} and {words.shorten(lines[-1][0], 60)}.{shaded}"
    ways = [_way(name, [y for _, y in points]) for name, points in lines]
    return f"{title}: {'; '.join(ways)}.{shaded}" if ways else f"{title}: nothing was logged."


def _way(name: str, ys: list[float]) -> str:
    """'training from 2.3 to 0.07', with the peak where it lies between."""
    first, last, top = ys[0], ys[-1], max(ys)
    peak = f", at most {words.number(top)}" if top > 1.2 * max(first, last) else ""
    return f"{name} from {words.number(first)} to {words.number(last)}{peak}"
