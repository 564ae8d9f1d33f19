"""Documents: what a corpus consists of, and what was left out of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fathom.core.errors import DataError
from fathom.data.raw import Problem

SHOWN = 3  # of those that were left out for one reason are named, the others are counted


@dataclass(frozen=True, slots=True)
class Document:
    """A document, or one piece of a document that is too long to be read at once.

    `name` says for a person where it stands ('tales/wolf.txt', 'posts.jsonl, line 12'). `text` is
    exactly what is written there: line ends, blanks and letters as they are; only a byte order mark
    is no part of it. The pieces of one document follow each other, `part` counts them from 0, and
    `last` tells the final one, so that most documents are one piece: part 0 and the last.
    """

    name: str
    text: str
    part: int = 0
    last: bool = True


class Skipped:
    """Files, lines and folders that were left out, by reason: a few are named, all are counted."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._named: dict[str, list[str]] = {}

    def add(self, where: str, reason: str) -> None:
        """Leave out what stands at `where`; `reason` goes on from there: 'is empty'."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        named = self._named.setdefault(reason, [])
        if len(named) < SHOWN:
            named.append(where)

    def __len__(self) -> int:
        return sum(self.counts.values())

    def problems(self) -> tuple[Problem, ...]:
        """Some of each reason by name, then how many there are besides."""
        found = []
        for reason, count in self.counts.items():
            found += [Problem(where, reason) for where in self._named[reason]]
            if count > SHOWN:
                found.append(Problem(f"{count - SHOWN:,} more", reason))
        return tuple(found)

    def sentence(self) -> str:
        """What was left out in one sentence; empty where nothing was."""
        if not self.counts:
            return ""
        said = [
            f"{self._named[reason][0]} {reason}"
            if count == 1
            else f"{self._named[reason][0]} and {count - 1:,} more: {reason}"
            for reason, count in self.counts.items()
        ]
        return f"Left out: {'; '.join(said)}."


Reading = Callable[[Skipped], Iterator[Document]]
"""Reads a corpus from its beginning, and notes what it leaves out."""


class Corpus:
    """Documents that can be gone through again and again, without being held in memory.

    `source` is the path as the user gave it, empty for texts in memory; `name` what a run on it is
    called by default; `files` are the files that it is read from, `size` their bytes on the disk,
    or those of the texts; `text_field` is the field of JSON Lines that has the text.
    """

    def __init__(
        self,
        reading: Reading,
        *,
        source: str,
        name: str,
        files: tuple[Path, ...] = (),
        size: int = 0,
        text_field: str | None = None,
        skipped: Skipped | None = None,
        said: Callable[[], None] = lambda: None,
    ) -> None:
        self.source, self.name, self.files, self.size = source, name, files, size
        self.text_field = text_field
        self._reading, self._said = reading, said
        self._skipped = [skipped or Skipped()]

    @property
    def called(self) -> str:
        """What it is called at the start of a sentence: its path as given, or 'The corpus'."""
        return self.source or "The corpus"

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What was left out and why; of what is inside the files once all was read (`survey`)."""
        return tuple(problem for found in self._skipped for problem in found.problems())

    @property
    def left_out(self) -> str:
        """The same in a sentence, empty where nothing was left out."""
        return " ".join(filter(None, (found.sentence() for found in self._skipped)))

    def documents(self) -> Iterator[Document]:
        """All documents in their order, always the same, in pieces of some MB at most.

        Raises DataError where a file can no longer be read, or more than half of the lines of one
        cannot be used.
        """
        found = Skipped()
        try:
            yield from self._reading(found)
        except PermissionError as error:
            where = error.filename or self.called
            raise DataError(f"{where} may not be read by you: change its permissions.") from None
        except OSError as error:
            where = error.filename or self.called
            raise DataError(f"{where} cannot be read: {error.strerror or error}.") from None
        if len(self._skipped) == 1:  # the first time that all was read
            self._skipped.append(found)
            self._said()
