"""An exponential moving average of the weights: usually better than the last weights."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def average_of(network: nn.Module, decay: float) -> AveragedModel:
    """A copy of `network` whose weights trail behind with `decay`; see `update_parameters`.

    Buffers are averaged with the weights, because the running statistics of a batch norm belong to
    the weights that they were measured with. The decay warms up, so that a short run is not weighed
    down by its beginning (Tarvainen and Valpola 2017; the warm-up is TensorFlow's).
    """
    return AveragedModel(network, multi_avg_fn=partial(_trail, decay), use_buffers=True)


@torch.no_grad()
def _trail(decay: float, averages: list[Tensor], current: list[Tensor], count: Tensor) -> None:
    """Move float `averages` towards `current`; what is counted in integers is copied."""
    seen = int(count)
    share = 1 - min(decay, (1 + seen) / (10 + seen))
    if averages[0].is_floating_point():
        torch._foreach_lerp_(averages, current, share)
    else:
        torch._foreach_copy_(averages, current)
