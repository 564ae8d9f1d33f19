"""Reliability: stated confidence against the share that was right."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import Struct

from fathom.report.figures import plot
from fathom.report.figures.drawing import FIGURES, Drawing, finite, require

CAPTION = (
    "Stated confidence against the share that was right, in groups of examples of like confidence. "
    "On the straight line confidence can be taken at its word; below it the network claims too "
    "much, above it too little."
)


class Bins(Struct):
    """One dot for each group of examples."""

    confidence: list[float | None]
    accuracy: list[float | None]
    count: list[float | None]

    def __post_init__(self) -> None:
        lengths = {len(self.confidence), len(self.accuracy), len(self.count)}
        require(len(lengths) == 1, "confidence, accuracy and count differ in length")

    @property
    def points(self) -> list[tuple[float, float]]:
        """The groups that hold examples."""
        pairs = zip(finite(self.confidence), finite(self.accuracy), strict=True)
        return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


class Reliability(Struct):
    """Before the temperature, and as the network is used."""

    before: Bins
    after: Bins


@FIGURES.register("reliability")
def draw(data: dict[str, Any]) -> Drawing:
    """Two lines and the diagonal; one where nothing was calibrated."""
    reliability = msgspec.convert(data, Reliability)
    markup = plot.plot(lambda axes: _paint(axes, reliability), CAPTION, width=380, height=330)
    return Drawing(markup, CAPTION)


def _paint(axes: Any, reliability: Reliability) -> None:
    before, after = reliability.before.points, reliability.after.points
    low = min([value for point in before + after for value in point], default=0.0)
    low = max(0.0, math.floor(low * 10 - 0.2) / 10)
    calibrated = before != after
    drawn = [(before, plot.MUTED, False)] if calibrated else []
    drawn.append((after, plot.ACCENT, True))
    axes.plot([low, 1], [low, 1], color=plot.MUTED, linewidth=0.6)
    for points, colour, filled in drawn:
        axes.plot(
            [p[0] for p in points],
            [p[1] for p in points],
            color=colour,
            linewidth=1.6 if filled else 1.0,
            marker="o",
            markersize=4.5,
            markerfacecolor=colour if filled else "none",
            clip_on=False,
        )
    air = (1 - low) * 0.02
    axes.set_xlim(low, 1 + air)
    axes.set_ylim(low, 1 + air)
    axes.set_aspect("equal")
    plot.number_axis(axes.xaxis, most=5)
    plot.number_axis(axes.yaxis, most=5)
    plot.label_axes(axes, "stated confidence", "share that was right")
    if calibrated:
        entries = [("● as it is used", plot.ACCENT), ("○ before calibration", plot.MUTED)]
        plot.key(axes, entries)
