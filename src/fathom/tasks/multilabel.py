"""Several labels at once: binary cross entropy over one logit for each label."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fathom.core.batch import Batch
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.core.prediction import Array, LabelsPrediction, Prediction
from fathom.core.task import Loss, Phase
from fathom.tasks.losses import mean_loss
from fathom.tasks.metrics import multilabel_metrics


class Multilabel:
    """Says which of K labels hold for an example; none, some or all of them may.

    Models are chosen by the mean ROC AUC over the labels, or on few rows by log loss (see
    `tasks.selection`): it needs no threshold, and a label counts the same however rare it is, where
    a mean average precision would move with how often it holds.
    `label_smoothing` in [0, 1) moves that share of each target to one half. Raises PlanError where
    the output or it do not fit.
    """

    name = "multilabel"
    primary = "macro_roc_auc"

    def __init__(self, output: OutputSpec, label_smoothing: float = 0.0) -> None:
        if output.form != "labels" or output.size < 2:
            raise PlanError("Several labels at once need a target of at least two labels.")
        if not 0.0 <= label_smoothing < 1.0:
            raise PlanError(
                f"label_smoothing is {label_smoothing:g}: choose a number from 0 up to, but "
                "below, 1."
            )
        self.output = output
        self.label_smoothing = label_smoothing

    def modules(self) -> dict[str, nn.Module]:
        """None beyond the network."""
        return {}

    def phases(self, network: nn.Module) -> list[Phase]:
        """One: every parameter of the network moves down the mean cross entropy of all labels."""
        return [Phase("multilabel", dict(network.named_parameters()), self._loss)]

    def _loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        return Loss(mean_loss(self._losses, network(batch.inputs).float(), batch), {})

    def _losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        wanted = targets * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing  # (n, K)
        return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(dim=1)

    def after_step(self, network: nn.Module, step: int) -> None:
        """Nothing follows a step."""

    def act(self, network: nn.Module) -> None:
        """A data set asks for no actions."""

    def encode_targets(self, targets: Array) -> Tensor:
        """Labels (n, K) of 0 and 1 as float32."""
        return torch.from_numpy(np.ascontiguousarray(targets, dtype=np.float32))

    def predict(self, outputs: Tensor, temperature: float = 1.0) -> LabelsPrediction:
        """Probabilities from logits (n, K): sigmoid(logits / temperature) in float64."""
        probs = torch.sigmoid(outputs.detach().double() / temperature)
        return LabelsPrediction(self.output.labels, probs.cpu().numpy())

    def metrics(self, prediction: Prediction, targets: np.ndarray[Any, Any]) -> dict[str, float]:
        """ROC AUC and F1, macro and micro; exact match, Hamming and log loss; targets (n, K)."""
        if not isinstance(prediction, LabelsPrediction):
            raise TypeError("several labels are scored by label predictions")
        return multilabel_metrics(prediction.probs, targets)
