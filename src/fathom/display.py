"""Display: progress for people, in a terminal, a notebook or a log file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from fathom.core.budget import format_duration
from fathom.core.progress import Progress as Listener
from fathom.core.progress import Silent

# Shorter stages are over before anybody could read a bar.
_PATIENCE_SECONDS = 2.0


class Display:
    """Shows stages, bars with the time left, and sentences; a context manager.

    Where nothing can be redrawn (a pipe, a log file, a notebook without ipywidgets) every stage is
    one line when it ends.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        jupyter = self.console.is_jupyter and find_spec("ipywidgets") is not None
        self._live = self.console.is_terminal or jupyter
        self._bars = Progress(
            TextColumn("  [bold]{task.description:<26}"),
            BarColumn(bar_width=28),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[dim]{task.fields[note]}"),
            console=self.console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._stage = ""
        self._started = 0.0
        self._note = ""

    def __enter__(self) -> Display:
        if self._live:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._finish(done=error is None)
        if self._live:
            self._bars.stop()

    def stage(self, name: str) -> None:
        """Finish the stage before, begin the next."""
        self._finish(done=True)
        self._stage, self._started, self._note = name, time.monotonic(), ""
        if self._live:
            self._task = self._bars.add_task(name, total=None, left="", note="")

    def advance(self, done: float, total: float, note: str = "") -> None:
        """Move the bar of the stage and say how long it will still take."""
        self._note = note
        if self._task is None:
            return
        worked = time.monotonic() - self._started
        left = ""
        if done > 0 and worked > _PATIENCE_SECONDS:
            left = f"{format_duration(worked * max(0.0, total - done) / done)} left"
        self._bars.update(self._task, completed=done, total=total, left=left, note=escape(note))

    def say(self, sentence: str) -> None:
        """Print a sentence above the bars."""
        self.console.print(Text("  • " + sentence, style="yellow"), soft_wrap=True)

    def _finish(self, *, done: bool) -> None:
        if not self._stage:
            return
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None
        mark = "✓" if done else "✗"
        took = format_duration(time.monotonic() - self._started)
        line = Text(f"  {mark} {self._stage:<26} {took:>9}", style="dim")
        if self._note:
            line.append(f"   {self._note}")
        self.console.print(line, soft_wrap=True)
        self._stage = ""


@contextmanager
def shown(progress: Listener | None) -> Iterator[Listener]:
    """`progress`, or bars of our own where a person looks (a terminal, a notebook), or silence."""
    console = Console(stderr=True)
    if progress is not None:
        yield progress
    elif console.is_terminal or console.is_jupyter:
        with Display(console) as display:
            yield display
    else:
        yield Silent()
