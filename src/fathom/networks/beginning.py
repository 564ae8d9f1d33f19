"""What a network learns of its data before training: where thresholds of counting begin."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Beginning(nn.Module):
    """A part that, while it is `beginning`, sets itself by what flows through it."""

    beginning = False


def begins(network: nn.Module) -> bool:
    """Whether any part of the network wants to see data before training."""
    return any(isinstance(part, Beginning) for part in network.modules())


@torch.no_grad()
def begin(network: nn.Module, inputs: dict[str, Tensor]) -> None:
    """Let the parts of a network that want to set themselves by some inputs, in one pass."""
    parts = [part for part in network.modules() if isinstance(part, Beginning)]
    before = network.training
    network.eval()
    for part in parts:
        part.beginning = True
    try:
        network(inputs)
    finally:
        for part in parts:
            part.beginning = False
        network.train(before)
