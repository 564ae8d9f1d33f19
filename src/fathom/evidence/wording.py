"""How numbers are written in sentences for people."""

from __future__ import annotations

import math

from fathom.core.budget import format_duration
from fathom.core.quantities import percent_digits, short_seconds


def percent(share: float) -> str:
    """A share as a person reads it: '98.1 %'."""
    return f"{percent_digits(share)} %"


def points(difference: float) -> str:
    """A difference of two shares: '+1.6 points'; a percentage of a percentage misleads."""
    return f"{percent_digits(difference, signed=True)} points"


def number(value: float, signed: bool = False, figures: int = 3) -> str:
    """Three significant figures, thousands separated; powers of ten only below 1e-5, from 1e9."""
    sign = "+" if signed else ""
    if value == 0 or not math.isfinite(value):
        return f"{value:{sign}g}"
    rounded = float(f"{value:.{figures - 1}e}")  # 0.09999 has the size of 0.1
    size = math.floor(math.log10(abs(rounded)))
    if size < -5 or size >= 9:
        return f"{value:{sign}.{figures - 1}e}"
    return f"{value:{sign},.{max(0, figures - 1 - size)}f}"


def count(value: float) -> str:
    """A whole number with thousands separated."""
    return f"{round(value):,}"


def plural(n: int, one: str, many: str | None = None) -> str:
    """'1 example', '12 examples'."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def seconds(value: float) -> str:
    """A duration: '0.42 ms', '3.1 s', '2 min 05 s'."""
    if value < 1:
        return short_seconds(value)
    return f"{value:.3g} s" if value < 60 else format_duration(value)
