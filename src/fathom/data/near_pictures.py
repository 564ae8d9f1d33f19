"""Pictures that are nearly the same: saved anew, scaled, brightened, cropped, mirrored, turned.

A perceptual hash only nominates a pair. It is confirmed by pixels: the fine structure of both
pictures must agree far better than that of either with other pictures of the set (after the ratio
test of Lowe, Distinctive Image Features, 2004), so that a set in which all look alike (digits,
shoes, X-rays) joins no more than any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.data.parallel import in_order
from fathom.data.perceptual import (
    COARSE,
    COUNT,
    FINE,
    SIDE,
    codes_of,
    frequencies,
    nominated,
    turned,
    turned_frequencies,
    upright,
)

CHUNK = 1024
CLOSER = 0.05  # of the distance to the pictures around: two are one picture up to here
FARTHEST = 0.06  # 1 - correlation of the fine structure, whatever the others look like
LENIENT = 4.0  # times as far may two pictures be in their sketches to be looked at pixel by pixel
REFERENCES = 512  # other pictures, drawn at random, to which a pair's distance is compared
AROUND = 0.02  # of them lie nearer than the distance that counts as usual
CROPPED = 0.97  # of a side that is left when the rim is cut off
TURNS = range(1, 8)  # the orientations of `turned` but for the first
MOST_PAIRS = 100_000  # pairs that are looked at, the most alike first
MOST_CROPS = 10_000  # pairs that are tried with other crops, the most alike first


GoOn = Callable[[], bool]


class OutOfTimeError(Exception):
    """Comparing takes more time than it may."""


def _always() -> bool:
    return True


def _require_time(go_on: GoOn) -> None:
    if not go_on():
        raise OutOfTimeError


def _blur(width: float) -> Array:
    """A Gaussian along one side, (32, 32), that sums to one at the rim as well."""
    places = np.arange(SIDE)
    weights = np.exp(-0.5 * np.square((places[:, None] - places[None]) / width))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _window(length: float, start: float) -> Array:
    """A matrix (32, 32) that stretches a part of a side over all of it, between pixels."""
    places = np.clip(start * SIDE + (np.arange(SIDE) + 0.5) * length - 0.5, 0, SIDE - 1)
    left = np.minimum(places.astype(np.int64), SIDE - 2)
    matrix = np.zeros((SIDE, SIDE), dtype=np.float32)
    matrix[np.arange(SIDE), left] = 1 - (places - left)
    matrix[np.arange(SIDE), left + 1] += places - left
    return matrix


_NARROW, _WIDE, _WHOLE = _blur(FINE), _blur(COARSE), np.eye(SIDE, dtype=np.float32)
_WINDOWS = tuple(_window(CROPPED, o * (1 - CROPPED)) for o in (0.0, 0.5, 1.0))


def structure(pictures: Array, down: Array = _WHOLE, across: Array = _WHOLE) -> Array:
    """The fine structure of grey pictures (n, 32, 32), (n, 1024) float32 of length 1, or 0s.

    A difference of Gaussians leaves out brightness and broad shapes, which different pictures of a
    kind share, and the noise of compression; the length of 1 leaves out contrast. `down` and
    `across` stretch a window of the pictures first.
    """
    bands = _both_ways(pictures, _NARROW @ down, _NARROW @ across)
    bands -= _both_ways(pictures, _WIDE @ down, _WIDE @ across)
    bands -= bands.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(bands, axis=1, keepdims=True)
    bands *= (lengths > 1.0) / np.maximum(lengths, 1e-6)
    return bands


def _both_ways(pictures: Array, down: Array, across: Array) -> Array:
    """`down @ picture @ across.T` of each, transposed and flat: large products are quick ones."""
    rows = pictures.reshape(-1, SIDE).astype(np.float32) @ across.T
    columns = rows.reshape(-1, SIDE, SIDE).swapaxes(1, 2).reshape(-1, SIDE)
    return np.asarray((columns @ down.T).reshape(len(pictures), -1))


def near_pictures(small: Array, seed: int = 0, go_on: GoOn = _always) -> Array:
    """Pairs (m, 2) int64 of nearly equal pictures among small grey ones (n, 32, 32) uint8.

    `go_on` is asked all the while. Raises OutOfTimeError where it says no.
    """
    # Parts are worked through side by side: BLAS's own threads would only compete with them.
    with threadpool_limits(1, "blas"):
        sketches, standing = _sketches(small, go_on)
        generator = numpy_generator(seed, "near duplicates")
        rows = np.sort(generator.permutation(len(small))[:REFERENCES])
        as_they_are = _alike(sketches, 2, rows, go_on)
        turned_pairs = _alike(standing, 1, rows, go_on)
        references = structure(small[rows])
        plain = _confirmed(small, as_they_are, references, go_on)
        other = _confirmed_turned(small, turned_pairs, sketches[::2], references, go_on)
    both = np.concatenate([plain, other])
    _, first = np.unique(_keys(both), return_index=True)
    return both[first]


def _sketches(small: Array, go_on: GoOn) -> tuple[Array, Array]:
    """Frequencies of each picture and of what is left without its rim (2n, 63), in turn; and of
    the pictures stood upright (n, 63).
    """
    whole = np.empty((len(small), 2, COUNT), dtype=np.float32)
    standing = np.empty((len(small), COUNT), dtype=np.float32)

    def sketch(start: int) -> None:
        _require_time(go_on)
        part = small[start : start + CHUNK]
        end = start + len(part)
        whole[start:end, 0] = frequencies(part)
        middle = _both_ways(part, _WINDOWS[1], _WINDOWS[1]).reshape(-1, SIDE, SIDE)
        whole[start:end, 1] = frequencies(middle.swapaxes(1, 2))
        standing[start:end] = upright(whole[start:end, 0])

    for _ in in_order(sketch, range(0, len(small), CHUNK)):
        pass
    return whole.reshape(-1, COUNT), standing


def _alike(sketches: Array, entries: int, rows: Array, go_on: GoOn) -> Array:
    """Pairs (m, 2) of pictures that hashes nominate and whose sketches agree, the nearest first.

    `sketches` has `entries` rows a picture; `rows` are the pictures of reference.
    """
    references = sketches[rows * entries]

    def allowed(start: int) -> Array:
        _require_time(go_on)
        return LENIENT * _allowed(sketches[start : start + CHUNK], references)

    parts = in_order(allowed, range(0, len(sketches), CHUNK))
    most = np.concatenate([np.empty(0, dtype=np.float32), *parts])

    def scored(pairs: Array) -> tuple[Array, Array]:
        _require_time(go_on)
        pairs = pairs[pairs[:, 0] // entries != pairs[:, 1] // entries]
        apart = 1.0 - _agreement(sketches, pairs)
        ratio = apart / most[pairs].min(axis=1)
        return np.sort(pairs[ratio <= 1.0] // entries, axis=1), ratio[ratio <= 1.0]

    found, ratios = [np.empty((0, 2), dtype=np.int64)], [np.empty(0)]
    for pairs, ratio in in_order(scored, nominated(codes_of(sketches)), ahead=1):
        found.append(pairs)
        ratios.append(ratio)
    ranked = np.argsort(np.concatenate(ratios), kind="stable")
    nearest = np.concatenate(found)[ranked]
    _, first = np.unique(_keys(nearest), return_index=True)
    return nearest[np.sort(first)[:MOST_PAIRS]]


def _agreement(vectors: Array, pairs: Array) -> Array:
    """The products (m,) of the rows of `vectors` that stand in each pair."""
    agreed = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), CHUNK):
        left, right = pairs[start : start + CHUNK].T
        agreed[start : start + CHUNK] = np.einsum("nd,nd->n", vectors[left], vectors[right])
    return agreed


def _allowed(vectors: Array, references: Array) -> Array:
    """How far each of some rows of length 1 may be from a picture that is nearly the same, (n,).

    That is a small part of how far it is from the nearest few in a hundred of the references.
    """
    rank = min(max(3, int(np.ceil(AROUND * len(references)))), len(references) - 1)
    apart = 1.0 - vectors @ references.T
    around = np.partition(apart, rank, axis=1)[:, rank]
    return np.asarray(np.minimum(CLOSER * around, FARTHEST))


def _confirmed(small: Array, pairs: Array, references: Array, go_on: GoOn) -> Array:
    """Those of the pairs whose structure agrees, whole or with the rim of one of them cut off."""
    most = _most_apart(small, pairs, references, go_on)
    apart = _distances(small, pairs, [(_WHOLE, _WHOLE, 0)], go_on)
    left = np.flatnonzero(apart > most)[:MOST_CROPS]
    windows = [(down, across, 0) for down in _WINDOWS for across in _WINDOWS]
    for way in (pairs[left], pairs[left, ::-1]):
        apart[left] = np.minimum(apart[left], _distances(small, way, windows, go_on))
    return np.asarray(pairs[apart <= most])


def _confirmed_turned(
    small: Array, pairs: Array, sketches: Array, references: Array, go_on: GoOn
) -> Array:
    """Those of the pairs whose structure agrees once the second picture is turned or mirrored.

    Their sketches (n, 63) tell at little cost which two orientations are the likeliest.
    """
    most = _most_apart(small, pairs, references, go_on)
    left, right = sketches[pairs[:, 0]], sketches[pairs[:, 1]]
    alike = [np.einsum("nd,nd->n", left, turned_frequencies(right, turn)) for turn in TURNS]
    likeliest = np.array(TURNS)[np.argsort(alike, axis=0)[-2:]]
    apart = np.ones(len(pairs), dtype=np.float32)
    for turn in TURNS:
        here = np.flatnonzero((likeliest == turn).any(axis=0))
        found = _distances(small, pairs[here], [(_WHOLE, _WHOLE, turn)], go_on)
        apart[here] = np.minimum(apart[here], found)
    return np.asarray(pairs[apart <= most])


def _most_apart(small: Array, pairs: Array, references: Array, go_on: GoOn) -> Array:
    """How far the two of each pair may be from each other, (m,): as the stricter of them says."""
    members, places = np.unique(pairs, return_inverse=True)

    def around(start: int) -> Array:
        _require_time(go_on)
        return _allowed(structure(small[members[start : start + CHUNK]]), references)

    allowed = np.concatenate([np.empty(0), *in_order(around, range(0, len(members), CHUNK))])
    return np.asarray(allowed[places.reshape(-1, 2)].min(axis=1, initial=np.inf))


def _distances(
    small: Array, pairs: Array, changes: Sequence[tuple[Array, Array, int]], go_on: GoOn
) -> Array:
    """1 - correlation of the structures of each pair, (m,), in the best of the changes.

    A change is a window down and across, and an orientation, of the second picture.
    """

    def apart(start: int) -> Array:
        _require_time(go_on)
        first, second = (small[p] for p in pairs[start : start + CHUNK].T)
        found, least = structure(first), np.ones(len(first), dtype=np.float32)
        for down, across, turn in changes:
            changed = structure(turned(second, turn), down, across)
            least = np.minimum(least, 1.0 - np.einsum("nd,nd->n", found, changed))
        return least

    parts = in_order(apart, range(0, len(pairs), CHUNK))
    return np.concatenate([np.empty(0, dtype=np.float32), *parts])


def _keys(pairs: Array) -> Array:
    """One number for each pair, in the order of the pairs."""
    keys: Array = pairs[:, 0] << 32 | pairs[:, 1]
    return keys
