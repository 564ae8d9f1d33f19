"""Perceptual hashes: 64 bits that look-alike pictures share, and pairs of them found in n log n.

The bits are the signs of low frequencies of a small grey picture's cosine transform, as in pHash
(Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). Pairs that
differ in few bits agree in whole blocks of them (Norouzi, Punjani & Fleet, Fast Search in Hamming
Space with Multi-Index Hashing, 2012), so that sorting by blocks brings them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from scipy.fft import dct

from fathom.core.prediction import Array

SIDE = 32  # pixels of the small pictures
HIGHEST = 10  # vertical plus horizontal frequency
FREQUENCIES = tuple(
    (i, total - i)
    for total in range(1, HIGHEST + 1)
    for i in range(total + 1)
    if max(i, total - i) < HIGHEST
)
"""(down, across), 63 from the lowest on; the mean brightness is not among them."""
COUNT = len(FREQUENCIES)
BLOCKS = 8  # of 8 bits; codes that differ in 6 bits at most agree in two blocks
NEIGHBOURS = 6  # entries that each is compared with in every sorted order
FINE, COARSE = 0.7, 2.5  # widths of Gaussians in pixels of 32 between which structure is compared
FAR = 12  # bits that may differ: noise and chance are level beyond

_SWAPPED = np.array([FREQUENCIES.index((across, down)) for down, across in FREQUENCIES])
_COSINES = dct(np.eye(SIDE), axis=0, norm="ortho")[: HIGHEST + 1].astype(np.float32)
_ANGLES = np.pi * np.hypot(*np.array(FREQUENCIES).T) / SIDE  # radians a pixel
_WEIGHTS = np.exp(-0.5 * np.square(FINE * _ANGLES)) - np.exp(-0.5 * np.square(COARSE * _ANGLES))
_WEIGHTS = _WEIGHTS.astype(np.float32)


def frequencies(pictures: Array) -> Array:
    """The cosine transform of grey pictures (n, 32, 32) at FREQUENCIES, (n, 63) float32.

    Frequencies count by how much they say: the lowest, in which pictures of a kind are alike, and
    the highest, which compression changes, less. Each row has the length 1, or is 0.
    """
    rows = pictures.reshape(-1, SIDE).astype(np.float32) @ _COSINES.T
    columns = rows.reshape(len(pictures), SIDE, -1).swapaxes(1, 2)
    spectrum = columns @ _COSINES.T  # (n, across, down)
    down, across = np.array(FREQUENCIES).T
    found = spectrum[:, across, down] * _WEIGHTS
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.ascontiguousarray(np.where(lengths > 1.0, found / np.maximum(lengths, 1e-6), 0.0))


def upright(found: Array) -> Array:
    """Frequencies (n, 63) as if each picture were mirrored and turned into one orientation.

    A mirror image flips the signs of the odd frequencies, a transposed one swaps down and across:
    the lowest odd ones are made positive, and what changes down stronger than across. Pictures that
    have no such direction may end up either way.
    """
    down, across = np.array(FREQUENCIES).T
    place = {f: i for i, f in enumerate(FREQUENCIES)}
    lying = np.abs(found[:, place[0, 1]]) > np.abs(found[:, place[1, 0]])
    stood = np.where(lying[:, None], found[:, _SWAPPED], found)
    for odd, lowest in ((down % 2 == 1, place[1, 0]), (across % 2 == 1, place[0, 1])):
        stood = np.where(odd[None] & (stood[:, [lowest]] < 0), -stood, stood)
    return stood


def turned_frequencies(found: Array, turn: int) -> Array:
    """The frequencies (n, 63) of the same pictures in one of the 8 orientations of `turned`."""
    across = np.array(FREQUENCIES)[:, 1]
    odd = np.where(across % 2 == 1, -1, 1).astype(np.float32)
    changed = found * odd if turn >= 4 else found
    for _ in range(turn % 4):  # a quarter turn mirrors across, then swaps down and across
        changed = (changed * odd)[:, _SWAPPED]
    return changed


def turned(pictures: Array, turn: int) -> Array:
    """Pictures (n, S, S) in one of the 8 orientations: quarter turns, mirrored from the fourth."""
    mirrored = pictures[:, :, ::-1] if turn >= 4 else pictures
    return np.rot90(mirrored, turn % 4, axes=(1, 2))


def codes_of(found: Array) -> Array:
    """The signs of frequencies (n, 63) as codes (n,) uint64."""
    packed: Array = np.ascontiguousarray(np.packbits(found > 0, axis=1)).view(np.uint64)[:, 0]
    return packed


def nominated(codes: Array) -> Iterator[Array]:
    """Pairs (m, 2) int64 of positions whose codes differ in few bits, in one array an order.

    Two of the codes (k,) uint64 that differ in up to 6 bits come to lie side by side in one of 28
    orders, unless NEIGHBOURS others agree better: the work is linear in k but for sorting. A pair
    may come up several times.
    """
    octets = codes.view(np.uint8).reshape(-1, BLOCKS)
    for pair in combinations(range(BLOCKS), 2):
        order = [*pair, *(b for b in range(BLOCKS) if b not in pair)]
        keys = np.ascontiguousarray(octets[:, order]).view(">u8")[:, 0].astype(np.uint64)
        ranked = np.argsort(keys)
        keys, bits = keys[ranked] >> np.uint64(48), codes[ranked]
        for step in range(1, NEIGHBOURS + 1):
            near = keys[step:] == keys[:-step]
            near &= np.bitwise_count(bits[step:] ^ bits[:-step]) <= FAR
            place = np.flatnonzero(near)
            yield np.stack([ranked[place], ranked[place + step]], axis=1)
