"""Stretches: the text of a corpus with the part that it belongs to, in one pass over it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from fathom.core.errors import DataError
from fathom.data.corpus.documents import Corpus, Document
from fathom.data.corpus.pieces import pieces, utf8_size
from fathom.data.corpus.splits import PARTS, UNUSED, CorpusSplits, Cut, whole, window_of

_PARAGRAPH = re.compile(rb"\n[ \t\r]*\n")
TRAINING_BYTES = 50_000_000  # of text that a tokenizer is trained on
BLOCK = 64 * 2**10  # characters that are taken or left together where not all of a text is taken


@dataclass(frozen=True, slots=True)
class Stretch:
    """A document of a split, or a piece of one: `last` ends it, and its text may then be empty.

    What a document was cut into are documents of their own, called 'book.txt, from byte 12,345'.
    `first` tells the piece that begins one.
    """

    split: str
    name: str
    text: str
    first: bool
    last: bool


def stretches(
    corpus: Corpus, splits: CorpusSplits, wanted: Collection[str] = PARTS
) -> Iterator[Stretch]:
    """The documents of the `wanted` splits in the order of the corpus.

    Raises DataError where the corpus is no longer what it was when it was split.
    """
    codes = {PARTS.index(name) for name in wanted}
    cutter: _Cutter | None = None
    position = size = 0
    for document in corpus.documents():
        if position >= len(splits):
            raise _changed(corpus)
        if document.part == 0:
            size, cuts = 0, splits.cuts.get(position, ())
            part = int(splits.part[position])
            cutter = _Cutter(part, cuts, int(splits.sizes[position])) if cuts else None
        size += utf8_size(document.text)
        if cutter is not None:
            for found, stretch in cutter.feed(document):
                if found in codes:
                    yield stretch
        elif part in codes:
            first = document.part == 0
            yield Stretch(PARTS[part], document.name, document.text, first, document.last)
        if document.last:
            if size != splits.sizes[position]:
                raise _changed(corpus)
            position += 1
    if position != len(splits):
        raise _changed(corpus)


def _changed(corpus: Corpus) -> DataError:
    return DataError(
        f"{corpus.called} was changed while it was read: give the same command again once nobody "
        "writes to it."
    )


class _Cutter:
    """Cuts one document, which comes in pieces, into stretches; bytes that wait are few MB."""

    def __init__(self, part: int, cuts: tuple[Cut, ...], size: int) -> None:
        self._part, self._cuts = part, list(cuts)
        self._window = window_of(size, cuts)
        self._held = b""
        self._at = 0  # the byte of the document with which `_held` begins
        self._start = 0  # and that with which the stretch does
        self._open = False  # whether something of the stretch was given

    def feed(self, document: Document) -> Iterator[tuple[int, Stretch]]:
        """The stretches, or pieces of them, that are known with the next piece; and their parts."""
        self._held += document.text.encode()
        while self._cuts:
            behind = self._cuts[0].at - self._at
            if len(self._held) < behind + self._window and not document.last:
                if len(self._held) <= behind:
                    yield from self._give(document.name, len(self._held), last=False)
                return
            place = good_place(self._held, max(0, behind), max(0, behind) + self._window)
            yield from self._give(document.name, place, last=True)
            self._part, self._start = self._cuts.pop(0).part, self._at
        yield from self._give(document.name, len(self._held), last=document.last)

    def _give(self, name: str, size: int, *, last: bool) -> Iterator[tuple[int, Stretch]]:
        text = self._held[:size].decode()
        self._held, self._at = self._held[size:], self._at + size
        if text or (last and self._open):
            split = PARTS[self._part] if self._part != UNUSED else ""
            called = f"{name}, from byte {self._start:,}"
            yield self._part, Stretch(split, called, text, not self._open, last)
        self._open = bool(text or self._open) and not last


def good_place(data: bytes, start: int, stop: int) -> int:
    """Where to cut UTF-8 at `start` or behind, up to `stop`: behind an empty line, the end of a
    line, or a blank, in this order; else before the next letter.
    """
    start, stop = min(start, len(data)), min(stop, len(data))
    if found := _PARAGRAPH.search(data, start, stop):
        return found.end()
    for sign in (b"\n", b" "):
        if (place := data.find(sign, start, stop)) >= 0:
            return place + 1
    while start < len(data) and data[start] & 0xC0 == 0x80:  # within a letter
        start += 1
    return start


def training_texts(
    corpus: Corpus, splits: CorpusSplits, most_bytes: int = TRAINING_BYTES
) -> Iterator[str]:
    """Text of the training split, spread evenly over all of it, `most_bytes` bytes at most."""
    texts = (stretch.text for stretch in stretches(corpus, splits, ("train",)))
    return spread(texts, most_bytes / max(1, splits.bytes["train"]))


def spread(texts: Iterable[str], share: float) -> Iterator[str]:
    """A share of some texts in blocks that lie evenly over all of them; all where it is 1."""
    owed = 0.0
    for text in texts:
        for block in pieces(text, BLOCK) if share < 1.0 else (text,):
            size = utf8_size(block)
            owed += min(1.0, share) * size
            if block and (share >= 1.0 or owed >= size):
                owed -= size
                yield block


def texts_of(
    corpus: Corpus,
    splits: CorpusSplits,
    split: str,
    limit_bytes: int,
    *,
    test: Corpus | None = None,
) -> list[bytes]:
    """Documents of a split as they were written, `limit_bytes` bytes of UTF-8 at most in all.

    All of them where they fit; else some, spread evenly, and of long ones the beginning. `test` is
    the test corpus that was given, if one was.
    """
    if split == "test" and splits.given is not None and test is not None:
        corpus, splits = test, whole(splits.given, splits.given_digest)
    share = min(1.0, limit_bytes / max(1, splits.bytes[split]))
    longest = limit_bytes if share == 1.0 else max(1, limit_bytes // 8)
    found: list[bytes] = []
    owed, left, taking = 0.0, limit_bytes, False
    for stretch in stretches(corpus, splits, (split,)):
        data = stretch.text.encode()
        owed += share * len(data)
        if stretch.first:
            taking = left > 0 and (share == 1.0 or owed >= min(len(data), longest) or not found)
            found += [b""] if taking else []
        if taking:
            more = data[: min(left, longest - len(found[-1]))]
            found[-1] += more
            left, owed = left - len(more), owed - len(more)
    return [text for text in found if text]
