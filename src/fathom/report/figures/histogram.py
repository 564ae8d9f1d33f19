"""Histogram: how often values occur, for one series or several over the same edges."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from fathom.report import words
from fathom.report.figures import plot
from fathom.report.figures.drawing import FIGURES, Drawing, finite, require

_COLOURS = (plot.ACCENT, plot.INK, plot.MUTED)


class Counts(Struct):
    """How many values of one series lie in each bin."""

    name: str
    counts: list[float | None]


class Histogram(Struct):
    """`edges` has one value more than each series has counts."""

    edges: list[float]
    series: list[Counts]
    x_label: str = ""

    def __post_init__(self) -> None:
        lengths = {len(series.counts) for series in self.series}
        require(lengths <= {len(self.edges) - 1}, "edges and counts do not fit")


@FIGURES.register("histogram")
def draw(data: dict[str, Any]) -> Drawing:
    """Outlined areas, the first in the accent colour."""
    histogram = msgspec.convert(data, Histogram)
    caption = _caption(histogram)
    markup = plot.plot(lambda axes: _paint(axes, histogram), caption, height=190)
    return Drawing(markup, caption)


def _paint(axes: Any, histogram: Histogram) -> None:
    for place, series in enumerate(histogram.series):
        colour = _COLOURS[place % len(_COLOURS)]
        counts = finite(series.counts)
        if place == 0:
            axes.stairs(counts, histogram.edges, fill=True, color=colour, alpha=0.18, linewidth=0)
        axes.stairs(counts, histogram.edges, color=colour, linewidth=1.3)
    axes.margins(x=0)
    plot.number_axis(axes.xaxis)
    plot.number_axis(axes.yaxis, most=4)
    plot.label_axes(axes, histogram.x_label)
    if len(histogram.series) > 1:
        names = [series.name for series in histogram.series]
        plot.key(axes, list(zip(names, _COLOURS, strict=False)), left=False)


def _caption(histogram: Histogram) -> str:
    names = " and ".join(series.name for series in histogram.series if series.name)
    what = histogram.x_label or "values"
    total = sum(count or 0 for series in histogram.series for count in series.counts)
    of = f", {names}" if len(histogram.series) > 1 else ""
    return f"{words.plain(what)}{of}: how {words.number(float(total))} values are spread."
