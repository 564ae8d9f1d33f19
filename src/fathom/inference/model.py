"""LoadedModel: a trained network with all that it takes to use it; and the Predictor over it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.blocks import InputSpec
from fathom.core.examples import Examples
from fathom.core.prediction import Array, Prediction
from fathom.core.ragged import work_of
from fathom.core.schema import Schema
from fathom.core.stored import Rows
from fathom.core.task import SupervisedTask
from fathom.inference.trust import Trust
from fathom.inference.views import VIEWS, Views, seen
from fathom.networks import NetworkSpec

Precision = Literal["float32", "bfloat16"]

# Input values in one batch: so many that calling the layers costs nothing beside computing them, so
# few that what flows between the layers stays near the processor.
VALUES_PER_BATCH = {"cpu": 2**17, "cuda": 2**23}
SMALLEST_BATCH, LARGEST_BATCH = 32, {"cpu": 1024, "cuda": 65_536}
# Products of one or two rows are summed in another order than those of many.
FEWEST_AT_ONCE = 16


@dataclass(frozen=True)
class LoadedModel:
    """A trained network in evaluation mode, on `device`, with what its inputs and outputs mean.

    `precision` is what it was trained in, and computes in. `trust` was fitted on the calibration
    split. Its outputs are averaged over `views` of each example. A network that is handed in is put
    into evaluation mode.
    """

    schema: Schema
    inputs: InputSpec
    network: nn.Module
    network_spec: NetworkSpec
    task: SupervisedTask
    trust: Trust
    precision: Precision = "float32"
    device: str = "cpu"
    views: Views = "one"

    def __post_init__(self) -> None:
        self.network.eval()


class NetworkPredictor:
    """Predicts with the network. Deterministic; several threads may use one at the same time."""

    name = "network"

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    def logits(self, examples: Examples) -> Tensor:
        """The network's outputs before any calibration, (n, output.size) float32 on the CPU."""
        model = self.model
        return run_network(
            model.network,
            examples,
            precision=model.precision,
            device=model.device,
            views=model.views,
        )

    def predict(self, examples: Examples) -> Prediction:
        """Calibrated predictions for n examples, in their order."""
        return self.model.task.predict(self.logits(examples), self.model.trust.temperature)


def run_network(
    network: nn.Module,
    examples: Examples,
    *,
    precision: Precision = "float32",
    device: str = "cpu",
    views: Views = "one",
) -> Tensor:
    """Outputs of a network on `device` for n examples: (n, output.size) float32 on the CPU.

    They are the mean over the `views` of each example.

    The network is run in evaluation mode, batch by batch, and left in the mode in which it was
    found. A batch of few rows is filled up by repeating them, so that what is said of a row does
    not depend, to the last bit, on how many stand beside it. Pictures are not: one more costs more
    than a row of numbers, and what is said of it may differ by rounding.
    """
    kind = torch.device(device).type
    size = batch_size(examples.inputs, kind)
    autocast = torch.autocast(kind, torch.bfloat16, enabled=precision == "bfloat16")
    order = by_length(examples)
    with torch.inference_mode(), _evaluating(network), autocast:
        # No rows still make one empty batch, so that the outputs have their width.
        starts = range(0, max(len(examples), 1), size)
        parts = [slice(s, s + size) if order is None else order[s : s + size] for s in starts]
        outputs = torch.cat(
            [_outputs(network, _tensors(examples.inputs, part, device), views) for part in parts]
        )
    if order is None:
        return outputs
    restored = torch.empty_like(outputs)
    restored[torch.from_numpy(order)] = outputs
    return restored


def by_length(examples: Examples) -> Array | None:
    """The rows by falling length, so that little is padding; None where all are of one length."""
    work = work_of(list(examples.inputs.values()))
    return None if work is None else np.argsort(-work, kind="stable")


def _outputs(network: nn.Module, inputs: dict[str, Tensor], views: Views) -> Tensor:
    rows = min((len(x) for x in inputs.values()), default=0)
    pictures = any(x.ndim == 4 for x in inputs.values())
    if pictures or not 0 < rows < FEWEST_AT_ONCE:
        return _over_views(network, inputs, views)
    filling = torch.arange(FEWEST_AT_ONCE, device=next(iter(inputs.values())).device) % rows
    filled = {name: x.index_select(0, filling) for name, x in inputs.items()}
    return _over_views(network, filled, views)[:rows]


def _over_views(network: nn.Module, inputs: dict[str, Tensor], views: Views) -> Tensor:
    outputs = [network(seen(inputs, view)).float().cpu() for view in VIEWS[views]]
    return outputs[0] if len(outputs) == 1 else torch.stack(outputs).mean(dim=0)


def batch_size(inputs: Mapping[str, Rows], kind: str) -> int:
    """How many examples go through a network at once on a kind of device ('cpu', 'cuda')."""
    values = sum(int(np.prod(array.shape[1:])) for array in inputs.values())
    fitting = VALUES_PER_BATCH.get(kind, VALUES_PER_BATCH["cpu"]) // max(values, 1)
    return min(max(fitting, SMALLEST_BATCH), LARGEST_BATCH.get(kind, LARGEST_BATCH["cpu"]))


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode, and back; a network already in it is not touched (threads share it)."""
    before = network.training
    if before:
        network.eval()
    try:
        yield
    finally:
        if before:
            network.train()


def _tensors(inputs: Mapping[str, Rows], rows: slice | Array, device: str) -> dict[str, Tensor]:
    return {name: _tensor(array[rows]).to(device) for name, array in inputs.items()}


def _tensor(array: Array) -> Tensor:
    # torch warns of an array that may not be written to, although nobody writes to it here.
    return torch.from_numpy(array if array.flags.writeable else array.copy())
