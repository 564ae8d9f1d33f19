"""Picture columns: from files, bytes or arrays to uint8 arrays of one size, in threads.

A picture is scaled until it covers the box and cropped about its centre: shapes are never
distorted, and what is lost is the rim, where objects rarely are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from fathom.core.budget import Budget, format_duration
from fathom.core.errors import BudgetError, DataError
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Silent
from fathom.core.schema import ImageStatistics
from fathom.data.formats.pictures import FORMATS, open_picture
from fathom.data.table import Column

DEFAULT_SIZE = 64
SAMPLE = 2000  # arrays from which channels, mean and deviation are learned
FILE_SAMPLE = 200  # the same for files: to decode a photograph takes 40 ms
GREY_TOLERANCE = 2  # levels between channels that a JPEG of a grey picture may show
CHUNK = 100  # the first one shows how long all will take
READING_SHARE = 0.6  # of the budget that is left: above it, too little remains to learn in
ADVISED = 3.0  # times the reading: the budget that is named instead
_ORIENTATION, _FIRST_TURNED = 274, 5  # the EXIF tag, and its values for pictures on their side


def learn_pictures(name: str, column: Column, image_size: int | None) -> ImageStatistics:
    """The size that pictures are brought to, their channels, and pixel mean and deviation.

    Raises DataError where no picture of the sample can be read.
    """
    sample = _sample(column)
    height, width = _box(name, sample, image_size)
    size = ImageStatistics(height, width, 3, (0.0,) * 3, (1.0,) * 3)
    pixels, unreadable = encode_pictures(sample, size)
    pixels = np.delete(pixels, list(unreadable), axis=0)
    if not len(pixels):
        first = next(iter(unreadable.values()))
        raise DataError(f"None of the pictures in column {name!r} can be read: {first}")
    grey = bool((np.ptp(pixels, axis=1) <= GREY_TOLERANCE).all())
    pixels = pixels[:, :1] if grey else pixels
    mean = pixels.mean(axis=(0, 2, 3), dtype=np.float64)
    std = pixels.std(axis=(0, 2, 3), dtype=np.float64)
    return ImageStatistics(
        height,
        width,
        pixels.shape[1],
        tuple(float(m) for m in mean),
        tuple(float(max(s, 1.0)) for s in std),
    )


def encode_pictures(
    column: Column,
    statistics: ImageStatistics,
    progress: Progress | None = None,
    budget: Budget | None = None,
) -> tuple[Array, dict[int, str]]:
    """Pictures as (n, channels, height, width) uint8, and the rows that cannot be read with why.

    The pixels of an unreadable picture are zeros. Arrays (n, H, W[, C]) of the wanted size are only
    transposed. Raises BudgetError as soon as the first pictures show that reading all of them takes
    more than 60 % of what is left of `budget`.
    """
    if not isinstance(column, pd.Series) and _fits(column, statistics):
        return _transposed(column, statistics.channels), {}
    shape = (len(column), statistics.channels, statistics.height, statistics.width)
    pixels = np.zeros(shape, dtype=np.uint8)
    unreadable: dict[int, str] = {}
    for row, picture in _in_threads(column, statistics, progress, budget):
        if isinstance(picture, str):
            unreadable[row] = picture
        else:
            pixels[row] = picture
    return pixels, unreadable


def _in_threads(
    column: Column, statistics: ImageStatistics, progress: Progress | None, budget: Budget | None
) -> Iterator[tuple[int, Array | str]]:
    cells = list(column)
    workers = min(16, os.cpu_count() or 1)
    shown = progress or Silent()
    begun, before = (budget.elapsed, budget.remaining) if budget else (0.0, 0.0)
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(cells), CHUNK):
            chunk = cells[start : start + CHUNK]
            yield from enumerate(pool.map(lambda c: _decode_or_reason(c, statistics), chunk), start)
            shown.advance(start + len(chunk), len(cells), "pictures")
            if budget and not start:
                seconds = (budget.elapsed - begun) * len(cells) / len(chunk)
                _require_time(len(cells), seconds, before, begun)


def _require_time(pictures: int, seconds: float, left: float, spent: float) -> None:
    """Raise BudgetError where reading would leave too little of the budget to learn in."""
    if seconds <= READING_SHARE * left:
        return
    enough = math.ceil((spent + ADVISED * seconds) / 60)
    raise BudgetError(
        f"Reading the {pictures:,} pictures takes about {format_duration(seconds)}, but "
        f"{format_duration(left)} are left of the budget, in which to learn as well: give "
        f"--budget {enough}m, or fewer or smaller pictures."
    )


def _decode_or_reason(cell: Any, statistics: ImageStatistics) -> Array | str:
    try:
        return decode(cell, statistics)
    except DataError as error:
        return str(error)


def decode(cell: Any, statistics: ImageStatistics) -> Array:
    """One picture (a path, bytes or an array) as (channels, height, width) uint8.

    Raises DataError where it cannot be read.
    """
    box = (statistics.width, statistics.height)
    if isinstance(cell, np.ndarray):
        image = Image.fromarray(cell)
    elif not isinstance(cell, str | bytes):
        raise DataError("is empty where a picture's file should be named")
    else:
        image = open_picture(cell, at_least=2 * max(box))  # twice, so that scaling still averages
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    mode = "L" if statistics.channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    if image.size != box:
        image = ImageOps.fit(image, box, method=Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _fits(arrays: Array, statistics: ImageStatistics) -> bool:
    channels = arrays.shape[3] if arrays.ndim == 4 else 1
    same_size = arrays.shape[1:3] == (statistics.height, statistics.width)
    return same_size and channels == statistics.channels


def _transposed(arrays: Array, channels: int) -> Array:
    if channels == 1:
        return arrays.reshape(len(arrays), 1, *arrays.shape[1:3])
    return np.ascontiguousarray(arrays.transpose(0, 3, 1, 2))


def _sample(column: Column) -> Column:
    limit = min(len(column), FILE_SAMPLE if isinstance(column, pd.Series) else SAMPLE)
    rows = np.unique(np.linspace(0, len(column) - 1, limit).astype(np.int64))
    if isinstance(column, pd.Series):
        return column.iloc[rows].reset_index(drop=True)
    return column[rows]


def _box(name: str, sample: Column, image_size: int | None) -> tuple[int, int]:
    """Height and width: the median shape, with image_size² pixels where that is given."""
    if not isinstance(sample, pd.Series):
        height, width = sample.shape[1:3]
        if image_size is None:
            return int(height), int(width)
        return box_of(height, width, image_size)
    sizes = _sizes(sample)
    if not sizes:
        raise DataError(f"None of the pictures in column {name!r} can be opened: are they damaged?")
    width, height = (float(side) for side in np.median(np.array(sizes), axis=0))
    if image_size is None and width * height <= DEFAULT_SIZE**2:
        return round(height), round(width)
    return box_of(height, width, image_size or DEFAULT_SIZE)


def box_of(height: float, width: float, image_size: int) -> tuple[int, int]:
    """A box of about image_size² pixels and of this shape, its sides multiples of 4."""
    aspect = np.clip(width / height, 0.5, 2.0)
    if 0.9 <= aspect <= 1.1:
        return image_size, image_size
    wide = max(4, round(image_size * float(np.sqrt(aspect)) / 4) * 4)
    high = max(4, round(image_size / float(np.sqrt(aspect)) / 4) * 4)
    return high, wide


def _sizes(sample: pd.Series[Any]) -> list[tuple[int, int]]:
    """(width, height) of up to 200 pictures of the sample as they are seen; only headers are read.

    A file that is damaged is passed over: `encode_pictures` names it.
    """
    sizes = []
    for cell in sample.dropna().iloc[:: max(1, len(sample) // 200)]:
        try:
            with Image.open(cell, formats=FORMATS) as image:
                turned = image.getexif().get(_ORIENTATION, 1) >= _FIRST_TURNED
                sizes.append(image.size[::-1] if turned else image.size)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            continue
    return sizes
