"""How the arithmetic is done: bfloat16 autocast, memory format, compilation, threads."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fathom.core.batch import Batch
from fathom.core.memory import reuse_memory
from fathom.training.settings import TrainingSpec


def autocast(spec: TrainingSpec, device: str) -> torch.autocast:
    """The context in which the network is run: bfloat16 keeps float32's range, so no scaling."""
    kind = torch.device(device).type
    return torch.autocast(kind, torch.bfloat16, enabled=spec.precision == "bfloat16")


def prepare(network: nn.Module, spec: TrainingSpec, device: str) -> None:
    """Bring a network, in place, to the device and into the memory format of the spec."""
    if torch.device(device).type == "cpu":
        reuse_memory()
    network.to(device)
    if spec.channels_last:
        # nn.Module.to moves the 4-D weights alone, but its annotation knows no such call.
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def arrange(batch: Batch, spec: TrainingSpec, device: str) -> Batch:
    """The batch on the device, its pictures in the memory format of the spec."""

    def place(tensor: Tensor) -> Tensor:
        tensor = tensor.to(device, non_blocking=True)
        if spec.channels_last and tensor.ndim == 4:
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor

    def maybe(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else place(tensor)

    return Batch(
        {name: place(tensor) for name, tensor in batch.inputs.items()},
        maybe(batch.targets),
        maybe(batch.indices),
        {name: place(tensor) for name, tensor in batch.extra.items()},
    )
