"""The training log: `log.jsonl`, one JSON line for each thing that happened, in order of steps."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import msgspec

from fathom.core.files import read_lines, storing, write_atomic


class Listener(Protocol):
    """Hears every line that is written. It must not raise."""

    def line(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """A line was written."""

    def keep_until(self, step: int) -> None:
        """The lines of later steps were dropped; this comes first of all, too."""

    def flush(self) -> None:
        """A checkpoint is going to be saved: a resumed run does not tell these lines again."""


class TrainingLog:
    """Appends lines, and tells `listener`; a disk that is full for a while only delays them."""

    def __init__(self, path: Path, listener: Listener | None = None) -> None:
        self.path, self.listener = path, listener
        self._waiting: list[bytes] = []

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Append one line of the given kind. Numbers that are not finite become null."""
        self._waiting.append(msgspec.json.encode({"kind": kind, "step": step, **values}) + b"\n")
        with suppress(OSError):  # the lines wait for the next attempt
            self._write_waiting()
        if self.listener is not None:
            self.listener.line(kind, step, values)

    def flush(self) -> None:
        """Have the listener put away what it has heard, before a checkpoint is saved."""
        if self.listener is not None:
            self.listener.flush()

    def finish(self) -> None:
        """Write what still waits. Raises StorageError where the disk is full even now."""
        with storing(self.path):
            self._write_waiting()

    def keep_until(self, step: int) -> None:
        """Drop the lines of later steps, which are going to be done again."""
        lines = [line for line in read_lines(self.path) if line["step"] <= step]
        write_atomic(self.path, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        if self.listener is not None:
            self.listener.keep_until(step)

    def _write_waiting(self) -> None:
        if self._waiting:
            self._append(b"".join(self._waiting))
            self._waiting.clear()

    def _append(self, content: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(content) != len(content):
                    raise OSError("only a part of the line was written")
            except OSError:
                file.truncate(before)
                raise
