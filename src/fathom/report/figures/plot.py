"""Plots with axes: matplotlib's SVG, cleaned so that the page's style sheet gives it its colours.

Text stays text and takes the page's font; lines and letters take the page's colours, light or
dark. Equal data gives equal bytes.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from fathom.report import words

# Stand-ins that matplotlib can write; `_clean` turns them into the page's own colours.
INK, MUTED, ACCENT, LINE = "#010203", "#020304", "#030405", "#040506"
_VARIABLES = {INK: "ink", MUTED: "muted", ACCENT: "accent", LINE: "line"}

WIDTH, HEIGHT = 440, 250  # points; the page scales them to its own width
_LONGEST_LABEL, _LONGEST_NAME = 40, 22
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "fathom",
    # A column may be called '$x$', which is no formula.
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.labelpad": 6,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.labelsize": 9.5,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.major.width": 0.8,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "lines.solid_joinstyle": "round",
}


def plot(
    paint: Callable[[Any], None], label: str, *, width: float = WIDTH, height: float = HEIGHT
) -> Markup:
    """One pair of axes that `paint(axes)` fills; `label` is what a screen reader says."""
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # The reader's browser draws the letters, and has those that this font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        paint(axes)
        out = io.StringIO()
        empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=empty)
    return _clean(out.getvalue(), label)


def label_axes(axes: Any, x: str, y: str = "") -> None:
    """Names under and beside the axes, cut where they would push the plot aside."""
    axes.set_xlabel(words.shorten(x, _LONGEST_LABEL))
    axes.set_ylabel(words.shorten(y, _LONGEST_LABEL))


def number_axis(axis: Any, *, most: int = 6, log: bool = False, whole: bool = False) -> None:
    """Few round ticks, written as the page writes numbers; with `whole` none between two counts."""
    if log:
        low, high = axis.get_view_interval()
        few = high / low < 300  # over two or three decades powers of ten alone are too few
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,), numticks=2 * most))
    else:
        steps = [1, 2, 2.5, 5, 10]
        axis.set_major_locator(MaxNLocator(nbins=most, steps=steps, integer=whole))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))


def tick(value: float) -> str:
    """A tick's label, without needless zeros."""
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e7:
        text = f"{value:,.6g}" if abs(value) < 1e3 else f"{value:,.0f}"
        return text.replace("-", "−")
    return words.power_of_ten(f"{value:.0e}")


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`."""
    found = MaxNLocator(nbins=most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    slack = (high - low) * 1e-9
    return [float(value) for value in found if low - slack <= value <= high + slack]


def name_ends(axes: Any, ends: Sequence[tuple[str, float, str]]) -> None:
    """Write each line's name beside its last value (name, y, colour), none over another."""
    axes.get_xlim(), axes.get_ylim()  # the limits are found only when somebody asks
    to_fraction = axes.transAxes.inverted().transform
    heights = [to_fraction(axes.transData.transform((0, y)))[1] for _, y, _ in ends]
    for place, height in zip(_order(heights), _spread(sorted(heights)), strict=True):
        name, _, colour = ends[place]
        axes.annotate(
            words.shorten(name, _LONGEST_NAME),
            xy=(1, height),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=colour,
        )


def key(axes: Any, entries: Sequence[tuple[str, str]], *, left: bool = True) -> None:
    """Names in their own colours (name, colour) in an upper corner, in place of a legend."""
    for line, (name, colour) in enumerate(entries):
        axes.annotate(
            words.shorten(name, _LONGEST_NAME),
            xy=(0 if left else 1, 1),
            xycoords="axes fraction",
            xytext=(6 if left else -6, -10 - 15 * line),
            textcoords="offset points",
            va="top",
            ha="left" if left else "right",
            color=colour,
        )


def _order(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=values.__getitem__)


def _spread(heights: list[float], apart: float = 0.085) -> list[float]:
    """Increasing heights, moved up as far as names need to stand clear of each other."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + apart) if placed else max(0.02, height))
    over = max(0.0, placed[-1] - 1.0) if placed else 0.0
    return [height - over for height in placed]


def _clean(svg: str, label: str) -> Markup:
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    mark = f"f{zlib.crc32(body.encode()):x}"
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{mark}-{m[1]}"' if m[1] in used else "", body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{mark}-", body)
    for stand_in, variable in _VARIABLES.items():
        body = body.replace(stand_in, f"var(--{variable})")
    body = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", body)
    body = re.sub(r" font-family: [^;\"]*;", "", body)
    opening = f'<svg class="plot" role="img" aria-label="{escape(label)}" '
    view = re.search(r'viewBox="[^"]+"', body)
    head = opening + (view[0] if view else "") + ">"
    return Markup(head + body[body.index(">") + 1 :].strip())
