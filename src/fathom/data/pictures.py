"""Picture columns: from files, bytes or arrays to uint8 arrays of one size, in threads.

A picture is scaled until it covers the box and cropped about its centre: shapes are never
distorted, and what is lost is the rim, where objects rarely are. What was decoded is kept for the
next run (`data/cache.py`), and what is too large for memory is read from there batch by batch.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from fathom.core.budget import Budget, format_duration
from fathom.core.errors import BudgetError, DataError, StorageError
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Silent
from fathom.core.schema import ImageStatistics
from fathom.core.stored import Rows
from fathom.data import cache
from fathom.data.opening import CLIPPED, Levels, extremes, header, open_picture
from fathom.data.parallel import in_order
from fathom.data.table import Column

DEFAULT_SIZE = 64
SAMPLE = 2000  # arrays from which channels, mean and deviation are learned
FILE_SAMPLE = 200  # the same for files: to decode a photograph takes 40 ms
MOST_HEADERS = 20_000  # files whose headers are read for deep pictures: two seconds
DEEP_SAMPLE = 1000  # deep pictures from which the levels are learned
GREY_TOLERANCE = 2  # levels between channels that a JPEG of a grey picture may show
CHUNK = 100  # the first one shows how long all will take
FORESEEN = (12, 48)  # decoded before anything else; the second number before a close refusal
HOPELESS = 3.0  # times what is left of the budget: no second look is needed
READING_SHARE = 0.6  # of the budget that is left: above it, too little remains to learn in
ADVISED = 3.0  # times the reading: the budget that is named instead
KEPT_SECONDS = 2.0  # decoding that took less is not worth keeping on the disk
DECODING = 1  # counts up whenever pixels come out otherwise, so that no old cache is taken up
WHITES = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)  # what devices of some depth call white


def learn_pictures(name: str, column: Column, image_size: int | None) -> ImageStatistics:
    """The size that pictures are brought to, their channels, and pixel mean and deviation.

    Of deep pictures (16 bits, floats) also the levels that become 0 and 255. Raises DataError where
    no picture of the sample can be read.
    """
    sample = _sample(column, FILE_SAMPLE if isinstance(column, pd.Series) else SAMPLE)
    height, width = _box(name, sample, image_size)
    levels = learn_levels(_deep(column))
    size = ImageStatistics(height, width, 3, (0.0,) * 3, (1.0,) * 3, levels)
    encoded, unreadable = encode_pictures(sample, size)
    pixels = np.delete(np.asarray(encoded), list(unreadable), axis=0)
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
        levels,
    )


def learn_levels(sample: Column) -> Levels | None:
    """The values that become 0 and 255 where pictures are deeper than 8 bits; None where none is.

    White is the first of 1, 255, 1023, 4095, 16383, 65535 and further powers of two that no value
    of the sample exceeds: the depth of a device rather than one picture's brightest pixel, so that
    pictures that were not looked at lie within. Black is 0, or, where values lie below it, the
    first of -1, -2, -4 ... that suffices.
    """
    if not isinstance(sample, pd.Series):
        return None
    cells = [cell for cell in sample if isinstance(cell, str | bytes)]
    found = [pair for pair in in_order(extremes, cells) if pair is not None]
    if not found:
        return None
    low, high = min(pair[0] for pair in found), max(pair[1] for pair in found)
    white = next((white for white in WHITES if high <= white), _power(high))
    return (-_power(-low) if low < 0 else 0.0), white


def _deep(column: Column) -> Column:
    """The deep pictures among files, spread evenly where there are many; arrays are never deep.

    One bright picture among thousands of dark ones sets the levels, so that all headers are read.
    """
    if not isinstance(column, pd.Series):
        return column
    some = _sample(column, MOST_HEADERS)
    seen = in_order(lambda c: header(c) if isinstance(c, str | bytes) else None, some)
    deep = np.array([found is not None and found[1] for found in seen], dtype=bool)
    return _sample(some[deep], DEEP_SAMPLE)


def told_levels(levels: Levels) -> str:
    """What is done with deep pictures, for a column's reason."""
    return f"deeper than 8 bits: {levels[0]:,g} to {levels[1]:,g} become 0 to 255"


def told_clipped(levels: Levels) -> str:
    """What is said of deep pictures that hold values beyond the levels."""
    return f"hold values beyond {levels[0]:,g} to {levels[1]:,g}, the levels of training: clipped"


def _power(value: float) -> float:
    return float(2.0 ** math.ceil(math.log2(max(value, 1.0))))


