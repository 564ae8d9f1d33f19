"""Pieces of text: cut where neither words nor the tokens of any tokenizer are torn apart.

A line end before a sign that is no blank is such a place: tokenizers cut a text into words first,
and none joins a line end to the word behind it. What has no such place for long is cut at another
line end, a blank, or anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

PIECE = 4 * 2**20  # characters or bytes of a document that are read at once
SEARCHED = 64  # line ends that are looked at for one before a sign: lines may all be empty


def line_end(text: str, start: int, stop: int) -> int:
    """The last place in (start, stop] behind a line end, before a sign that is no blank; else 0.

    What stands at `stop` must be known: `stop` < len(text).
    """
    place = stop
    for _ in range(SEARCHED):
        place = text.rfind("\n", start, place)
        if place < 0:
            return 0
        if not text[place + 1].isspace():
            return place + 1
    return 0


def any_end(text: str, start: int, stop: int) -> int:
    """A place in (start, stop] to cut a text: as `line_end`, another line end, a blank, `stop`."""
    return (
        line_end(text, start, stop)
        or text.rfind("\n", start, stop) + 1
        or max(0, text.rfind(" ", start, stop))
        or stop
    )


def pieces(text: str, size: int) -> Iterator[str]:
    """A text in pieces of at most `size` characters, which joined are the text."""
    start = 0
    while len(text) - start > size:
        place = any_end(text, start + size // 2, start + size)
        place = place if place > start else start + size
        yield text[start:place]
        start = place
    yield text[start:] if start else text


def utf8_size(text: str) -> int:
    """How many bytes of UTF-8 a text is."""
    return len(text) if text.isascii() else len(text.encode())
