"""Shared by all suites: the command run in this process, and a place for runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from fathom.baselines import growth
from fathom.cli.command import fathom
from fathom.cli.exit import run


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoded pictures are kept in a folder of each test's own."""
    monkeypatch.setenv("FATHOM_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boosting grows no more than a few rounds: for tests of everything but how good it is."""
    monkeypatch.setattr(growth, "MOST_ROUNDS", 40)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Outcome]:
    """`command('fit', 'digits', …)` runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Outcome:
        code = run(fathom, [str(a) for a in arguments], time.monotonic())
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
