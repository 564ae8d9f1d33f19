"""Pictures by hand-made features (edges, colours and a small copy), then a linear model."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fathom.baselines.base import Baseline, State, class_labels, common, counted, known_targets
from fathom.baselines.linear import fit_notes
from fathom.baselines.picture_cache import features_of, judged_rows, picture_order
from fathom.baselines.recipe import Extent
from fathom.baselines.rounds import Data, Weights, fit_rounds
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.schema import Schema, TaskName

PENALTIES = (100.0, 1000.0, 10.0)
# The penalty is on the sum over rows: with many of them a strong one only costs time (LOG.md).
MANY_ROWS = 20_000
PENALTIES_OF_MANY = (100.0, 10.0)
MOST_CELLS = 200_000_000


class _GrowingFeatures:
    """Standardised features of the first n rows in `order`, computed when first asked for."""

    def __init__(self, examples: Examples, order: Array) -> None:
        self._examples = examples
        self._order = order
        first = features_of(examples, order[:1])
        self._all = np.empty((len(order), first.shape[1]), dtype=np.float32)
        self._ready = 0
        self.mean = np.zeros(first.shape[1], dtype=np.float32)
        self.scale = np.ones(first.shape[1], dtype=np.float32)

    def __call__(self, count: int) -> Array:
        """Features (count, D) float32."""
        if count > self._ready:
            fresh = slice(self._ready, count)
            self._all[fresh] = features_of(self._examples, self._order[fresh])
            if self._ready == 0:  # the first sample settles the scale for good
                self.mean = self._all[fresh].mean(axis=0)
                self.scale = self._all[fresh].std(axis=0) + np.float32(0.01)
            self._all[fresh] = self.standardise(self._all[fresh])
            self._ready = count
        return self._all[:count]

    def standardise(self, features: Array) -> Array:
        """(features - mean) / scale."""
        return (features - self.mean) / self.scale


class Pictures(Baseline):
    """Logistic or ridge regression on hand-made features. `limit` counts solver rounds."""

    name = "pictures"

    def __init__(
        self,
        weights: Weights,
        mean: Array,
        scale: Array,
        labels: tuple[str, ...],
        *,
        penalty: float,
        **common: Any,
    ) -> None:
        super().__init__(labels, **common)
        self.penalty = penalty
        self.weights = weights
        self.mean = mean
        self.scale = scale

    @classmethod
    def fit(
        cls,
        train: Examples,
        schema: Schema,
        task_name: TaskName,
        *,
        seed: int,
        budget: Budget,
        limit: Extent | None = None,
        validation: Examples | None = None,
    ) -> Self:
        """Fit, with the strength of the L2 penalty chosen on validation where time allows."""
        labels = class_labels(schema, task_name)
        targets = known_targets(train, labels)
        order = picture_order(targets, labels, seed)
        width = features_of(train, np.arange(1)).shape[1]
        order = order[: MOST_CELLS // width]
        features = _GrowingFeatures(train, order)
        features(min(len(order), 2_000))
        held_out = None
        if validation is not None and validation.targets is not None and len(validation):
            rows = judged_rows(len(validation), seed)
            inputs = features.standardise(features_of(validation, rows))
            held_out = (inputs, validation.targets[rows])
        data = Data(features, targets[order], held_out, labels)
        penalties = PENALTIES if len(order) <= MANY_ROWS else PENALTIES_OF_MANY
        fit = fit_rounds(data, penalties, budget, counted(limit))
        notes = fit_notes("The linear model on picture features", fit, len(train))
        return cls(
            fit.weights,
            features.mean,
            features.scale,
            labels,
            penalty=fit.penalty,
            limit=fit.rounds,
            notes=notes,
            settled=not fit.stopped,
        )

    def raw(self, examples: Examples) -> Array:
        """The weighted sums of features, (n, 1) or (n, K)."""
        features = (features_of(examples) - self.mean) / self.scale
        return self.weights.apply(features)

    def state(self) -> State:
        """Weights and the features' scale as arrays."""
        arrays = {
            "coefficients": self.weights.coefficients,
            "intercept": self.weights.intercept,
            "mean": self.mean,
            "scale": self.scale,
        }
        return arrays, {**self.config(), "penalty": self.penalty}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Pictures from `state`."""
        weights = Weights(arrays["coefficients"], arrays["intercept"])
        return cls(
            weights,
            arrays["mean"],
            arrays["scale"],
            penalty=config["penalty"],
            **common(config),
        )
