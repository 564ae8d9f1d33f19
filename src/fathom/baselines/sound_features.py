"""Features of sound: statistics of mel-frequency cepstral coefficients and of how they change.

MFCC (Davis and Mermelstein 1980, doi:10.1109/TASSP.1980.1163420): the cosine transform of log-mel
energies, of which the first say what a sound is like. Over time each has a mean, a deviation, a
least and a largest value, the deviation of its slope (delta, over two frames on either side), and a
mean in each third, which tells what comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from scipy.fft import dct

from fathom.baselines.base import ragged_of
from fathom.core.examples import Examples
from fathom.core.mel import LogMel, bands_of
from fathom.core.prediction import Array
from fathom.core.ragged import Ragged
from fathom.core.schema import AudioStatistics, Field
from fathom.data.parallel import in_order

COEFFICIENTS = 20
THIRDS = 3
WIDTH = (5 + THIRDS) * COEFFICIENTS + 1
REACH = 2  # frames on either side that a slope is taken over
ROWS_AT_ONCE = 64


def rates_of(fields: Iterable[Field]) -> dict[str, int]:
    """Columns of sound, each with its samples a second."""
    found = {field.name: field.statistics for field in fields}
    return {n: s.rate for n, s in found.items() if isinstance(s, AudioStatistics)}


def describe_columns(examples: Examples, rates: Mapping[str, int]) -> list[Array]:
    """Features (n, WIDTH) float32 of each column."""
    return [describe_sounds(ragged_of(examples, name), rate) for name, rate in rates.items()]


def describe_sounds(sounds: Ragged, rate: int) -> Array:
    """Features (n, WIDTH) float32, every sound by itself."""
    mel = LogMel(rate, bands_of(rate))
    starts = range(0, len(sounds), ROWS_AT_ONCE)
    parts = [range(start, min(start + ROWS_AT_ONCE, len(sounds))) for start in starts]
    found = in_order(lambda rows: [_describe(sounds.row(row), mel, rate) for row in rows], parts)
    features = [each for part in found for each in part]
    return np.stack(features) if features else np.empty((0, WIDTH), dtype=np.float32)


def _describe(sound: Array, mel: LogMel, rate: int) -> Array:
    with torch.inference_mode():
        samples = torch.from_numpy(np.array(sound if len(sound) else [0], dtype=np.int16))
        energies, _ = mel(samples[None])
    return np.append(statistics(cepstrum(energies[0].numpy())), np.log(len(samples) / rate)).astype(
        np.float32
    )


def cepstrum(energies: Array) -> Array:
    """Coefficients (frames, COEFFICIENTS) of log-mel energies (frames, bands)."""
    return np.asarray(dct(energies, type=2, axis=1, norm="ortho")[:, :COEFFICIENTS])


def statistics(values: Array) -> Array:
    """What coefficients (frames, c) do over time, ((5 + THIRDS) c,)."""
    thirds = [part if len(part) else values for part in np.array_split(values, THIRDS)]
    parts = [
        *(values.mean(axis=0), values.std(axis=0), values.min(axis=0), values.max(axis=0)),
        slopes(values).std(axis=0),
        *(part.mean(axis=0) for part in thirds),
    ]
    return np.concatenate(parts)


def slopes(values: Array) -> Array:
    """The slope of the line of least squares through REACH frames on either side, (frames, c)."""
    padded = np.pad(values, ((REACH, REACH), (0, 0)), mode="edge")
    count, change = len(values), np.zeros_like(values)
    for distance in range(1, REACH + 1):
        later = padded[REACH + distance : REACH + distance + count]
        change += distance * (later - padded[REACH - distance : REACH - distance + count])
    return change / (2 * sum(distance**2 for distance in range(1, REACH + 1)))
