"""Regression: mean squared error on the standardised target."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.batch import Batch
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.core.prediction import Array, NumberPrediction, Prediction
from fathom.core.task import Loss, Phase
from fathom.tasks.losses import mean_loss
from fathom.tasks.metrics import regression_metrics


class Regression:
    """Predicts a number. It is learned as (y - center) / scale and given back in y's own units.

    Raises PlanError where the output is not one number.
    """

    name = "regression"
    primary = "rmse"

    def __init__(self, output: OutputSpec) -> None:
        if output.form != "number" or not output.scale > 0:
            raise PlanError("Regression needs a target of numbers that are not all the same.")
        self.output = output

    def modules(self) -> dict[str, nn.Module]:
        """None beyond the network."""
        return {}

    def phases(self, network: nn.Module) -> list[Phase]:
        """One: every parameter of the network moves down the squared error."""
        return [Phase("regression", dict(network.named_parameters()), self._loss)]

    def _loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        return Loss(mean_loss(_squares, network(batch.inputs).float(), batch), {})

    def after_step(self, network: nn.Module, step: int) -> None:
        """Nothing follows a step."""

    def act(self, network: nn.Module) -> None:
        """A data set asks for no actions."""

    def encode_targets(self, targets: Array) -> Tensor:
        """Numbers (n,) in their own units, standardised in float64 and then made float32."""
        standardised = (np.asarray(targets, dtype=np.float64) - self.output.center) / (
            self.output.scale
        )
        return torch.from_numpy(standardised.astype(np.float32))

    def predict(self, outputs: Tensor, temperature: float = 1.0) -> NumberPrediction:
        """Numbers in y's own units from outputs (n, 1); a temperature does not apply to them."""
        standardised = outputs.detach().double().squeeze(-1).cpu().numpy()
        return NumberPrediction(standardised * self.output.scale + self.output.center)

    def metrics(self, prediction: Prediction, targets: np.ndarray[Any, Any]) -> dict[str, float]:
        """Root mean squared error, mean absolute error and R²; targets (n,) in own units."""
        if not isinstance(prediction, NumberPrediction):
            raise TypeError("regression scores predicted numbers")
        return regression_metrics(prediction.values, targets)


def _squares(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs.squeeze(-1) - targets).square()
