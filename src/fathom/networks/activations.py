"""The activation functions, by the names that a plan writes."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from fathom.core.registry import Registry

ACTIVATIONS: Registry[Callable[[], nn.Module]] = Registry("activation")
"""Name to a function that builds the module; none of them has parameters."""

for _name, _module in {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}.items():
    ACTIVATIONS.register(_name)(_module)
