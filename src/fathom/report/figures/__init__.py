"""Figures: one file for each kind, entered in FIGURES; anything else becomes a plain table."""

from __future__ import annotations

from fathom.report.figures import (
    attention,
    bars,
    channels,
    confusion,
    curves,
    depth,
    heatmap,
    histogram,
    layers,
    pictures,
    reliability,
    samples,
    scatter,
    table,
    walkthrough,
    worst,
)
from fathom.report.figures.drawing import FIGURES, Drawing, draw

KINDS = (
    attention,
    bars,
    channels,
    confusion,
    curves,
    depth,
    heatmap,
    histogram,
    layers,
    pictures,
    reliability,
    samples,
    scatter,
    table,
    walkthrough,
    worst,
)

__all__ = ["FIGURES", "KINDS", "Drawing", "draw"]
