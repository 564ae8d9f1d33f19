"""Text files of any size and encoding as text, in pieces; nothing is held but a piece.

Which encoding a file has is found once, by reading it through: UTF-8 with or without a mark, UTF-16
or UTF-32, or one that is guessed as for tables (`formats.encoding`). A text that is UTF-8 but for a
few broken bytes is read as such, the broken ones as U+FFFD, since to guess anew would garble all of
it.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fathom.core.errors import DataError
from fathom.core.progress import Progress
from fathom.data.corpus.pieces import PIECE, any_end, line_end
from fathom.data.formats import packed
from fathom.data.formats.encoding import MARKS, SAMPLE_BYTES, SIGNATURES, to_utf8

HEAD = 4096  # bytes by which UTF-16 without a mark is known
CONTROL = re.compile("[\\0-\\x08\\x0e-\\x1a]")  # signs that no text has
FEW_BROKEN = 0.1  # of the lines that are not plain ASCII
FEW_BAD = 0.5  # the same where each line stands for itself
EMPTY = "is empty"
NO_TEXT = "is no text: it holds bytes of value zero"
UNKNOWN = "holds bytes of no known text encoding"

Chunks = Callable[[], Iterable[bytes]]
"""The bytes of a file from its beginning, whenever asked."""


class NoTextError(Exception):
    """A file that cannot be read as text; the message goes on from its name."""


@dataclass(frozen=True)
class Encoding:
    """How a file is decoded: Python's name, and whether it was guessed, or broken bytes occur."""

    name: str = "utf-8"
    guessed: bool = False
    broken: bool = False

    @property
    def errors(self) -> str:
        """How Python calls what becomes of broken bytes."""
        return "replace" if self.broken else "strict"


class Encodings:
    """The encodings of files, each found once and told once; UTF-8 is the rule and not held."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._known: dict[Path, Encoding | str] = {}

    def of(self, path: Path, chunks: Chunks) -> Encoding:
        """The encoding of a file. Raises NoTextError."""
        known = self._known.get(path)
        if known is None:
            try:
                known = find_encoding(chunks)
            except NoTextError as error:
                known = str(error)
            if known != Encoding():
                self._known[path] = known
        if isinstance(known, str):
            raise NoTextError(known)
        return known

    def tell(self) -> None:
        """Say which files are not plain UTF-8."""
        found = [(p.name, e) for p, e in self._known.items() if isinstance(e, Encoding)]
        guessed = [(name, e.name) for name, e in found if e.guessed]
        broken = [(name, "UTF-8 with � for what is broken") for name, e in found if e.broken]
        for kind in (guessed, broken):
            if kind:
                name, way = kind[0]
                more = f" and {len(kind) - 1:,} more files are" if len(kind) > 1 else " is"
                was = "it was" if len(kind) == 1 else "the first was"
                self._progress.say(f"{name}{more} not UTF-8; {was} read as {way}.")


def chunks_of(path: Path) -> Chunks:
    """The bytes of a file, unpacked where its ending says that it is packed.

    A file that is small is read once, and kept as long as the result is.
    """
    if path.suffix.lower() not in packed.PACKERS and path.stat().st_size <= PIECE:
        content = path.read_bytes()
        return lambda: (content,)
    return lambda: packed.chunks(path, PIECE)


def texts_of(chunks: Chunks, encoding: Encoding) -> Iterator[str]:
    """The text of a file in pieces of some MB, cut at line ends where there are any."""
    decoder = codecs.getincrementaldecoder(encoding.name)(encoding.errors)
    held = ""
    for chunk in chunks():
        # Only once more has come is it cut: what is read at once stays whole.
        place = line_end(held, 0, len(held) - 1) if held else 0
        if not place and len(held) > 2 * PIECE:
            place = any_end(held, PIECE, len(held) - 1)
        if place:
            yield held[:place]
            held = held[place:]
        held += decoder.decode(chunk)
    held += decoder.decode(b"", True)
    if held:
        yield held


def find_encoding(chunks: Chunks, *, whole: bool = True) -> Encoding:
    """How the bytes are to be decoded.

    Unless they are one `whole` text the head decides, and broken lines are left to who reads them.
    Raises NoTextError where they are empty or no text.
    """
    head = next(iter(chunks()), b"")
    if not head:
        raise NoTextError(EMPTY)
    for signature, what in SIGNATURES:
        if head.startswith(signature):
            raise NoTextError(f"is not text but {what}")
    if marked := _marked(head) or _unmarked(head):
        if whole and not _decodes(chunks(), marked.name):
            raise NoTextError(f"is not valid {marked.name}, as which it begins")
        return marked
    heads = chunks if whole else lambda: (head[: head.rfind(b"\n") + 1] or head,)
    if any(b"\0" in chunk for chunk in heads()):
        raise NoTextError(NO_TEXT)
    if _decodes(heads(), "utf-8"):
        return Encoding()
    return _guessed(heads, FEW_BROKEN if whole else FEW_BAD)


def _marked(head: bytes) -> Encoding | None:
    for mark, name in MARKS:
        if head.startswith(mark):
            return Encoding("utf-8-sig" if name == "utf-8" else name)
    return None


def _unmarked(head: bytes) -> Encoding | None:
    """UTF-16 without a mark. Raises NoTextError for other bytes with zeros among them."""
    sample = head[:HEAD] if len(head) > HEAD else head[: len(head) // 2 * 2]
    if b"\0" not in sample:
        return None
    try:
        _, name = to_utf8(sample, Path("head"))
    except DataError:
        raise NoTextError(NO_TEXT) from None
    if name.startswith("utf-16") and CONTROL.search(sample.decode(name, "replace")):
        raise NoTextError(NO_TEXT)  # small numbers of two bytes look like UTF-16
    return Encoding(name, guessed=True) if name.startswith("utf-16") else None


def _guessed(chunks: Chunks, few: float) -> Encoding:
    """The encoding of what is not valid UTF-8, which it is still where a `few` lines are broken.

    Raises NoTextError where none fits.
    """
    sample, right, wrong = b"", 0, 0
    for line in _beyond_ascii(chunks()):
        try:
            line.decode()
            right += 1
        except UnicodeDecodeError:
            wrong += 1
        if len(sample) < SAMPLE_BYTES:
            sample += line + b"\n"
    if wrong <= few * (right + wrong):
        return Encoding(broken=True)
    try:
        _, name = to_utf8(sample, Path("sample"))
    except DataError:
        raise NoTextError(UNKNOWN) from None
    if not name or not _decodes(chunks(), name):
        raise NoTextError(UNKNOWN)
    return Encoding(name, guessed=True)


def _beyond_ascii(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that are not plain ASCII; one that two chunks share is left out."""
    for chunk in chunks:
        inner = chunk[chunk.find(b"\n") + 1 : chunk.rfind(b"\n")] if len(chunk) >= PIECE else chunk
        for found in re.finditer(rb"[^\r\n]*[\x80-\xff][^\r\n]*", inner):
            yield found.group()


def _decodes(chunks: Iterable[bytes], encoding: str) -> bool:
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in chunks:
            decoder.decode(chunk)
        decoder.decode(b"", True)
    except UnicodeError:
        return False
    return True
