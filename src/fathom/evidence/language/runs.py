"""Runs of tokens that stand in a text word for word, found by fingerprints of all its runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from fathom.core.language import Documents
from fathom.core.prediction import Array

MOST_TOKENS = 10_000_000  # at once: each takes 16 bytes of memory
SECONDS_PER_TOKEN = 2e-7
# An odd base, and codes scattered by another odd number (the golden ratio's), modulo 2^64.
BASE, SCATTER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1342543DE82EF95)
LETTERS = 50  # characters, about, of a run that nobody writes twice by chance


def fingerprints(tokens: Array, length: int) -> Array:
    """A number of 64 bits for each run of `length` tokens of a stream (N,), (N - length + 1,).

    Equal runs have equal ones; others hardly ever (polynomials modulo 2^64, by doubling).
    """
    if len(tokens) < length:
        return np.empty(0, dtype=np.uint64)
    doubled = (tokens.astype(np.uint64) + np.uint64(1)) * SCATTER
    doubled ^= doubled >> np.uint64(29)  # neighbouring codes now differ in all bits
    whole, covered, size = None, 0, 1
    with np.errstate(over="ignore"):
        while covered < length:
            if length & size:
                whole = doubled if whole is None else _joined(whole, doubled, covered, size)
                covered += size
            if covered < length:
                doubled, size = _joined(doubled, doubled, size, size), 2 * size
    assert whole is not None
    return whole[: len(tokens) - length + 1]


def _joined(first: Array, second: Array, length: int, size: int) -> Array:
    """Fingerprints of runs of `length` and then `size` tokens, from those of both."""
    count = len(second) - length
    power = np.uint64(pow(int(BASE), size, 2**64))
    joined: Array = first[:count] * power + second[length:]
    return joined


@dataclass(frozen=True)
class Runs:
    """All runs of `length` tokens of a text: their fingerprints in order (R,), and where they are.

    `tokens` is the stream that they are of, `whole` tells whether it is all of the text.
    """

    length: int
    tokens: Array
    order: Array
    sorted: Array
    whole: bool

    @classmethod
    def of(cls, documents: Documents, length: int, end: int, most: int = MOST_TOKENS) -> Runs:
        """The runs within the first documents, none with the END of one in it."""
        return cls._of(documents.tokens[: most + 1], length, end, len(documents.tokens))

    @classmethod
    def _of(cls, stream: Array, length: int, end: int, total: int) -> Runs:
        tokens = np.asarray(stream)
        found = fingerprints(tokens, length)
        ended = np.concatenate([[0], np.cumsum(tokens == end)])
        inside = np.flatnonzero(ended[length:] == ended[: len(ended) - length])
        order = inside[np.argsort(found[inside], kind="stable")]
        return cls(length, tokens, order, found[order], len(tokens) == total)

    @classmethod
    def blocks(cls, documents: Documents, length: int, end: int) -> Iterator[Runs]:
        """The runs of all of the text, a stretch of it after another, which memory has room for."""
        total = len(documents.tokens)
        for start in range(0, total, MOST_TOKENS):
            stop = start + MOST_TOKENS + length - 1  # runs that begin here may end there
            yield cls._of(documents.tokens[start:stop], length, end, total)

    def known(self, tokens: Array) -> Array:
        """Which of the runs of other tokens (n,) stand in the text, (n - length + 1,) Boolean."""
        return self.counts(fingerprints(tokens, self.length)) > 0

    def counts(self, found: Array) -> Array:
        """How often runs of these fingerprints (n,) stand in the text, (n,)."""
        low, high = (np.searchsorted(self.sorted, found, side=side) for side in ("left", "right"))
        return high - low

    def repeated(self) -> Array:
        """Where runs begin that stand in the text twice or more, one place of each, (m,)."""
        same = self.sorted[1:] == self.sorted[:-1]
        first = np.concatenate([[True], ~same])  # of each run its first place
        again = np.concatenate([same, [False]])
        places: Array = np.sort(self.order[first & again])
        return places

    def longest(self, tokens: Array) -> tuple[int, int]:
        """How long the longest run is that tokens share with the text, and where it begins in them.

        (0, 0) where none is `length` tokens long.
        """
        prints = fingerprints(tokens, self.length)
        best = (0, 0)
        for place in np.flatnonzero(self.counts(prints)):
            low, high = (
                int(np.searchsorted(self.sorted, prints[place], side=side))
                for side in ("left", "right")
            )
            for source in self.order[low : min(high, low + 20)]:
                best = max(best, (_alike(tokens[place:], self.tokens[source:]), int(place)))
        return best


def _alike(first: Array, second: Array) -> int:
    """How many tokens two streams have in common at their beginning."""
    size = min(len(first), len(second))
    differ = np.flatnonzero(first[:size] != second[:size])
    return int(differ[0]) if len(differ) else size


def run_of_letters(documents: Documents) -> int:
    """How many tokens make about LETTERS characters."""
    each = float(documents.sizes.sum()) / max(documents.predicted, 1)
    return max(2, ceil(LETTERS / max(each, 0.1)))
