"""Text files as cells: a file is a text, whatever its encoding."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from fathom.core.errors import DataError
from fathom.data.formats.encoding import to_utf8
from fathom.data.media import Look, Medium

MAX_BYTES = 10_000_000  # of one text; a larger file is a table or a mistake


def read_text(path: Path) -> str:
    """The text of a file that was looked at; empty where it cannot be read, or is too large."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        return _decoded(content) if len(content) <= MAX_BYTES else ""
    except (OSError, DataError):
        return ""


def _decoded(content: bytes) -> str:
    """Raises DataError where the bytes are no text."""
    utf8, _ = to_utf8(content, Path("the file"))
    return utf8.decode()


def _look_inside(file: IO[bytes], digest: str) -> Look:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        return Look(f"is larger than {MAX_BYTES // 10**6} MB, the most that is read", digest)
    if not content.strip():
        return Look("is empty", digest)
    try:
        _decoded(content)
    except DataError:
        return Look(f"{TEXTS.unread}: it is of another format, or damaged", digest)
    return Look("", digest)


TEXTS = Medium(
    kind="text",
    column="text",
    one="text",
    many="texts",
    such="text files (.txt)",
    suffixes=frozenset((".txt",)),
    inside=_look_inside,
    opens=lambda content: False,
)
"""Files of text; a table holds their content, not their paths."""
