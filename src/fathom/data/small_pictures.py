"""Small pictures: every picture of a column as 32 by 32 grey pixels, by which they are compared."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.errors import DataError, StorageError
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.data import cache
from fathom.data.opening import open_picture
from fathom.data.parallel import in_order
from fathom.data.perceptual import SIDE
from fathom.data.pictures import KEPT_SECONDS, names_of
from fathom.data.table import Column

CHUNK = 1000
ASKED_EVERY = 100
_FORM = "grey 32x32, 1"
_GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as Pillow's

GoOn = Callable[[int], bool]


def _always(done: int) -> bool:
    return True


def small_pictures(
    column: Column, progress: Progress, go_on: GoOn = _always, digest: str = ""
) -> Array | None:
    """Every picture as grey pixels, (n, 32, 32) uint8; 0s where one cannot be read.

    `column` holds files or their bytes, or is anything that gives pictures (n, H, W[, C]) when it
    is sliced. What took long to decode is kept in the cache, with the `digest` of the data. None
    where `go_on(done)`, which is asked now and then, says no.
    """
    if not isinstance(column, pd.Series):
        return _of_blocks(np.asarray(column), progress, go_on)
    if not digest:
        return _of_files(column, progress, go_on)
    key = cache.key_of(f"{digest} small", names_of(column), _FORM)
    found = cache.find(key, (len(column), 1, SIDE, SIDE))
    if found is not None:
        return np.asarray(found.pixels[:][:, 0])
    begun = monotonic()
    small = _of_files(column, progress, go_on)
    if small is not None and monotonic() - begun > KEPT_SECONDS:
        try:
            with cache.storing_entry(key, (len(column), 1, SIDE, SIDE)) as entry:
                entry.append(small[:, None])
        except StorageError as error:
            progress.say(f"Small pictures are not kept for the next run: {error.reason}.")
    return small


def _of_blocks(column: Array, progress: Progress, go_on: GoOn) -> Array | None:
    small = np.zeros((len(column), SIDE, SIDE), dtype=np.uint8)
    for start in range(0, len(column), CHUNK):
        small[start : start + CHUNK] = of_arrays(np.asarray(column[start : start + CHUNK]))
        done = min(start + CHUNK, len(column))
        progress.advance(done, len(column), "pictures compared")
        if not go_on(done):
            return None
    return small


def _of_files(column: pd.Series[Any], progress: Progress, go_on: GoOn) -> Array | None:
    small = np.zeros((len(column), SIDE, SIDE), dtype=np.uint8)
    for row, picture in enumerate(in_order(_of_file, column)):
        small[row] = picture
        if (row + 1) % ASKED_EVERY == 0 or row + 1 == len(column):
            progress.advance(row + 1, len(column), "pictures compared")
            if not go_on(row + 1):
                return None
    return small


def _of_file(cell: Any) -> Array:
    if not isinstance(cell, str | bytes):
        return np.zeros((SIDE, SIDE), dtype=np.uint8)
    try:
        image = open_picture(cell, at_least=2 * SIDE).convert("L")
    except DataError:
        return np.zeros((SIDE, SIDE), dtype=np.uint8)
    return np.asarray(of_arrays(np.asarray(image)[None])[0])


def of_arrays(pictures: Array) -> Array:
    """Pictures (n, H, W[, C]) uint8 as (n, 32, 32) uint8."""
    if pictures.ndim == 4 and pictures.shape[3] >= 3:
        pictures = pictures[..., :3].astype(np.float32) @ _GREY
    elif pictures.ndim == 4:
        pictures = pictures[..., 0]
    down, across = (_scaling(side) for side in pictures.shape[1:3])
    scaled = down @ pictures.astype(np.float32) @ across.T
    return np.asarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _scaling(side: int) -> Array:
    """A matrix (32, side): means of what a pixel covers, or between pixels where they are fewer."""
    if side < SIDE:
        places = np.clip((np.arange(SIDE) + 0.5) * side / SIDE - 0.5, 0, side - 1)
        near = 1 - np.abs(places[:, None] - np.arange(side))
        return np.asarray(np.maximum(0, near), dtype=np.float32)
    edges = np.arange(SIDE + 1) * side / SIDE
    covered = np.minimum(edges[1:, None], np.arange(1, side + 1)) - np.maximum(
        edges[:-1, None], np.arange(side)
    )
    return np.asarray(np.maximum(0, covered) * SIDE / side, dtype=np.float32)
