"""Hand-made features of pictures: edges (HOG), colours and a small copy.

HOG is the histogram of oriented gradients of Dalal and Triggs (2005, doi:10.1109/CVPR.2005.177).
Pictures are described a chunk at a time: what is worked on stays in a core's cache, and chunks are
worked on by several threads at once, because NumPy lets go of the interpreter. A picture's features
do not depend on either.
"""

from __future__ import annotations

import numpy as np

from fathom.baselines.base import one_blas_thread
from fathom.core.prediction import Array
from fathom.core.stored import Rows
from fathom.data.parallel import in_order

ORIENTATIONS = 9
CELLS = 7
COLOUR_BINS = 8
COPY_SIDE = 8
PIXELS_PER_CHUNK = 200_000


def describe(pictures: Rows, positions: Array | None = None) -> Array:
    """Features (n, D) float32 of pictures (n, C, H, W) uint8, every picture by itself.

    With `positions` (m,) of those alone, in that order. Only few pictures are in memory at a time.
    """
    size = max(1, PIXELS_PER_CHUNK // int(np.prod(pictures.shape[1:])))
    rows = np.arange(len(pictures)) if positions is None else positions
    chunks = [rows[s : s + size] for s in range(0, max(1, len(rows)), size)]
    if len(chunks) == 1:
        return _describe(pictures[rows])
    with one_blas_thread():
        return np.concatenate(list(in_order(lambda chunk: _describe(pictures[chunk]), chunks)))


def _describe(pictures: Array) -> Array:
    scaled = pictures.astype(np.float32) / np.float32(255.0)
    return np.concatenate([hog(scaled), colours(pictures, scaled), small_copy(scaled)], axis=1)


def hog(pictures: Array) -> Array:
    """Histograms of oriented gradients (n, D) of pictures (n, C, H, W) float32 in 0..1.

    Nine unsigned orientations; about seven square cells along the shorter side; blocks of 2 x 2
    cells, each normalised by L2-Hys. Of several channels the one with the steepest gradient counts
    at each pixel. Votes are shared linearly between neighbouring orientations and cells.
    """
    magnitude, angle = _gradients(np.sqrt(pictures))
    count, height, width = magnitude.shape
    side = max(2, min(height, width) // CELLS)
    down, across = _cell_weights(height, side), _cell_weights(width, side).T
    position = angle * np.float32(ORIENTATIONS / np.pi)
    cells = np.empty((count, len(down), across.shape[1], ORIENTATIONS), dtype=np.float32)
    votes = np.empty_like(magnitude)
    for orientation in range(ORIENTATIONS):
        _vote(votes, position, magnitude, orientation)
        cells[..., orientation] = down @ (votes @ across)  # (n, rows, columns)
    return _normalised_blocks(cells)


def _vote(votes: Array, position: Array, magnitude: Array, orientation: int) -> None:
    """Each pixel's vote for one orientation; `position` is its angle in bins, 0 to 9.

    Within one bin's distance a share is voted; only the first and last bin meet around the circle.
    """
    np.subtract(position, np.float32(orientation + 0.5), out=votes)
    np.abs(votes, out=votes)
    if orientation in {0, ORIENTATIONS - 1}:
        np.minimum(votes, ORIENTATIONS - votes, out=votes)
    np.subtract(np.float32(1.0), votes, out=votes)
    np.maximum(votes, np.float32(0.0), out=votes)
    votes *= magnitude


def _gradients(pictures: Array) -> tuple[Array, Array]:
    """Steepest gradient's magnitude and unsigned angle in [0, pi), both (n, H, W)."""
    right, down, squared = _gradient(pictures[:, 0])
    for channel in range(1, pictures.shape[1]):
        other_right, other_down, other = _gradient(pictures[:, channel])
        ones = -(other > squared).astype(np.int32)
        _replace(right, other_right, ones)
        _replace(down, other_down, ones)
        np.maximum(squared, other, out=squared)
    angle = np.arctan2(down, right)
    angle += (angle < 0) * np.float32(np.pi)
    return np.sqrt(squared), angle


def _replace(values: Array, others: Array, ones: Array) -> None:
    """Take `others` where all bits of `ones` are set: `where=` jumps at each pixel, bits do not."""
    values.view(np.int32)[...] ^= (values.view(np.int32) ^ others.view(np.int32)) & ones


def _gradient(channel: Array) -> tuple[Array, Array, Array]:
    """Differences to the right and down (0 at the border), their squared length, (n, H, W)."""
    right, down = np.zeros_like(channel), np.zeros_like(channel)
    np.subtract(channel[..., 2:], channel[..., :-2], out=right[..., 1:-1])
    np.subtract(channel[..., 2:, :], channel[..., :-2, :], out=down[..., 1:-1, :])
    squared = right * right
    squared += down * down
    return right, down, squared


def _cell_weights(length: int, side: int) -> Array:
    """How much each pixel along a side votes in each cell: triangles, (cells, length) float32."""
    cells = max(1, length // side)
    centres = (np.arange(cells) + 0.5) * (length / cells)
    pixels = np.arange(length) + 0.5
    distance = np.abs(pixels[None, :] - centres[:, None]) / (length / cells)
    return np.maximum(1.0 - distance, 0.0).astype(np.float32)


def _normalised_blocks(cells: Array) -> Array:
    """Blocks of 2 x 2 cells (n, rows, columns, 9), L2-Hys normalised, flattened to (n, D)."""
    if min(cells.shape[1:3]) < 2:
        cells = np.pad(cells, [(0, 0), *((0, max(0, 2 - n)) for n in cells.shape[1:3]), (0, 0)])
    corners = [cells[:, :-1, :-1], cells[:, :-1, 1:], cells[:, 1:, :-1], cells[:, 1:, 1:]]
    blocks = np.concatenate(corners, axis=-1)
    _to_unit(blocks)
    np.minimum(blocks, np.float32(0.2), out=blocks)
    _to_unit(blocks)
    return blocks.reshape(len(cells), int(np.prod(blocks.shape[1:])))


def _to_unit(blocks: Array) -> None:
    squared = np.einsum("...d,...d->...", blocks, blocks)
    blocks /= np.sqrt(squared + np.float32(1e-4))[..., None]


def colours(pictures: Array, scaled: Array) -> Array:
    """Mean, deviation and a histogram of 8 bins for each channel, (n, 10 C) float32."""
    count, channels, height, width = pictures.shape
    shape = (count * channels, height * width)
    flat = scaled.reshape(shape)
    mean = flat.mean(axis=1)
    centred = flat - mean[:, None]
    deviation = np.sqrt(np.einsum("ij,ij->i", centred, centred) / np.float32(shape[1]))
    shares = _histograms(pictures.reshape(shape)) / np.float32(shape[1])
    parts = (mean.reshape(count, channels), deviation.reshape(count, channels))
    return np.concatenate([*parts, shares.reshape(count, COLOUR_BINS * channels)], axis=1)


def _histograms(values: Array) -> Array:
    """How many of each row's bytes lie in each of eight equal bins, (rows, 8) float32.

    Each edge is compared with at once, and the bits of the answers are counted.
    """
    at_least = np.zeros((len(values), COLOUR_BINS + 1), dtype=np.float32)
    at_least[:, 0] = values.shape[1]
    for edge in range(1, COLOUR_BINS):
        bits = np.packbits(values >= np.uint8(edge * (256 // COLOUR_BINS)), axis=1)
        at_least[:, edge] = np.bitwise_count(bits).sum(axis=1, dtype=np.uint32)
    counts: Array = at_least[:, :-1] - at_least[:, 1:]
    return counts


def small_copy(pictures: Array) -> Array:
    """Each channel averaged down to at most 8 x 8, (n, D) float32."""
    height, width = pictures.shape[2:]
    down = _cell_weights(height, max(1, height // COPY_SIDE))
    across = _cell_weights(width, max(1, width // COPY_SIDE)).T
    small = (down / down.sum(axis=1, keepdims=True)) @ (pictures @ (across / across.sum(axis=0)))
    flat: Array = small.reshape(len(pictures), int(np.prod(small.shape[1:])))
    return flat
