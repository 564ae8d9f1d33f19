"""Sketches: documents that are nearly the same, found without holding their texts.

A document is seen as the set of its runs of RUN characters, without regard to case and blanks. Each
run has a hash, the hashes fall into BINS bins, and the least of each bin make the sketch (one
permutation hashing: Li, Owen and Zhang 2012, arXiv 1208.1259; a bin that is empty borrows from
another, Shrivastava 2017, arXiv 1703.04664; 16 bits of each are kept, Li and König 2010, arXiv
0910.3349). Two sketches agree in about the share of runs, of all in either document, that both
have. Bands of the sketch nominate pairs, the whole sketch confirms them. It is an estimate, with a
standard error of about 0.04, since the texts are no longer there to be compared.

A changed word costs about 18 runs: pages that differ in one word of sixteen or fewer are near.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fathom.core.prediction import Array

NEAR = 0.7  # of the runs in either document must be in both
RUN = 12  # characters: rarely do two texts share so many by chance, however long they are
FEWEST_RUNS = 64  # of a document that can be told from others
BINS = 128
BANDS, ROWS = 25, 5  # of documents that share 0.7 of their runs one in 100 is not nominated
NEIGHBOURS = 3  # documents with which each of a bucket is compared
AT_ONCE = 2**18  # characters of documents that are taken together
BLOCK = 2**14  # characters that are hashed together: what then is held stays in the cache
PAIRS_AT_ONCE = 100_000

_STEP = 0x9E3779B97F4A7C15
_MIX = np.uint64(0x94D049BB133111EB)
_EMPTY = np.iinfo(np.uint32).max


class Sketcher:
    """Takes documents piece by piece and sketches them, many short ones or a long one at a time."""

    def __init__(self) -> None:
        self._texts: list[str] = []  # of documents, or their last pieces, that wait
        self._waiting = 0
        self._carried = ""  # the end of the piece before, of which runs reach into the next
        self._open: Array | None = None  # the least hashes so far of a document that goes on
        self._open_runs = 0
        self._done: list[Array] = []
        self._runs: list[Array] = []

    def add(self, text: str, *, last: bool) -> None:
        """The next piece of a document; `last` ends it."""
        # As words that one blank divides; blanks between pieces are lost, or one is made.
        words = " ".join(text.casefold().split())
        words = f"{self._carried} {words}" if self._carried else words
        self._texts.append(words)
        self._waiting += len(words)
        if last:
            self._carried = ""
            if self._waiting >= AT_ONCE:
                self._hash(open_end=False)
        else:
            self._hash(open_end=True)
            self._carried = words[-(RUN - 1) :]

    def sketches(self) -> tuple[Array, Array]:
        """All sketches, (D, BINS) uint16, and which have runs enough to be told apart, (D,) bool.

        Documents that follow are added to these.
        """
        self._hash(open_end=False)
        self._done = [np.concatenate([np.empty((0, BINS), np.uint16), *self._done])]
        self._runs = [np.concatenate([np.empty(0, np.int64), *self._runs])]
        return self._done[0], self._runs[0] >= FEWEST_RUNS

    def _hash(self, *, open_end: bool) -> None:
        """Take the waiting texts into account, of which the last goes on if `open_end`."""
        if not self._texts:
            return
        least, runs = _least(self._texts)
        if self._open is not None:
            least[0] = np.minimum(least[0], self._open)
            runs[0] += self._open_runs
        done = len(runs) - open_end
        self._open, self._open_runs = (least[-1], int(runs[-1])) if open_end else (None, 0)
        self._done.append(_filled(least[:done]))
        self._runs.append(runs[:done])
        self._texts, self._waiting = [], 0


def _least(texts: list[str]) -> tuple[Array, Array]:
    """The least hash of each bin, (n, BINS) uint32 or _EMPTY, and how many runs each text has."""
    least = np.full(len(texts) * BINS, _EMPTY, dtype=np.uint32)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    owners = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
    joined = "".join(texts)
    for start in range(0, len(joined) - RUN + 1, BLOCK):
        part = joined[start : start + BLOCK + RUN - 1]
        hashes = _hashes(part)
        first = owners[start : start + len(hashes)]
        whole = first == owners[start + RUN - 1 : start + RUN - 1 + len(hashes)]
        bins = first.astype(np.int64) * BINS + (hashes >> np.uint64(57)).astype(np.int64)
        values = (hashes >> np.uint64(25)).astype(np.uint32)  # the 32 bits below those of the bin
        np.minimum.at(least, bins[whole], np.minimum(values[whole], _EMPTY - 1))
    return least.reshape(-1, BINS), np.maximum(0, lengths - RUN + 1)


def _hashes(text: str) -> Array:
    """A hash of each run of RUN characters, (len(text) - RUN + 1,) uint64."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    twos = points[:-1] * _power(1) + points[1:]
    fours = twos[:-2] * _power(2) + twos[2:]
    eights = fours[:-4] * _power(4) + fours[4:]
    twelves = eights[:-4] * _power(4) + fours[8:]
    twelves ^= twelves >> np.uint64(31)
    twelves *= _MIX
    return np.asarray(twelves ^ (twelves >> np.uint64(29)))


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(_STEP, exponent, 2**64))


