"""Progress: how long work says how far it is, without knowing who shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """What the pipeline and the rooms speak to. The command line shows it, a notebook too."""

    def stage(self, name: str) -> None:
        """A new stage of the work begins."""

    def advance(self, done: float, total: float, note: str = "") -> None:
        """`done` of `total` units of the stage are finished; `note` is shown beside."""

    def say(self, sentence: str) -> None:
        """A sentence that the user should see (a warning, a finding)."""


class Silent:
    """Shows nothing, keeps the sentences."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def stage(self, name: str) -> None:
        """Do nothing."""

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Do nothing."""

    def say(self, sentence: str) -> None:
        """Keep the sentence."""
        self.sentences.append(sentence)


class Timed:
    """Passes everything on to `inner`, and notes how long each stage takes.

    `before` counts seconds that had gone by when the first stage began: libraries to import.
    """

    def __init__(
        self, inner: Progress, before: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.inner, self.clock = inner, clock
        self._stage, self._began = "starting", clock() - max(0.0, before)
        self._ended: dict[str, float] = {}

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of each stage in its order, of the present one so far."""
        here = self._ended.get(self._stage, 0.0) + self.clock() - self._began
        return self._ended | {self._stage: here}

    def stage(self, name: str) -> None:
        """The next stage begins."""
        self._ended = self.seconds
        self._stage, self._began = name, self.clock()
        self.inner.stage(name)

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Pass it on."""
        self.inner.advance(done, total, note)

    def say(self, sentence: str) -> None:
        """Pass it on."""
        self.inner.say(sentence)
