"""How figures are written in the sentences of an audit."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share for people, never rounded to none or all."""
    if 0 < share < 0.001:
        return "under 0.1 %"
    return "over 99.9 %" if 0.999 < share < 1 else f"{100 * share:.1f} %"
