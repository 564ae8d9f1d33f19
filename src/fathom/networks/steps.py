"""Steps: what flows through networks of sequences, and the stages that all of them share.

A sequence of texts, sound or series is a row of steps, each a vector. Sequences of a batch are
padded to the longest: a mask travels with the values, so that what is padding is never seen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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


class Maps(NamedTuple):
    """Feature maps of sound: `values` (B, channels, bands, L); `mask` (B, L) as that of Steps."""

    values: Tensor
    mask: Tensor


def flat(flow: Tensor | Steps | Maps) -> Tensor:
    """What flows out of a stage as one tensor, without padding.

    Of steps (n, width), of maps (n, channels, bands), a row for each place in time.
    """
    if isinstance(flow, Steps):
        return flow.values[flow.mask]
    return flow.values.permute(0, 3, 1, 2)[flow.mask] if isinstance(flow, Maps) else flow


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
        if not self.training:
            scale = self.weight * (self.running_var + self.EPSILON).rsqrt()
            shift = self.bias - self.running_mean * scale
            normalised = torch.addcmul(shift[:, None], values, scale[:, None]) * there
            return normalised.to(channels.dtype)
        with torch.autocast(channels.device.type, enabled=False):
            normalised, mean, var, count = _Normalise.apply(  # type: ignore[no-untyped-call]
                values, there, self.weight, self.bias, self.EPSILON
            )
        with torch.no_grad():
            unbiased = var * count / (count - 1).clamp_min(1)
            self.running_mean.lerp_(mean, self.MOMENTUM)
            self.running_var.lerp_(unbiased, self.MOMENTUM)
        return normalised.to(channels.dtype)  # type: ignore[no-any-return]


class _Normalise(torch.autograd.Function):
    """Normalization in training with its gradient by hand: a third of the passes over the values.

    `there` (B, 1, L) is 1 where a step is no padding and 0 elsewhere.
    """

    @staticmethod
    def forward(  # noqa: PLR0917
        ctx: Any, values: Tensor, there: Tensor, weight: Tensor, bias: Tensor, epsilon: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The normalised values, and mean, variance and count of what they were."""
        count = there.sum().clamp_min(1)
        mean = torch.bmm(values, there.transpose(1, 2)).sum(dim=(0, 2)) / count
        centred = (values - mean[:, None]).mul_(there)
        var = torch.linalg.vector_norm(centred, dim=2).square().sum(dim=0) / count
        inverse = (var + epsilon).rsqrt()
        ctx.save_for_backward(centred, there, weight, inverse, count)
        ctx.mark_non_differentiable(mean, var, count)
        normalised = torch.addcmul(bias[:, None], centred, (weight * inverse)[:, None])
        return normalised.mul_(there), mean, var, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor, Tensor, None]:
        """Ioffe and Szegedy 2015, section 3, over the steps that are no padding."""
        centred, there, weight, inverse, count = ctx.saved_tensors
        gradient = gradients[0] * there
        of_bias = gradient.sum(dim=(0, 2))
        of_centred = (gradient * centred).sum(dim=(0, 2))
        scale = weight * inverse
        change = -scale * inverse.square() * of_centred / count
        before = torch.addcmul((-scale * of_bias / count)[:, None], centred, change[:, None])
        before.addcmul_(gradient, scale[:, None]).mul_(there)
        return before, None, of_centred * inverse, of_bias, None
