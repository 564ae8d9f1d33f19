"""Tracker: what a tool that compares runs has to do. Its methods may raise whatever they like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Tracker(Protocol):
    """One run in one tool. A resumed run goes on with the same one."""

    def keep_until(self, step: int) -> None:
        """What comes next are the scalars after `step`, those of a resumed run again."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers by name (`train/loss`) at one step."""

    def flush(self) -> None:
        """What was told so far must outlast a power cut from now on."""

    def parameters(self, values: Mapping[str, str]) -> None:
        """The plan, by dotted key."""

    def results(self, values: Mapping[str, float], texts: Mapping[str, str]) -> None:
        """The records by their ids: numbers, and the verdict and such."""

    def close(self, done: bool) -> None:
        """Write what waits; `done` tells whether the run came to its end."""
