"""Random convolutions of series: how often each answers above a threshold.

MiniRocket (Dempster et al. 2021, arXiv 2012.08791): 84 kernels of nine weights, six of -1 and three
of 2, spread over the series by dilations; thresholds are quantiles of what training series answer.
Of several channels each kernel sees the sum of a few (Tan et al. 2022, arXiv 2102.00457). Series
are of any length: shares are of their own steps. Missing values are those before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Self

import numpy as np

from fathom.core.prediction import Array
from fathom.core.ragged import Ragged
from fathom.data.parallel import in_order

WEIGHTS = 9
KERNELS = np.array(list(combinations(range(WEIGHTS), 3)))  # where the weights are 2, (84, 3)
MOST_DILATIONS = 32
MOST_MIXES = 128  # of channels, over all dilations
MOST_MIXED = 9  # channels in one of them
AT_ONCE = 2**18  # values of series that are answered together
GOLDEN = (5**0.5 + 1) / 2
WORD = 64
SUMMARIES = 4


@dataclass(frozen=True)
class Convolutions:
    """`dilations` (D,), `counts` (D,) thresholds of each kernel, `mixes` (D, M, channels) 0 or 1.

    `thresholds` (84 · sum(counts),) stand in the order of dilation, kernel, threshold.
    """

    dilations: Array
    counts: Array
    mixes: Array
    thresholds: Array

    @classmethod
    def learn(cls, series: Ragged, features: int, generator: np.random.Generator) -> Self:
        """About so many features, from training series (n, L, channels)."""
        typical = int(np.median(series.lengths))
        dilations, counts = _dilations(typical, max(1, features // len(KERNELS)))
        channels = series.values.shape[1]
        each = min(len(KERNELS), max(1, MOST_MIXES // len(dilations))) if channels > 1 else 1
        mixes = np.stack([_mixes(each, channels, generator) for _ in dilations])
        asked = generator.integers(0, len(series), size=(len(dilations), len(KERNELS)))
        drawn = cls(dilations, counts, mixes, np.zeros(0))
        shares = (np.arange(1, len(KERNELS) * int(counts.sum()) + 1) * GOLDEN) % 1
        found, place = [], 0
        for number, count in enumerate(counts):
            for kernel in range(len(KERNELS)):
                row = series.take(asked[number, kernel : kernel + 1])
                values, lengths = filled(row)
                answers = next(drawn._answers(values, lengths, number, (kernel,)))[1]
                answers = answers[np.isfinite(answers)]
                wanted = shares[place : place + count]
                found.append(np.quantile(answers, wanted) if len(answers) else np.zeros(count))
                place += count
        return cls(dilations, counts, mixes, np.concatenate(found).astype(np.float32))

    @property
    def width(self) -> int:
        """How many features a series has, the summaries of its channels included."""
        return int(len(self.thresholds) + SUMMARIES * self.mixes.shape[2] + 1)

    def __call__(self, series: Ragged) -> Array:
        """Features (n, width) float32: the share of steps above each threshold, and summaries."""
        out = np.empty((len(series), self.width), dtype=np.float32)
        order = np.argsort(series.lengths, kind="stable")
        list(in_order(partial(self._fill, out, series), _chunks(series, order)))
        return out

    def _fill(self, out: Array, series: Ragged, rows: Array) -> None:
        values, lengths = filled(series.take(rows))
        shares = np.empty((len(self.thresholds), len(rows)), dtype=np.float32)
        place = 0
        for number, count in enumerate(self.counts):
            kernels = range(len(KERNELS))
            for steps, answers in self._answers(values, lengths, number, kernels):
                for threshold in self.thresholds[place : place + count]:
                    shares[place] = _above(answers, threshold) / steps
                    place += 1
        out[rows, :place] = shares.T
        out[rows, place:] = _summaries(values, lengths)

    def _answers(
        self, values: Array, lengths: Array, number: int, kernels: Iterable[int]
    ) -> Iterator[tuple[Array, Array]]:
        """How many steps count (n,) and what each kernel answers (n, L), -inf where none counts.

        Every second kernel answers at the rims, too, where it sees zeros.
        """
        dilation = int(self.dilations[number])
        rim = dilation * (WEIGHTS // 2)
        place = np.arange(values.shape[1])
        whole = place < lengths[:, None]
        inner = (place >= rim) & (place < lengths[:, None] - rim)
        short = ~np.asarray(inner.any(axis=1))
        inner[short] = whole[short]
        steps = [np.maximum(mask.sum(axis=1), 1) for mask in (whole, inner)]
        seen: dict[int, tuple[Array, list[Array]]] = {}
        for kernel in kernels:
            mix = kernel % self.mixes.shape[1]
            if mix not in seen:
                seen[mix] = _shifted(values @ self.mixes[number, mix], dilation)
            total, shifted = seen[mix]
            first, second, third = KERNELS[kernel]
            answers = shifted[first] + shifted[second]
            answers += shifted[third]
            answers *= 3.0
            answers -= total
            rims = (kernel + number) % 2
            answers[~(inner if rims else whole)] = -np.inf
            yield steps[rims], answers


def filled(series: Ragged) -> tuple[Array, Array]:
    """Padded values (n, L, channels) float32 with zeros after the end, and lengths (n,).

    L is a multiple of 64. A missing value is the one before it, at the beginning zero.
    """
    lengths = np.maximum(series.lengths, 1)
    values = series[:].astype(np.float32)
    more = -values.shape[1] % WORD
    values = np.pad(values, ((0, 0), (0, more), (0, 0)), constant_values=np.nan)
    missing = np.isnan(values)
    place = np.arange(values.shape[1])[None, :, None]
    last = np.maximum.accumulate(np.where(missing, 0, place), axis=1)
    values = np.nan_to_num(np.take_along_axis(values, last, axis=1))
    values[np.arange(values.shape[1]) >= lengths[:, None]] = 0.0
    return values, lengths


def _dilations(length: int, per_kernel: int) -> tuple[Array, Array]:
    """Dilations that grow by a factor up to the whole series, and the thresholds of each."""
    most = np.log2(max(length - 1, 1) / (WEIGHTS - 1))
    count = min(per_kernel, MOST_DILATIONS)
    exponents = np.linspace(0, max(most, 0.0), count)
    dilations, counts = np.unique((2**exponents).astype(np.int64), return_counts=True)
    counts = np.maximum(1, counts * per_kernel // count)
    return dilations, counts.astype(np.int64)


def _mixes(count: int, channels: int, generator: np.random.Generator) -> Array:
    """Which channels are summed, (count, channels) float32."""
    if channels == 1:
        return np.ones((1, 1), dtype=np.float32)
    mixes = np.zeros((count, channels), dtype=np.float32)
    for mix in mixes:
        exponent = generator.uniform(0, np.log2(min(channels, MOST_MIXED) + 1))
        mix[generator.choice(channels, int(2**exponent), replace=False)] = 1.0
    return mixes


def _chunks(series: Ragged, order: Array) -> Iterator[Array]:
    """Rows of about equal length, so many that they hold about AT_ONCE values."""
    start = 0
    while start < len(order):
        # The longest of a chunk is its last row: lengths rise.
        size = max(1, AT_ONCE // max(WORD, int(series.lengths[order[start]])))
        longest = int(series.lengths[order[min(start + size, len(order)) - 1]])
        size = max(1, AT_ONCE // max(WORD, longest))
        yield order[start : start + size]
        start += size


def _shifted(values: Array, dilation: int) -> tuple[Array, list[Array]]:
    """The sum of nine shifts of values (n, L), and the shifts."""
    rim, length = dilation * (WEIGHTS // 2), values.shape[1]
    padded = np.pad(values, ((0, 0), (rim, rim)))
    shifted = [padded[:, j * dilation : j * dilation + length] for j in range(WEIGHTS)]
    total = shifted[0].copy()
    for shift in shifted[1:]:
        total += shift
    return total, shifted


def _above(answers: Array, threshold: float) -> Array:
    """How many answers (n, L) of each row lie above a threshold, (n,)."""
    bits = np.packbits(answers > threshold, axis=1).view(np.uint64)
    counts: Array = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
    return counts


def _summaries(values: Array, lengths: Array) -> Array:
    """Mean, deviation, least and largest value of each channel, and the length, (n, 4 C + 1)."""
    there = (np.arange(values.shape[1]) < lengths[:, None])[:, :, None]
    count = lengths[:, None].astype(np.float32)
    mean = values.sum(axis=1) / count
    square = np.where(there, (values - mean[:, None]) ** 2, 0.0).sum(axis=1) / count
    least = np.where(there, values, np.inf).min(axis=1)
    largest = np.where(there, values, -np.inf).max(axis=1)
    return np.concatenate([mean, np.sqrt(square), least, largest, np.log(count)], axis=1)
