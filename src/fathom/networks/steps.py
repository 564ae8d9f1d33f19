"""Steps: what flows through networks of sequences, and the stages that all of them share.

A sequence of texts, sound or series is a row of steps, each a vector. Sequences of a batch are
padded to the longest: a mask travels with the values, so that what is padding is never seen.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Steps(NamedTuple):
    """`values` (B, L, width) float; `mask` (B, L) Boolean, True where a step is no padding.

    Padding follows the end of a sequence, and every sequence has at least one step.
    """

    values: Tensor
    mask: Tensor

    @property
    def lengths(self) -> Tensor:
        """How many steps each sequence has, (B,) int64."""
        return self.mask.sum(dim=1)

    def cleared(self) -> Tensor:
        """The values with zeros for padding, (B, L, width)."""
        return self.values * self.mask[:, :, None].to(self.values.dtype)


def flat(flow: Tensor | Steps) -> Tensor:
    """What flows out of a stage as one tensor: of steps those that are no padding, (n, width)."""
    return flow.values[flow.mask] if isinstance(flow, Steps) else flow


class PoolSteps(nn.Module):
    """One vector of all steps: their mean beside their largest values, (B, 2 · width).

    The mean tells how much there is of something, the maximum that it occurs at all.
    """

    def forward(self, steps: Steps) -> Tensor:
        """Features (B, 2 · width)."""
        counts = steps.lengths.clamp_min(1)[:, None].to(steps.values.dtype)
        mean = steps.cleared().sum(dim=1) / counts
        low = torch.finfo(steps.values.dtype).min
        largest = steps.values.masked_fill(~steps.mask[:, :, None], low).amax(dim=1)
        return torch.cat([mean, largest], dim=1)


class MaskedBatchNorm(nn.Module):
    """Batch normalization of channels (B, channels, L) over the steps that are no padding.

    As `nn.BatchNorm1d` (Ioffe and Szegedy 2015, arXiv 1502.03167) computes on the sequences laid
    end to end; padding comes out as zeros.
    """

    MOMENTUM, EPSILON = 0.1, 1e-5
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, channels: Tensor, mask: Tensor) -> Tensor:
        """`mask` (B, L)."""
        there = mask[:, None].to(torch.float32)  # (B, 1, L)
        values = channels.float()
        if self.training:
            count = there.sum().clamp_min(1)
            mean = (values * there).sum(dim=(0, 2)) / count
            var = ((values - mean[:, None]).square() * there).sum(dim=(0, 2)) / count
            with torch.no_grad():
                unbiased = var * count / (count - 1).clamp_min(1)
                self.running_mean.lerp_(mean, self.MOMENTUM)
                self.running_var.lerp_(unbiased, self.MOMENTUM)
        else:
            mean, var = self.running_mean, self.running_var
        scale = self.weight * (var + self.EPSILON).rsqrt()
        shift = self.bias - mean * scale
        normalised = torch.addcmul(shift[:, None], values, scale[:, None]) * there
        return normalised.to(channels.dtype)
