"""How many operations does one answer take? Counted by hooks on the kinds of module in use."""

from __future__ import annotations

from collections.abc import Callable
from math import log2, prod
from typing import Any

import torch
from torch import Tensor, nn

from fathom.core.mel import LogMel
from fathom.networks.attention import Attend
from fathom.networks.embeddings import PiecewiseNumbers
from fathom.networks.family import MembersHead
from fathom.networks.language.attention import CausalAttend


def _linear(module: Any, inputs: tuple[Any, ...], output: Tensor) -> int:
    return 2 * output.numel() * int(module.in_features)


def _convolution(module: Any, inputs: tuple[Any, ...], output: Tensor) -> int:
    per_value = prod(module.kernel_size) * module.in_channels // module.groups
    return 2 * output.numel() * int(per_value)


def _piecewise(module: Any, inputs: tuple[Any, ...], output: Tensor) -> int:
    return 2 * len(output) * int(module.bent.numel())


def _cells(module: Any, inputs: tuple[Any, ...], output: Any) -> int:
    # At each step every weight of every gate, layer and direction is used once.
    steps = int(inputs[0].shape[0] * inputs[0].shape[1])
    named = module.named_parameters()
    weights = sum(int(p.numel()) for name, p in named if name.startswith("weight"))
    return 2 * steps * weights


def _attend(module: Any, inputs: tuple[Any, ...], output: Tensor) -> int:
    # Each patch is compared with each, and then takes up a share of each.
    return 2 * 2 * output.numel() * int(inputs[1].shape[1])


def _causal_attend(module: Any, inputs: tuple[Any, ...], output: Tensor) -> int:
    # Each of T tokens is compared with itself and those before it alone, and takes up a share of
    # each: of T new ones among S that makes T S - T (T - 1) / 2 pairs.
    rows, heads, new, size = output.shape
    pairs = new * int(inputs[1].shape[2]) - new * (new - 1) // 2
    return 2 * 2 * int(rows * heads * size) * pairs


def _members_head(module: Any, inputs: tuple[Any, ...], output: Tensor) -> int:
    return 2 * len(inputs[0]) * int(module.weight.numel())


def _log_mel(module: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> int:
    frames = output[0].shape[0] * output[0].shape[1]
    spectrum = 2.5 * module.size * log2(module.size)  # of a real signal, as is usually reckoned
    return int(frames * (spectrum + 2 * module.filters.numel()))


Counter = Callable[[Any, tuple[Any, ...], Any], int]

# A multiplication and an addition are two operations. What works on each value by itself
# (activations, normalization, pooling) is left out, as is usual: it is a small part.
COUNTERS: dict[type[nn.Module], Counter] = {
    nn.Linear: _linear,
    nn.Conv1d: _convolution,
    nn.Conv2d: _convolution,
    nn.Conv3d: _convolution,
    PiecewiseNumbers: _piecewise,
    Attend: _attend,
    CausalAttend: _causal_attend,
    nn.RNN: _cells,
    nn.LSTM: _cells,
    nn.GRU: _cells,
    LogMel: _log_mel,
    MembersHead: _members_head,
}
_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.Embedding)
_SMALL = 3  # parameters with fewer axes than this and no counter are vectors or tables of vectors


def count_flops(network: nn.Module, *inputs: Any) -> tuple[int, list[str]]:
    """Operations of one forward pass, and the kinds of module with matrices that were not counted.

    `inputs` is what the network is called with.
    """
    total, uncounted = 0, set()

    def hook(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        nonlocal total
        counter = COUNTERS.get(type(module))
        if counter is not None:
            total += counter(module, arguments, output)
        elif _has_matrices(module):
            uncounted.add(type(module).__name__)

    handles = [module.register_forward_hook(hook) for module in network.modules()]
    try:
        with torch.no_grad():
            network(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return total, sorted(uncounted)


def _has_matrices(module: nn.Module) -> bool:
    if isinstance(module, _NORMS):
        return False
    return any(p.dim() >= _SMALL for p in module.parameters(recurse=False))