def encode_pictures(
    column: Column,
    statistics: ImageStatistics,
    progress: Progress | None = None,
    budget: Budget | None = None,
    *,
    digest: str = "",
    clipped: set[int] | None = None,
) -> tuple[Rows, dict[int, str]]:
    """Pictures as (n, channels, height, width) uint8, and the rows that cannot be read with why.

    The pixels of an unreadable picture are zeros. Arrays (n, H, W[, C]) of the wanted size are only
    transposed. With the `digest` of the data that the column is of, decoded pictures are kept in
    the cache and taken from it, and stay on the disk where they are large: the same pixels either
    way. To `clipped` the rows of deep pictures are added that hold values beyond the levels of the
    statistics. Raises BudgetError as soon as the first pictures show that reading all of them takes
    more than 60 % of what is left of `budget`, and StorageError where they fit neither memory nor
    disk.
    """
    if isinstance(column, np.ndarray) and _fits(column, statistics):
        return _transposed(column, statistics.channels), {}
    clipped = set() if clipped is None else clipped
    work = _Work(column, statistics, progress or Silent(), budget, clipped)
    if not digest or not isinstance(column, pd.Series) or not len(column):
        return work.in_memory()
    key = cache.key_of(digest, names_of(column), _form(statistics))
    entry = cache.find(key, work.shape)
    large = math.prod(work.shape) > cache.above()
    if entry is None:
        return work.on_disk(key) if large else work.in_memory_and_kept(key)
    clipped.update(entry.clipped)
    work.progress.say(
        f"{len(column):,} decoded pictures are taken from the cache ({cache.cache_folder()})."
    )
    return (entry.pixels if large else entry.pixels[:]), entry.unreadable


class _Work:
    """One column that is being decoded."""

    def __init__(
        self,
        column: Column,
        statistics: ImageStatistics,
        progress: Progress,
        budget: Budget | None,
        clipped: set[int],
    ) -> None:
        self.clipped = clipped
        self.column, self.statistics = column, statistics
        self.progress, self.budget = progress, budget
        size = statistics.channels, statistics.height, statistics.width
        self.shape = (len(column), *size)

    def in_memory(self) -> tuple[Array, dict[int, str]]:
        """All pictures in one array."""
        pixels = np.zeros(self.shape, dtype=np.uint8)
        unreadable: dict[int, str] = {}
        for row, picture in self._decoded():
            if isinstance(picture, str):
                unreadable[row] = picture
            else:
                pixels[row] = picture
        return pixels, unreadable

    def in_memory_and_kept(self, key: cache.Key) -> tuple[Array, dict[int, str]]:
        """All pictures in one array, and in the cache if decoding took long and there is room."""
        begun = monotonic()
        pixels, unreadable = self.in_memory()
        if monotonic() - begun > KEPT_SECONDS:
            try:
                with cache.storing_entry(key, self.shape) as entry:
                    entry.append(pixels)
                    entry.unreadable |= unreadable
                    entry.clipped |= self.clipped
            except StorageError as error:
                self.progress.say(
                    f"Decoded pictures are not kept for the next run: {error.reason}."
                )
        return pixels, unreadable

    def on_disk(self, key: cache.Key) -> tuple[Rows, dict[int, str]]:
        """All pictures in a file of the cache; a few at a time are in memory."""
        with cache.storing_entry(key, self.shape) as entry:
            chunk = np.zeros((CHUNK, *self.shape[1:]), dtype=np.uint8)
            for row, picture in self._decoded():
                if isinstance(picture, str):
                    entry.unreadable[row] = picture
                    chunk[row % CHUNK] = 0
                else:
                    chunk[row % CHUNK] = picture
                if row % CHUNK == CHUNK - 1 or row == self.shape[0] - 1:
                    entry.append(chunk[: row % CHUNK + 1])
            entry.clipped |= self.clipped
        self.progress.say(
            f"{self.shape[0]:,} decoded pictures ({math.prod(self.shape) / 2**30:.1f} GB) lie in "
            f"{cache.cache_folder()} and are read batch by batch."
        )
        written = cache.find(key, self.shape)
        if written is None:
            raise cache.no_room(cache.cache_folder(), "What was written there is gone")
        return written.pixels, written.unreadable

    def _decoded(self) -> Iterator[tuple[int, Array | str]]:
        """Each picture, or why it cannot be read, in order."""
        budget, total = self.budget, len(self.column)
        begun, before = (budget.elapsed, budget.remaining) if budget else (0.0, 0.0)
        pictures = in_order(self._decode_or_reason, enumerate(self.column))
        for row, picture in enumerate(pictures):
            yield row, picture
            done = row + 1
            if done % CHUNK == 0 or done == total:
                self.progress.advance(done, total, "pictures")
            if budget and done == min(CHUNK, total):
                seconds = (budget.elapsed - begun) * total / done
                require_time(f"{total:,} pictures", seconds, before, begun)

    def _decode_or_reason(self, numbered: tuple[int, Any]) -> Array | str:
        row, cell = numbered
        try:
            return decode(cell, self.statistics, lambda: self.clipped.add(row))
        except DataError as error:
            return str(error)


