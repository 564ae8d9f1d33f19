"""Budget: the time that a whole command may take, and how it is shared out. No torch."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from fathom.core.errors import BudgetError

DEFAULT_BUDGET = "90s"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str) -> float:
    """Seconds in a text such as `90s`, `10m`, `1h30m` or `45` (seconds).

    Raises BudgetError where the text is no duration or not above zero.
    """
    text = str(text)  # a plain number of seconds is as good
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([smhd]?)", text.strip().lower())
    whole = re.fullmatch(r"(\s*\d+(?:\.\d+)?\s*[smhd])+\s*|\s*\d+(?:\.\d+)?\s*", text.lower())
    seconds = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if not whole or seconds <= 0:
        raise BudgetError(f"The budget {text!r} is not a duration: write 90s, 10m or 1h30m.")
    return seconds


def format_duration(seconds: float) -> str:
    """A duration as a person writes it: 0.8 s, 42 s, 2 min 05 s, 1 h 10 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class Budget:
    """A number of seconds that started at `started`; parts of it are handed out with `share`.

    `clock` is monotonic seconds; tests hand in their own. `already` counts seconds that are spent
    from the beginning.
    """

    def __init__(
        self,
        seconds: float,
        started: float | None = None,
        already: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = seconds
        self.clock = clock
        self.started = (clock() if started is None else started) - already

    @property
    def elapsed(self) -> float:
        """Seconds worked so far."""
        return self.clock() - self.started

    def count(self, seconds: float) -> None:
        """Add seconds that were worked before an interruption; below zero nothing is added."""
        self.started -= max(0.0, seconds)

    @property
    def remaining(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left: work done in chunks stops here."""
        return self.remaining <= 0.0

    def share(self, seconds: float) -> Budget:
        """A budget that starts now and has `seconds`, or what is left if that is less."""
        return Budget(min(seconds, self.remaining), clock=self.clock)
