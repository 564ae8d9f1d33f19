"""Augmentation of series: noise, another amplitude, a shift in time (Um et al. 2017, 1706.00527).

Series are (B, L, channels) float, encoded, NaN where a value is missing and after the end: what is
missing stays missing, and the end where it is.
"""

from __future__ import annotations

import torch
from torch import Tensor


def jitter(series: Tensor, deviation: float, generator: torch.Generator) -> Tensor:
    """Each value with Gaussian noise of so many standard deviations of its channel."""
    noise = torch.randn(series.shape, generator=generator, device=series.device)
    return series + deviation * noise


def rescale(series: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each channel of each series made up to that share larger or smaller."""
    shape = (len(series), 1, series.shape[2])
    draw = torch.rand(shape, generator=generator, device=series.device)
    return series * (1 + share * (2 * draw - 1))


def slide(series: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each series earlier or later by up to that share of its length; its rims are repeated."""
    count, steps, channels = series.shape
    place = torch.arange(steps, device=series.device)
    there = ~series.isnan().all(dim=2)
    last = torch.where(there, place, 0).amax(dim=1, keepdim=True)  # (B, 1)
    draw = torch.rand((count, 1), generator=generator, device=series.device)
    moved = (share * (2 * draw - 1) * (last + 1)).round().long()
    source = (place + moved).clamp(min=0).minimum(last)
    slid = series.gather(1, source[:, :, None].expand(-1, -1, channels))
    return slid.masked_fill((place > last)[:, :, None], torch.nan)
