"""Layers: what each layer puts out, how many units are dead, and how its gradient flows."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import Struct

from fathom.report import words
from fathom.report.figures.drawing import FIGURES, Drawing, finite
from fathom.report.templating import render

CAPTION = (
    "The network's layers in the order of computation, with the spread of what each puts out "
    "(the fine line marks zero). Dead units never respond to any example; a gradient that shrinks "
    "or grows from layer to layer by orders of magnitude makes learning slow or unstable."
)
_NOTABLE = 0.1  # share of dead or saturated units that is worth a colour


class Counts(Struct):
    """A histogram of a layer's outputs."""

    edges: list[float]
    counts: list[float | None]


class Layer(Struct):
    """One row of the table."""

    name: str
    type: str = ""
    output_shape: list[int] = []
    parameters: int | None = None
    mean: float | None = None
    std: float | None = None
    dead_share: float | None = None
    saturated_share: float | None = None
    grad_norm: float | None = None
    update_ratio: float | None = None
    histogram: Counts | None = None


class Layers(Struct):
    """The layers in the order of computation."""

    rows: list[Layer]


@FIGURES.register("layers")
def draw(data: dict[str, Any]) -> Drawing:
    """A table with a small picture of each layer's outputs."""
    layers = msgspec.convert(data, Layers).rows
    norms = [layer.grad_norm for layer in layers]
    rows = [
        {
            "layer": layer,
            "shape": " × ".join(str(size) for size in layer.output_shape) or "–",
            "spark": _spark(layer.histogram),
            "gradient": _length(layer.grad_norm, norms),
            "dead": _share(layer.dead_share),
            "saturated": _share(layer.saturated_share),
        }
        for layer in layers
    ]
    shown = {
        "gradient": any(norm is not None for norm in norms),
        "update": any(layer.update_ratio is not None for layer in layers),
        "dead": any(layer.dead_share is not None for layer in layers),
        "saturated": any(layer.saturated_share is not None for layer in layers),
    }
    return Drawing(render("layers.html", rows=rows, shown=shown), CAPTION, wide=True)


def _share(share: float | None) -> tuple[str, bool]:
    """A share as text, and whether it is worth a look."""
    if share is None or not math.isfinite(share):
        return "–", False
    return (f"{100 * share:.1f} %" if share else "0"), share >= _NOTABLE


def _length(norm: float | None, norms: list[float | None]) -> float | None:
    """The bar of a gradient's size, 4 to 100 on a logarithmic scale over all layers."""
    known = [math.log10(value) for value in norms if value is not None and value > 0]
    if norm is None or norm <= 0 or not known:
        return None
    low, high = min(known), max(known)
    low = min(low, high - 3)  # three decades at least, so that small differences look small
    return round(4 + 96 * (math.log10(norm) - low) / (high - low), 1)


def _spark(histogram: Counts | None) -> dict[str, Any] | None:
    """The outline of a histogram in a box of 100 by 24, and where zero lies."""
    if histogram is None or not histogram.counts:
        return None
    counts = [0.0 if math.isnan(count) else count for count in finite(histogram.counts)]
    # Roots, because the outputs of a rectifier are mostly zero and would hide all the rest.
    heights = [math.sqrt(max(0.0, count)) for count in counts]
    top, step = max(heights) or 1.0, 100 / len(counts)
    path = "M0 24" + "".join(
        f"V{24 - 22 * height / top:.1f}H{step * (place + 1):.1f}"
        for place, height in enumerate(heights)
    )
    edges = histogram.edges
    zero = None
    if len(edges) > 1 and edges[0] <= 0 <= edges[-1] and edges[-1] > edges[0]:
        zero = round(-100 * edges[0] / (edges[-1] - edges[0]), 1)
    label = "no outputs"
    if edges:
        label = f"outputs from {words.number(edges[0])} to {words.number(edges[-1])}"
    return {"path": path + "V24Z", "zero": zero, "label": label}
