"""Line numbers: rows of a text file named by the line on which they begin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fathom.data.formats import packed
from fathom.data.formats.encoding import to_utf8


@dataclass(frozen=True)
class LineNumbers:
    """Names a row by its file and line. The file is read again once the first row is asked for.

    `find` gives the line of each row in the file's content; None tells that each row is one line,
    directly below a header of one line.
    """

    path: Path
    find: Callable[[bytes], Sequence[int]] | None

    def __call__(self, row: int) -> str:
        """'reviews.csv line 17'."""
        line = row + 2 if self.find is None else self._lines[row]
        return f"{self.path.name} line {line}"

    @cached_property
    def _lines(self) -> Sequence[int]:
        assert self.find is not None
        content, _ = to_utf8(packed.read_bytes(self.path), self.path)
        return self.find(content)
