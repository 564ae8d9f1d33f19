"""Task and Phase: what is to be learned. A task owns meaning; the trainer only turns the crank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.batch import Batch
from fathom.core.output import OutputSpec
from fathom.core.prediction import Array, Prediction


@dataclass(frozen=True)
class Loss:
    """A differentiable scalar `value`, and numbers worth logging beside it."""

    value: Tensor
    logged: Mapping[str, Tensor] = ()  # type: ignore[assignment]


@dataclass(frozen=True)
class Phase:
    """One update within a step: whose parameters move, down which loss.

    `parameters` are named, because optimizer state is saved by name. `every=k` runs the phase on
    each k-th step. Most tasks have one phase, actor-critic and adversarial ones two.
    """

    name: str
    parameters: Mapping[str, nn.Parameter]
    loss: Callable[[nn.Module, Batch, torch.Generator], Loss]
    every: int = 1


class Task(Protocol):
    """What the trainer, inference and evidence need to know of what is to be learned."""

    name: str

    def modules(self) -> dict[str, nn.Module]:
        """Modules beyond the network (critics, target networks); they are checkpointed."""

    def phases(self, network: nn.Module) -> list[Phase]:
        """The updates of one step, in order."""

    def after_step(self, network: nn.Module, step: int) -> None:
        """What follows every step (a target network that trails behind); may do nothing."""

    def act(self, network: nn.Module) -> Any:
        """What an interactive source is handed to choose actions with; None for data sets."""


class SupervisedTask(Task, Protocol):
    """A task with inputs and targets: it also encodes targets, predicts and scores."""

    output: OutputSpec
    primary: str
    """The metric that chooses between models: `roc_auc`, `accuracy`, `rmse` …"""

    def encode_targets(self, targets: Array) -> Tensor:
        """Targets (n,) or (n, K) as the loss wants them: int64 codes, or float32."""

    def predict(self, outputs: Tensor, temperature: float = 1.0) -> Prediction:
        """What network outputs (n, output.size) mean."""

    def metrics(self, prediction: Prediction, targets: np.ndarray[Any, Any]) -> dict[str, float]:
        """Every metric of the task by name, on one split."""