def foresee(column: Column, digest: str, budget: Budget) -> None:
    """Refuse at once where decoding all files would leave too little of the budget to learn in.

    A dozen files from all over the column are decoded to see; where it is close some more, since
    the first ones may have been slow to come from the disk. What the cache holds needs no time.
    Raises BudgetError.
    """
    if not isinstance(column, pd.Series) or not len(column):
        return
    if cache.holds(cache.key_of(digest, names_of(column), "").content):
        return
    size = ImageStatistics(DEFAULT_SIZE, DEFAULT_SIZE, 3, (0.0,) * 3, (1.0,) * 3)
    work = len(column) + min(len(column), FILE_SAMPLE)  # the statistics come before
    before, spent = budget.remaining, budget.elapsed
    for count in FORESEEN:
        rows = np.unique(np.linspace(0, len(column) - 1, count).astype(np.int64))
        begun = budget.elapsed
        encode_pictures(column.iloc[rows], size)
        seconds = (budget.elapsed - begun) * work / len(rows)
        if seconds <= READING_SHARE * before:
            return
        if seconds > HOPELESS * before:
            break
    require_time(f"{len(column):,} pictures", seconds, before, spent)


def names_of(column: pd.Series[Any]) -> list[str]:
    """The files of a column below the folder that they have in common; of bytes their SHA-256."""
    paths = [cell for cell in column if isinstance(cell, str)]
    try:
        common = len(os.path.commonpath(paths)) if len(paths) > 1 else 0
    except ValueError:  # relative and absolute ones, or on several drives
        common = 0
    return [_name(cell, common) for cell in column]


def _name(cell: Any, common: int) -> str:
    if isinstance(cell, bytes):
        return hashlib.sha256(cell).hexdigest()
    return cell[common:] if isinstance(cell, str) else ""


def _form(statistics: ImageStatistics) -> str:
    s = statistics
    return f"{DECODING} {s.channels} {s.height} {s.width} {s.levels}"


def require_time(what: str, seconds: float, left: float, spent: float) -> None:
    """Raise BudgetError where reading would leave too little of the budget to learn in."""
    if seconds <= READING_SHARE * left:
        return
    enough = math.ceil((spent + ADVISED * seconds) / 60)
    raise BudgetError(
        f"Reading the {what} takes about {format_duration(seconds)}, but "
        f"{format_duration(left)} are left of the budget, in which to learn as well: give "
        f"--budget {enough}m, or fewer or smaller files."
    )


def decode(
    cell: Any, statistics: ImageStatistics, clipped: Callable[[], None] | None = None
) -> Array:
    """One picture (a path, bytes or an array) as (channels, height, width) uint8.

    `clipped` is called where a deep picture holds values beyond the levels of the statistics.
    Raises DataError where it cannot be read.
    """
    box = (statistics.width, statistics.height)
    if isinstance(cell, np.ndarray):
        image = Image.fromarray(cell)
    elif not isinstance(cell, str | bytes):
        raise DataError("is empty where a picture's file should be named")
    else:  # twice the box, so that scaling still averages
        image = open_picture(cell, at_least=2 * max(box), levels=statistics.levels)
    if clipped is not None and image.info.get(CLIPPED):
        clipped()
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


def _sample(column: Column, most: int) -> Column:
    """Some cells, spread evenly over the column."""
    rows = np.unique(np.linspace(0, len(column) - 1, min(len(column), most)).astype(np.int64))
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
    """(width, height) of the pictures of the sample as they are seen; only headers are read.

    A file that is damaged is passed over: `encode_pictures` names it.
    """
    cells = [cell for cell in sample if isinstance(cell, str | bytes)]
    return [found[0] for found in in_order(header, cells) if found is not None]
