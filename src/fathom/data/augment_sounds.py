"""Augmentation of sounds: a little later, louder or in noise, a sound is still the same.

Sounds are (B, L) int16 with PADDING_SAMPLE behind their end, which stays where it is.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.core.blocks import PADDING_SAMPLE

LARGEST = -PADDING_SAMPLE - 1


def relisten(sounds: Tensor, loudness: float, noise: float, generator: torch.Generator) -> Tensor:
    """Each sound louder or softer by up to `loudness` decibels, with noise added.

    The noise is white, up to `noise` times as loud as the sound itself.
    """
    there = sounds != PADDING_SAMPLE
    values, shape = sounds.to(torch.float32) * there, (len(sounds), 1)
    decibels = loudness * (2 * torch.rand(shape, generator=generator, device=sounds.device) - 1)
    values = values * 10 ** (decibels / 20)
    if noise:
        counts = there.sum(dim=1, keepdim=True).clamp_min(1)
        loud = (values.square().sum(dim=1, keepdim=True) / counts).sqrt()
        share = noise * torch.rand(shape, generator=generator, device=sounds.device)
        drawn = torch.randn(sounds.shape, generator=generator, device=sounds.device)
        values = values + loud * share * drawn
    changed = values.round().clamp(-LARGEST, LARGEST).to(torch.int16)
    return torch.where(there, changed, sounds)


def move_in_time(sounds: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each sound later or earlier by up to `share` of its length.

    What moves beyond an end is lost, and silence follows from the other one.
    """
    lengths = (sounds != PADDING_SAMPLE).sum(dim=1, keepdim=True)
    draw = 2 * torch.rand(lengths.shape, generator=generator, device=sounds.device) - 1
    moved = (draw * share * lengths).round().long()
    place = torch.arange(sounds.shape[1], device=sounds.device)
    before = place - moved  # (B, L): where each sample comes from
    found = sounds.gather(1, before.clamp(0, sounds.shape[1] - 1))
    inside = (before >= 0) & (before < lengths)
    silent = torch.where(inside, found, torch.zeros_like(found))
    return torch.where(place < lengths, silent, sounds)
