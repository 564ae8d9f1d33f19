"""Columns of sound: from files or bytes to samples of one channel at one rate, in threads."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import torch

from fathom.core.blocks import PADDING_SAMPLE
from fathom.core.budget import Budget
from fathom.core.errors import DataError
from fathom.core.mel import LogMel, bands_of
from fathom.core.memory import machine_memory
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Silent
from fathom.core.quantities import percent_digits
from fathom.core.ragged import Ragged
from fathom.core.schema import AudioStatistics
from fathom.data.parallel import in_order
from fathom.data.pictures import FORESEEN, READING_SHARE, require_time
from fathom.data.sound_files import Header, header, open_sound
from fathom.data.table import Column

MOST_RATE = 16_000  # a second: speech, and most of what tells sounds apart, lies below 8 kHz
MOST_SECONDS = 10.0  # longer sounds are cut, which is said
LENGTH_SHARE = 0.99  # of the training sounds are not cut, unless they are longer than MOST_SECONDS
CHEAP_SECONDS = 2.0  # up to which the longest sound costs next to nothing: a few rows are padded
SAMPLE = 400  # sounds from which mean and deviation of the bands are learned
CHUNK = 100
LEAST_STD = 0.1  # of a band's logarithms: a band that is always silent must not be blown up
MEMORY_SHARE = 0.25  # of the machine's, that samples may take


def learn_sounds(name: str, column: Column, wanted_rate: int | None = None) -> AudioStatistics:
    """The rate, the lengths and the bands' mean and deviation, over the rows of the training split.

    The rate is `wanted_rate`, or the most common one, the higher one of two that are equally
    common, at most MOST_RATE. Raises DataError where no sound can be read.
    """
    cells = list(column)
    found = list(in_order(_header, cells))
    headers = [each for each in found if each is not None]
    if not headers:
        raise DataError(f"None of the sounds in column {name!r} can be read: are they damaged?")
    rates = Counter(each.rate for each in headers)
    common = max(rates, key=lambda rate: (rates[rate], rate))
    rate = wanted_rate or min(common, MOST_RATE)
    lengths = np.array([max(1, round(each.seconds * rate)) for each in headers])
    wanted = int(np.quantile(lengths, LENGTH_SHARE, method="higher"))
    cheap = min(int(lengths.max()), int(CHEAP_SECONDS * rate))
    length = min(max(wanted, cheap), int(MOST_SECONDS * rate))
    mean, std = _bands(name, cells, rate, length)
    return AudioStatistics(
        rate=rate,
        length=length,
        typical=int(np.median(np.minimum(lengths, length))),
        mean=mean,
        std=std,
        cut=float((lengths > length).mean()),
        resampled=1.0 - rates[rate] / len(headers),
        missing=len(found) - len(headers),
        lost=float(np.maximum(lengths - length, 0).sum() / lengths.sum()),
    )


def told_sounds(statistics: AudioStatistics) -> str:
    """What was decided about sounds, in words."""
    s = statistics
    told = f"{s.rate:,} samples a second"
    if s.resampled:
        told += f" (of {percent_digits(s.resampled)} % of the training rows resampled)"
    told += f", typically {s.typical / s.rate:.3g} seconds"
    if not s.cut:
        return told
    return (
        f"{told}; sounds longer than {s.length / s.rate:.3g} seconds ({percent_digits(s.cut)} % of "
        "the training rows) are cut there"
    )


def encode_sounds(
    column: Column,
    statistics: AudioStatistics,
    progress: Progress | None = None,
    budget: Budget | None = None,
) -> tuple[Ragged, dict[int, str]]:
    """Samples of every row, int16, and the rows that cannot be read with why.

    An unreadable row is one silent sample. Raises BudgetError as soon as the first sounds show that
    reading all of them takes more than 60 % of what is left of `budget`, and DataError where they
    do not fit a quarter of the memory.
    """
    rows: list[Array] = []
    unreadable: dict[int, str] = {}
    for row, sound in enumerate(_decoded(column, statistics, progress or Silent(), budget)):
        if isinstance(sound, str):
            unreadable[row] = sound
        rows.append(np.zeros(1, dtype=np.int16) if isinstance(sound, str) else sound)
    return Ragged.of(rows, PADDING_SAMPLE, np.int16), unreadable


def too_long(column: Column, statistics: AudioStatistics) -> Array:
    """Mask (n,): sounds of which the end is not heard, by their headers."""
    most = (statistics.length + 1) / statistics.rate
    headers = in_order(_header, list(column))
    return np.array([found is not None and found.seconds > most for found in headers], bool)


def _decoded(
    column: Column, statistics: AudioStatistics, progress: Progress, budget: Budget | None
) -> Iterator[Array | str]:
    """Each sound, or why it cannot be read, in order."""
    total, taken = len(column), 0
    begun, before = (budget.elapsed, budget.remaining) if budget else (0.0, 0.0)
    sounds = in_order(lambda cell: _sound_or_reason(cell, statistics), column)
    for done, sound in enumerate(sounds, 1):
        yield sound
        taken += sound.nbytes if isinstance(sound, np.ndarray) else 0
        if done % CHUNK == 0 or done == total:
            progress.advance(done, total, "sounds")
            _require_memory(taken * total // done, total, statistics)
        if budget and done == min(CHUNK, total):
            seconds = (budget.elapsed - begun) * total / done
            require_time(f"{total:,} sounds", seconds, before, begun)


def _require_memory(foreseen: int, total: int, statistics: AudioStatistics) -> None:
    if foreseen <= MEMORY_SHARE * machine_memory():
        return
    raise DataError(
        f"The {total:,} sounds take about {foreseen / 2**30:.1f} GB at {statistics.rate:,} samples "
        f"a second, more than a quarter of this machine's memory: give fewer or shorter ones."
    )


def _sound_or_reason(cell: Any, statistics: AudioStatistics) -> Array | str:
    if not isinstance(cell, str | bytes):
        return "is empty where a sound's file should be named"
    try:
        return open_sound(cell, statistics.rate, statistics.length)
    except DataError as error:
        return str(error)


def _header(cell: Any) -> Header | None:
    return header(cell) if isinstance(cell, str | bytes) else None


def _bands(
    name: str, cells: list[Any], rate: int, length: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the log-mel energies of each band, over some sounds spread evenly."""
    rows = np.unique(np.linspace(0, len(cells) - 1, min(len(cells), SAMPLE)).astype(np.int64))
    bands = bands_of(rate)
    some = AudioStatistics(rate, length, 1, (), ())
    total, squares, count = np.zeros(bands), np.zeros(bands), 0
    mel, reason = LogMel(rate, bands), ""
    for sound in in_order(lambda row: _sound_or_reason(cells[row], some), rows):
        if isinstance(sound, str):
            reason = reason or sound
            continue
        energies = _energies(mel, sound)
        total, squares = total + energies.sum(axis=0), squares + np.square(energies).sum(axis=0)
        count += len(energies)
    if not count:
        raise DataError(f"None of the sounds in column {name!r} can be read: {reason}")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - np.square(mean), 0.0))
    return tuple(map(float, mean)), tuple(float(max(s, LEAST_STD)) for s in std)