def _probes() -> Array:
    """The bins from which each bin borrows, the first that is not empty: (BINS, BINS - 1)."""
    generator = np.random.default_rng(0)
    return np.stack([generator.permutation(np.delete(np.arange(BINS), i)) for i in range(BINS)])


_PROBES = _probes()


def _filled(least: Array) -> Array:
    """Sketches (n, BINS) uint16: empty bins borrow, in an order that is the same for all."""
    filled = least.copy()
    for attempt in range(BINS - 1):
        rows, bins = np.nonzero(filled == _EMPTY)
        if not len(rows):
            break
        # Distances make borrowed values differ from bin to bin, as those of the bins themselves.
        lent = least[rows, _PROBES[bins, attempt]]
        moved = lent * np.uint32(2 * attempt + 3)
        filled[rows, bins] = np.where(lent == _EMPTY, _EMPTY, np.minimum(moved, _EMPTY - 1))
    return np.asarray((filled ^ (filled >> 16)).astype(np.uint16))


def near_pairs(sketches: Array, told: Array) -> Array:
    """Pairs (m, 2) int64 of positions of documents that are nearly, or exactly, the same.

    Of many alike each is paired with some others, so that they are connected.
    """
    places = np.flatnonzero(told)
    found = [np.empty((0, 2), dtype=np.int64)]
    for keys in _bands(sketches[places]):
        order = np.argsort(keys, kind="stable")
        ranked = keys[order]
        for step in range(1, NEIGHBOURS + 1):
            same = np.flatnonzero(ranked[step:] == ranked[:-step])
            found.append(np.sort(np.stack([order[same], order[same + step]], axis=1), axis=1))
    pairs = places[np.unique(np.concatenate(found), axis=0)]
    return np.asarray(pairs[_agree(sketches, pairs[:, 0], sketches, pairs[:, 1])])


def near_between(asked: tuple[Array, Array], others: tuple[Array, Array]) -> Array:
    """Pairs (m, 2) of a document `asked` for and one of `others` that is nearly the same.

    Both are sketches and which of them can be told apart. Of others in one bucket some are
    compared.
    """
    places, other_places = np.flatnonzero(asked[1]), np.flatnonzero(others[1])
    found = [np.empty((0, 2), dtype=np.int64)]
    bands = zip(_bands(asked[0][places]), _bands(others[0][other_places]), strict=True)
    for keys, other_keys in bands:
        order = np.argsort(other_keys, kind="stable")
        ranked = other_keys[order]
        first = np.searchsorted(ranked, keys)
        for step in range(NEIGHBOURS):
            there = np.flatnonzero(first + step < len(ranked))
            same = there[ranked[first[there] + step] == keys[there]]
            found.append(np.stack([same, order[first[same] + step]], axis=1))
    pairs = np.unique(np.concatenate(found), axis=0)
    pairs = np.stack([places[pairs[:, 0]], other_places[pairs[:, 1]]], axis=1)
    return np.asarray(pairs[_agree(asked[0], pairs[:, 0], others[0], pairs[:, 1])])


def _bands(sketches: Array) -> Iterator[Array]:
    """A key (n,) uint64 of each band: equal where all of its values are."""
    for band in range(BANDS):
        keys = np.zeros(len(sketches), dtype=np.uint64)
        for row in range(band * ROWS, (band + 1) * ROWS):
            keys = (keys ^ (keys >> np.uint64(29))) * _MIX + sketches[:, row]
        yield keys


def _agree(sketches: Array, first: Array, others: Array, second: Array) -> Array:
    """Which pairs agree in NEAR of their sketches, (m,) bool."""
    near = np.zeros(len(first), dtype=bool)
    for start in range(0, len(first), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        same = sketches[first[part]] == others[second[part]]
        near[part] = same.mean(axis=1) >= NEAR
    return near
