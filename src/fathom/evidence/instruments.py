"""Instruments for looking inside a network: a copy of it, tensors of examples, a trace of calls."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.batch import Batch
from fathom.core.examples import Examples
from fathom.core.randomness import torch_generator
from fathom.evidence.subject import Subject
from fathom.networks import ACTIVATIONS

ACTIVATION_TYPES = (*{type(make()) for _, make in ACTIVATIONS.items()}, nn.ReLU6)


# Where transformers has its own, by name: it need not be imported to look for them.
FOREIGN_ACTIVATIONS, NO_ACTIVATION = "transformers.activations", "LinearActivation"


def is_activation(module: nn.Module) -> bool:
    """Whether a module is an activation function, of torch or of transformers."""
    kind = type(module)
    foreign = kind.__module__ == FOREIGN_ACTIVATIONS and kind.__name__ != NO_ACTIVATION
    return foreign or isinstance(module, ACTIVATION_TYPES)


@dataclass
class Call:
    """One call of a module without children: what went in and what came out.

    Of several tensors that come out, as of cells that also give their state, the first is kept.
    """

    name: str
    module: nn.Module
    inputs: tuple[Any, ...]
    output: Tensor


def copied_network(subject: Subject) -> Any:
    """A copy in evaluation mode and float32: no gradient or hook touches the shipped one."""
    return copied(subject.model.network)


def copied(shipped: nn.Module) -> Any:
    """The same of a network."""
    network = copy.deepcopy(shipped).float().eval()
    for module in network.modules():
        # On a graphics card recurrent layers go backwards only while they train; without dropout of
        # their own they compute the same.
        if isinstance(module, nn.RNNBase) and not module.dropout:
            module.train()
    return network.requires_grad_(True)


def batch_of(subject: Subject, examples: Examples) -> Batch:
    """Examples with targets as one batch on the network's device."""
    device = subject.model.device
    tensors = {n: torch.as_tensor(np.ascontiguousarray(a)) for n, a in examples.inputs.items()}
    assert examples.targets is not None
    targets = subject.task.encode_targets(examples.targets).to(device)
    return Batch({name: tensor.to(device) for name, tensor in tensors.items()}, targets)


def loss_of(subject: Subject, network: nn.Module, batch: Batch) -> Tensor:
    """The loss that was trained on, for one batch, as the first phase of the task defines it."""
    generator = torch_generator(subject.seed, "evidence", "loss", device=subject.model.device)
    return subject.task.phases(network)[0].loss(network, batch, generator).value


@contextmanager
def traced(network: nn.Module) -> Iterator[list[Call]]:
    """The calls of all modules without children, in the order in which they happen."""
    calls: list[Call] = []

    def remember(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            calls.append(Call(name, module, inputs, first))

        return hook

    handles = [
        module.register_forward_hook(remember(name))
        for name, module in network.named_modules()
        if not any(True for _ in module.children())
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def units_last(call: Call, before: Call | None) -> bool:
    """Whether an activation's output (B, L, U) has its units last: it follows a linear layer."""
    return (
        call.output.dim() == 3
        and before is not None
        and isinstance(before.module, nn.Linear)
        and before.output.shape == call.output.shape
    )


def units_first(output: Tensor, module: nn.Module | None = None, members: bool = False) -> Tensor:
    """An output (B, U, ...) as (U, B * ...): all that each unit, or feature map, ever said.

    One of k members, (B, k, U), has k U units; cells (`module`) give (B, L, U).
    """
    output = output.detach()
    if isinstance(module, nn.RNNBase):
        output = output.flatten(0, 1)
    elif members and output.dim() == 3:
        output = output.flatten(1)
    return output.transpose(0, 1).flatten(1)
