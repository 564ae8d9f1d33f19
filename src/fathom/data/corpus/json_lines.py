"""JSON Lines as documents: a record on each line, one of whose fields is the text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from fathom.core.errors import DataError, nearest
from fathom.data.corpus.decoding import (
    Encoding,
    NoTextError,
    chunks_of,
    find_encoding,
    texts_of,
)
from fathom.data.corpus.documents import Document, Skipped
from fathom.data.formats import packed
from fathom.data.formats.records import LINES, decode

USUAL = ("text", "content")  # what the field with the text is called, the first that is there
LOOKED_AT = 100  # records by which the field is found
MOST_LINE = 256 * 2**20  # bytes
SOON = 1_000  # lines after which it is clear that a file cannot be used
EXAMPLE = '{"text": "Once upon a time"}'
EMPTY = "holds an empty text"
ZEROS = "holds signs of value zero, as binary data does"


class _BadLineError(ValueError):
    """A line of which no text can be had; the message goes on from 'line 12'."""


def recognises(path: Path) -> bool:
    """Whether the file is called like JSON Lines, packed or not."""
    return packed.suffix(path) in LINES


def find_field(path: Path, asked: str | None) -> str:
    """The field with the text: the one asked for, 'text', 'content', or the only one of text.

    Raises DataError that names the fields where that is not clear.
    """
    records, bad = [], ""
    for number, line in islice(_lines(path), LOOKED_AT):
        try:
            records.append(_record(line))
        except _BadLineError as error:
            bad = bad or f"line {number} {error}"
    if not records:
        raise DataError(f"{path} holds no records: {bad or 'it is empty'}; write {EXAMPLE}.")
    fields = list(dict.fromkeys(name for record in records for name in record))
    texts = [f for f in fields if any(isinstance(r.get(f), str) for r in records)]
    wanted = [asked] if asked else [name for name in USUAL if name in texts] or texts
    if wanted and wanted[0] in texts and (asked or len(wanted) == 1 or wanted[0] in USUAL):
        return wanted[0]
    raise DataError(_unclear(path, fields, texts, asked))


def _unclear(path: Path, fields: list[str], texts: list[str], asked: str | None) -> str:
    listed = ", ".join(map(repr, fields[:10])) + (" ..." if len(fields) > 10 else "")
    if asked:
        what = f"{path} has no field of text {asked!r}, only {listed}."
        return what + (nearest(asked, texts) or " Name another field with --set data.text_field.")
    if not texts:
        return f"{path} has no field of text, only {listed}: write records such as {EXAMPLE}."
    named = ", ".join(map(repr, texts[:10]))
    return (
        f"{path} has several fields that hold text ({named}): say which one with "
        f"--set data.text_field={texts[0]}."
    )


def documents(path: Path, name: str, field: str, skipped: Skipped) -> Iterator[Document]:
    """The texts of a file under 'NAME, line 12'; lines without one are skipped and counted.

    Raises DataError where more than half of the lines are none, or one is beyond all measure.
    """
    count = _Count(path)
    for number, line in _lines(path):
        where = f"{name}, line {number}"
        try:
            text = _text(_record(line), field)
        except _BadLineError as error:
            count.bad(number, error)
            skipped.add(where, str(error).partition(" (")[0])
            continue
        count.good += 1
        reason = ZEROS if "\0" in text else "" if text.strip() else EMPTY
        if reason:
            skipped.add(where, reason)
        else:
            yield Document(where, text)
    count.check()


@dataclass
class _Count:
    """How many lines of a file can be used, and the first that cannot."""

    path: Path
    good: int = 0
    bads: int = 0
    first: str = ""

    def bad(self, number: int, error: _BadLineError) -> None:
        """Count a bad line. Raises DataError where it is clear that the file cannot be used."""
        self.first = self.first or f"line {number}, which {error}"
        self.bads += 1
        if self.good + self.bads == SOON:
            self.check()

    def check(self) -> None:
        """Raises DataError where more than half of the lines are bad."""
        if self.bads > self.good:
            raise DataError(
                f"{self.path} has {self.good + self.bads:,} lines, of which {self.bads:,} cannot "
                f"be used, first {self.first}: write a record such as {EXAMPLE} on each line."
            )


def _record(line: bytes) -> Mapping[str, Any]:
    try:
        record = decode(line)
    except UnicodeDecodeError:
        raise _BadLineError("is not UTF-8") from None
    except ValueError as error:
        raise _BadLineError(f"is no JSON ({error})") from None
    if not isinstance(record, dict):
        raise _BadLineError("holds no record")
    return record


def _text(record: Mapping[str, Any], field: str) -> str:
    if field not in record:
        raise _BadLineError(f"lacks the field {field!r}")
    text = record[field]
    if not isinstance(text, str):
        raise _BadLineError(f"holds no text in the field {field!r}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _BadLineError("holds half of a pair of surrogates") from None
    return text


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers from 1, as UTF-8."""
    held, number = b"", 0
    for chunk in _as_utf8(path):
        *lines, held = (held + chunk).split(b"\n")
        for line in lines:
            number += 1
            if line.strip():
                yield number, line
        if len(held) > MOST_LINE:
            raise DataError(
                f"{path} line {number + 1} is longer than {MOST_LINE // 2**20} MB: write a record "
                f"such as {EXAMPLE} on each line."
            )
    if held.strip():
        yield number + 1, held


def _as_utf8(path: Path) -> Iterator[bytes]:
    """The content of a file in chunks. Only its head tells the encoding: JSON is UTF-8 as a rule,
    and lines that are not are bad lines. Raises DataError for what is no text.
    """
    chunks = chunks_of(path)
    try:
        encoding = find_encoding(chunks, whole=False)
    except NoTextError as error:
        raise DataError(f"{path} {error}: write a record such as {EXAMPLE} on each line.") from None
    if encoding.name == "utf-8":
        yield from chunks()
        return
    for text in texts_of(chunks, replace(encoding, broken=encoding != Encoding())):
        yield text.encode()
