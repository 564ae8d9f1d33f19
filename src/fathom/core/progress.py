"""Progress: how long work says how far it is, without knowing who shows it."""

from __future__ import annotations

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
