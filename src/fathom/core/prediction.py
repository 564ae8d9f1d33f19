"""What a model says of examples: one frozen class for each form of output. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class ClassPrediction:
    """Class probabilities: `probs` (n, K) float64, rows sum to 1; `labels` names the columns."""

    labels: tuple[str, ...]
    probs: Array

    def __len__(self) -> int:
        return len(self.probs)

    @property
    def codes(self) -> Array:
        """The most probable class of each row, (n,) int64."""
        codes: Array = self.probs.argmax(axis=1)
        return codes

    @property
    def names(self) -> Array:
        """The most probable class of each row by name, (n,) object."""
        return np.asarray(self.labels, dtype=object)[self.codes]

    def take(self, rows: Array) -> ClassPrediction:
        """The prediction for some rows."""
        return ClassPrediction(self.labels, self.probs[rows])


@dataclass(frozen=True)
class NumberPrediction:
    """Numbers in the target's own units: `values` (n,) float64."""

    values: Array

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Array) -> NumberPrediction:
        """The prediction for some rows."""
        return NumberPrediction(self.values[rows])


Prediction = ClassPrediction | NumberPrediction
