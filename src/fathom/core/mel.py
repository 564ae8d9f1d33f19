"""Log-mel energies: how loud sound is in each band of pitch, every hundredth of a second.

Bands are triangles that are evenly spaced on the mel scale of hearing, 2595 log10(1 + f / 700)
(O'Shaughnessy 1987), as usual in recognising speech (Davis and Mermelstein 1980); windows are
Hann's, 25 ms long.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.blocks import PADDING_SAMPLE
from fathom.core.prediction import Array

WINDOW_SECONDS, HOP_SECONDS = 0.025, 0.010
FEW_BANDS, MANY_BANDS, LOW_RATE = 40, 64, 8_000
LOWEST_HERTZ = 20.0
FLOOR = 1e-6  # of an energy: what is quieter cannot be told from silence
FULL_SCALE = 32_768.0


def bands_of(rate: int) -> int:
    """How many bands suit a rate: few where nothing lies above 4 kHz."""
    return FEW_BANDS if rate <= LOW_RATE else MANY_BANDS


def window_of(rate: int) -> int:
    """Samples of a window."""
    return round(WINDOW_SECONDS * rate)


def hop_of(rate: int) -> int:
    """Samples from one window's start to the next one's."""
    return round(HOP_SECONDS * rate)


def spectrum_size(rate: int) -> int:
    """Samples that a window is filled up to with zeros before its spectrum is taken."""
    return int(2 ** np.ceil(np.log2(window_of(rate))))


@lru_cache(maxsize=8)
def mel_filters(rate: int, bands: int) -> Array:
    """Triangles (spectrum_size / 2 + 1, bands) float32 with peaks of 1, between 20 Hz and rate / 2.

    A triangle between two lines of the spectrum takes in the line nearest to its peak, so that no
    band is always silent.
    """
    size = spectrum_size(rate)
    lines = np.arange(size // 2 + 1) * (rate / size)
    low, high = _mel(LOWEST_HERTZ), _mel(rate / 2)
    edges = 700.0 * (10.0 ** (np.linspace(low, high, bands + 2) / 2595.0) - 1.0)
    left, peak, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (lines[:, None] - left) / (peak - left)
    falling = (right - lines[:, None]) / (right - peak)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    nearest = np.abs(lines[:, None] - peak).argmin(axis=0)
    empty = np.flatnonzero(filters.sum(axis=0) == 0)
    filters[nearest[empty], empty] = 1.0
    return filters.astype(np.float32)


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


class LogMel(nn.Module):
    """Sound (B, L) int16, padded with PADDING_SAMPLE, to log-mel energies (B, frames, bands).

    A frame lies wholly within its sound; of a sound that is shorter than a window there is one,
    filled up with zeros. In float32 whatever the precision around it.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, rate: int, bands: int) -> None:
        super().__init__()
        self.length, self.hop, self.size = window_of(rate), hop_of(rate), spectrum_size(rate)
        window = np.hanning(self.length + 1)[:-1].astype(np.float32)
        self.register_buffer("window", torch.from_numpy(window), persistent=False)
        filters = torch.from_numpy(mel_filters(rate, bands).copy())
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, sound: Tensor) -> tuple[Tensor, Tensor]:
        """Natural logarithms (B, frames, bands) float32, and the mask (B, frames) of real frames.

        What stands in a frame that is none is finite and means nothing.
        """
        there = sound != PADDING_SAMPLE
        with torch.autocast(sound.device.type, enabled=False):
            samples = sound.to(torch.float32) * there / FULL_SCALE
            short = self.length - samples.shape[1]
            if short > 0:
                samples = torch.nn.functional.pad(samples, (0, short))
            frames = samples.unfold(1, self.length, self.hop) * self.window
            spectrum = torch.fft.rfft(frames, n=self.size)
            energies = torch.view_as_real(spectrum).square().sum(dim=-1) @ self.filters
            logarithms = (energies + FLOOR).log()
        counts = self.frames(there.sum(dim=1))
        place = torch.arange(logarithms.shape[1], device=sound.device)
        return logarithms, place < counts[:, None]

    def frames(self, lengths: Tensor) -> Tensor:
        """How many frames sounds of some lengths (B,) have; at least one."""
        return torch.div(lengths - self.length, self.hop, rounding_mode="floor").clamp_min(0) + 1
