"""How quantities with a unit are written, in sentences and in tables alike. No torch."""

from __future__ import annotations


def prefixed(value: float, unit: str) -> str:
    """A number with the prefix that suits it: '1.2 MFLOP', '340 kB'."""
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


def short_seconds(value: float) -> str:
    """A duration below a second: '0.42 ms', '80 µs'."""
    factor, unit = (1e3, "ms") if abs(value) >= 1e-3 else (1e6, "µs")
    return f"{value * factor:.3g} {unit}"


def percent_digits(share: float, signed: bool = False) -> str:
    """The figures of a percentage alone, one decimal, two where it is next to 0 or to 100."""
    value = 100 * share
    near = 0 < min(abs(value), abs(100 - abs(value))) < 0.1
    text = f"{value:{'+' if signed else ''}.{2 if near else 1}f}"
    return "0.0" if float(text) == 0 else text