def _energies(mel: LogMel, sound: Array) -> Array:
    """Log-mel energies (frames, bands) float64 of one sound."""
    with torch.inference_mode():
        energies, _ = mel(torch.from_numpy(sound)[None])
    return np.asarray(energies[0].double().numpy())


def statistics_fit(statistics: AudioStatistics) -> bool:
    """Whether the statistics of a schema can be computed with."""
    s = statistics
    numbers = (*s.mean, *s.std)
    return (
        1 <= s.rate <= MOST_RATE
        and 1 <= s.length <= MOST_SECONDS * s.rate
        and 1 <= s.typical <= s.length
        and len(s.mean) == len(s.std) == bands_of(s.rate)
        and all(map(math.isfinite, numbers))
        and min(s.std) > 0
    )


def foresee_sounds(column: Column, budget: Budget) -> None:
    """Refuse at once where decoding all files would leave too little of the budget to learn in.

    Raises BudgetError.
    """
    if not isinstance(column, pd.Series) or not len(column):
        return
    work, before, spent = len(column) + min(len(column), SAMPLE), budget.remaining, budget.elapsed
    for count in FORESEEN:  # where it is close some more: the first may be slow to come from disk
        rows = np.unique(np.linspace(0, len(column) - 1, count).astype(np.int64))
        some = column.iloc[rows]
        rates = Counter(found.rate for found in map(_header, some) if found is not None)
        rate = min(max(rates, key=lambda each: rates[each], default=MOST_RATE), MOST_RATE)
        size = AudioStatistics(rate, int(MOST_SECONDS * rate), 1, (), ())
        begun = budget.elapsed
        encode_sounds(some, size)
        seconds = (budget.elapsed - begun) * work / len(rows)
        if seconds <= READING_SHARE * before:
            return
    require_time(f"{len(column):,} sounds", seconds, before, spent)
