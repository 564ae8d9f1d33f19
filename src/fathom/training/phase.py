"""What one phase does in one step: loss, backward, finite check, clip, optimizer step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from fathom.core.batch import Batch
from fathom.core.task import Phase
from fathom.networks.depth import depths
from fathom.training.optimizers import PhaseOptimizer
from fathom.training.precision import autocast
from fathom.training.settings import TrainingSpec

LayerFigures = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Outcome:
    """What came of one update. Where it was not `applied`, nothing has changed.

    `grad_norm` is the norm before clipping; `logged` holds the task's own numbers; `layers` maps
    each weight to the norms of its gradient, of itself and of its change, where asked for.
    """

    applied: bool
    loss: float
    grad_norm: float
    logged: Mapping[str, Tensor]
    layers: LayerFigures = field(default_factory=dict)


class PhaseUpdate:
    """One phase with its optimizer. `modules` are all that its loss may run."""

    def __init__(
        self,
        phase: Phase,
        modules: Iterable[nn.Module],
        spec: TrainingSpec,
        hidden: set[int],
        device: str,
    ) -> None:
        self.phase, self.spec, self.device = phase, spec, device
        modules = list(modules)
        below = {k: v for module in modules for k, v in depths(module).items()}
        self.optimizer = PhaseOptimizer(phase.parameters, spec.optimizer, hidden, below)
        self.parameters = [p for p in phase.parameters.values() if p.requires_grad]
        self.buffers = [buffer for module in modules for buffer in _saved_buffers(module)]

    def run(
        self,
        network: nn.Module,
        batch: Batch,
        generator: torch.Generator,
        factor: float,
        *,
        measure_layers: bool = False,
    ) -> Outcome:
        """Update the phase's parameters with `factor` times the learning rate.

        A loss or gradient that is not finite changes nothing: neither weights nor optimizer, and
        the running statistics that the forward pass has spoiled are put back.
        """
        before = [buffer.clone() for buffer in self.buffers]
        for parameter in self.parameters:
            parameter.grad = None
        with autocast(self.spec, self.device):
            loss = self.phase.loss(network, batch, generator)
        torch.autograd.backward(loss.value, inputs=self.parameters)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = get_total_norm(gradients)
        value, grad_norm = torch.stack([loss.value.detach().float(), norm.float()]).tolist()
        if not (math.isfinite(value) and math.isfinite(grad_norm)):
            for buffer, kept in zip(self.buffers, before, strict=True):
                buffer.copy_(kept)
            return Outcome(False, value, grad_norm, {})
        weights = self._weights() if measure_layers else {}
        if self.spec.clip_norm:
            clip_grads_with_norm_(self.parameters, self.spec.clip_norm, norm)
        self.optimizer.step(factor)
        clipped = min(1.0, self.spec.clip_norm / (grad_norm + 1e-6)) if self.spec.clip_norm else 1.0
        layers = self._layers(weights, clipped)
        return Outcome(True, value, grad_norm, dict(loss.logged), layers)

    def _weights(self) -> dict[str, Tensor]:
        """Copies of the weights that have a gradient."""
        return {
            name: parameter.detach().clone()
            for name, parameter in self.phase.parameters.items()
            if parameter.ndim >= 2 and parameter.grad is not None
        }

    def _layers(self, before: dict[str, Tensor], clipped: float) -> LayerFigures:
        """Norms of each weight; `clipped` is the factor that its gradient was scaled with."""
        figures: LayerFigures = {}
        for name, old in before.items():
            new = self.phase.parameters[name].detach()
            gradient = self.phase.parameters[name].grad
            assert gradient is not None
            figures[name] = {
                "grad_norm": float(gradient.norm()) / clipped,
                "weight_norm": float(old.norm()),
                "update_norm": float((new - old).norm()),
            }
        return figures


def _saved_buffers(module: nn.Module) -> list[Tensor]:
    """The buffers that are part of a module's state, such as running statistics."""
    saved = module.state_dict(keep_vars=True)
    return [buffer for name, buffer in module.named_buffers() if name in saved]
