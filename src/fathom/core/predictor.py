"""Predictor: the one face of everything that predicts, network or baseline."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from fathom.core.examples import Examples
from fathom.core.prediction import Prediction


@runtime_checkable
class Predictor(Protocol):
    """Predicts encoded examples. `name` is 'network' or a baseline's name."""

    @property
    def name(self) -> str:
        """How records and files call it."""

    def predict(self, examples: Examples) -> Prediction:
        """Predictions for n examples, in their order."""
