"""Classification: softmax cross entropy over one logit for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fathom.core.batch import Batch
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.core.prediction import Array, ClassPrediction, Prediction
from fathom.core.task import Loss, Phase
from fathom.tasks.losses import mean_loss
from fathom.tasks.metrics import classification_metrics


class Classification:
    """Says which of K classes an example belongs to.

    `label_smoothing` in [0, 1) moves that share of the target's mass to all classes evenly
    (Szegedy et al., 2016, arXiv:1512.00567). Raises PlanError where the output or it do not fit.
    """

    name = "classification"

    def __init__(self, output: OutputSpec, label_smoothing: float = 0.0) -> None:
        if output.form != "classes" or output.size < 2:
            raise PlanError("Classification needs a target of at least two classes.")
        if not 0.0 <= label_smoothing < 1.0:
            raise PlanError(
                f"label_smoothing is {label_smoothing:g}: choose a number from 0 up to, but "
                "below, 1."
            )
        self.output = output
        self.label_smoothing = label_smoothing
        self.primary = "roc_auc" if output.size == 2 else "accuracy"

    def modules(self) -> dict[str, nn.Module]:
        """None beyond the network."""
        return {}

    def phases(self, network: nn.Module) -> list[Phase]:
        """One: every parameter of the network moves down the cross entropy."""
        return [Phase("classification", dict(network.named_parameters()), self._loss)]

    def _loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        # In float32 whatever the autocast: bfloat16 keeps only 8 bits of a log-probability.
        return Loss(mean_loss(self._losses, network(batch.inputs).float(), batch), {})

    def _losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_probs = F.log_softmax(logits, dim=-1)  # (n, K)
        right = -log_probs.gather(1, targets[:, None]).squeeze(1)  # (n,)
        if self.label_smoothing:
            even = -log_probs.mean(dim=-1)
            right = (1.0 - self.label_smoothing) * right + self.label_smoothing * even
        return right

    def after_step(self, network: nn.Module, step: int) -> None:
        """Nothing follows a step."""

    def act(self, network: nn.Module) -> None:
        """A data set asks for no actions."""

    def encode_targets(self, targets: Array) -> Tensor:
        """Class codes (n,) as int64."""
        return torch.as_tensor(np.ascontiguousarray(targets, dtype=np.int64))

    def predict(self, outputs: Tensor, temperature: float = 1.0) -> ClassPrediction:
        """Probabilities from logits (n, K): softmax(logits / temperature) in float64."""
        probs = torch.softmax(outputs.detach().double() / temperature, dim=-1)
        return ClassPrediction(self.output.labels, probs.cpu().numpy())

    def metrics(self, prediction: Prediction, targets: np.ndarray[Any, Any]) -> dict[str, float]:
        """Accuracy, balanced accuracy, macro F1, ROC AUC and log loss; targets are codes (n,)."""
        if not isinstance(prediction, ClassPrediction):
            raise TypeError("classification scores class predictions")
        return classification_metrics(prediction.probs, targets)
