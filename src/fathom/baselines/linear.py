"""Logistic or ridge regression on standardised numbers and one-hot categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import sparse

from fathom.baselines.base import (
    Baseline,
    State,
    categories_of,
    class_labels,
    common,
    counted,
    known_targets,
    numbers_of,
)
from fathom.baselines.recipe import Extent
from fathom.baselines.rounds import Data, Fit, Weights, fit_rounds, sample_order
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema, TaskName

PENALTIES = (1.0, 10.0, 0.1, 100.0)
MOST_DENSE = 20_000_000
MOST_CELLS = 100_000_000


@dataclass(frozen=True)
class ScalarEncoder:
    """Numbers standardised, missing ones 0 with an indicator beside; categories one-hot.

    `mean`, `scale` (F,); `missing` (M,) are the number columns with an indicator; `sizes` (C,)
    count the codes that a category column had in training. The encoded row is numbers,
    indicators, categories: `width` values.
    """

    mean: Array
    scale: Array
    missing: Array
    sizes: Array

    @classmethod
    def learn(cls, numbers: Array, categories: Array) -> ScalarEncoder:
        """From training numbers (n, F) with NaN and codes (n, C)."""
        known = ~np.isnan(numbers)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, numbers, 0.0).sum(axis=0, dtype=np.float64) / count
        square = np.where(known, (numbers - mean) ** 2, 0.0).sum(axis=0, dtype=np.float64)
        scale = np.sqrt(square / count)
        scale[scale <= 1e-9 * np.maximum(1.0, np.abs(mean))] = 1.0
        missing = np.flatnonzero(~known.all(axis=0))
        sizes = categories.max(axis=0, initial=1) + 1
        return cls(mean, scale, missing, sizes.astype(np.int64))

    @property
    def width(self) -> int:
        """How many values an encoded row has."""
        return len(self.mean) + len(self.missing) + int(self.sizes.sum())

    def dense(self, numbers: Array) -> Array:
        """Numbers and indicators, (n, F + M) float64."""
        lost = np.isnan(numbers)
        standardised = np.where(lost, 0.0, (numbers - self.mean) / self.scale)
        return np.concatenate([standardised, lost[:, self.missing]], axis=1)

    def positions(self, categories: Array) -> Array:
        """Where each category's 1 stands among the one-hot columns, (n, C).

        Codes beyond those of training are unknown: code 1.
        """
        codes = np.where(categories < self.sizes, categories, 1)
        positions: Array = codes + (np.cumsum(self.sizes) - self.sizes)
        return positions

    def encode(self, numbers: Array, categories: Array) -> Any:
        """Encoded rows (n, width): an array, or a sparse matrix where that would be large."""
        dense, positions = self.dense(numbers), self.positions(categories)
        rows, columns = positions.shape
        starts = np.arange(rows + 1) * columns
        shape = (rows, int(self.sizes.sum()))
        hot = sparse.csr_matrix((np.ones(positions.size), positions.ravel(), starts), shape=shape)
        if rows * self.width > MOST_DENSE and columns:
            return sparse.hstack([dense, hot], format="csr")
        return np.concatenate([dense, hot.toarray()], axis=1)

    def arrays(self) -> dict[str, Array]:
        """The arrays by name."""
        return dict(vars(self))


class Linear(Baseline):
    """A weighted sum of the columns. `limit` is the number of solver rounds."""

    name = "linear"

    def __init__(
        self,
        encoder: ScalarEncoder,
        weights: Weights,
        labels: tuple[str, ...],
        *,
        penalty: float,
        **common: Any,
    ) -> None:
        super().__init__(labels, **common)
        self.penalty = penalty
        self.encoder = encoder
        self.weights = weights

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
        encoder = ScalarEncoder.learn(numbers_of(train), categories_of(train))
        order = sample_order(targets, labels, numpy_generator(seed, "linear", "rows"))
        columns = len(encoder.mean) + len(encoder.missing) + len(encoder.sizes)
        order = order[: MOST_CELLS // max(1, columns)]
        inputs = _encoded(train.take(order), encoder)
        held_out = None
        if validation is not None and validation.targets is not None and len(validation):
            held_out = (_encoded(validation, encoder), validation.targets)
        data = Data(lambda n: inputs[:n], targets[order], held_out, labels)
        fit = fit_rounds(data, PENALTIES, budget, counted(limit))
        notes = fit_notes("The linear model", fit, len(train))
        return cls(
            encoder,
            fit.weights,
            labels,
            penalty=fit.penalty,
            limit=fit.rounds,
            notes=notes,
            settled=not fit.stopped,
        )

    def raw(self, examples: Examples) -> Array:
        """The weighted sums, (n, 1) or (n, K); one-hot columns are looked up, never built."""
        dense = self.encoder.dense(numbers_of(examples))
        split = dense.shape[1]
        raw: Array = dense @ self.weights.coefficients[:split] + self.weights.intercept
        hot = self.weights.coefficients[split:]
        for column in self.encoder.positions(categories_of(examples)).T:
            raw += hot[column]
        return raw

    def state(self) -> State:
        """Weights and encoder as arrays."""
        weights = {
            "coefficients": self.weights.coefficients,
            "intercept": self.weights.intercept,
        }
        return self.encoder.arrays() | weights, {**self.config(), "penalty": self.penalty}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Linear from `state`."""
        encoder = ScalarEncoder(*(arrays[n] for n in ("mean", "scale", "missing", "sizes")))
        weights = Weights(arrays["coefficients"], arrays["intercept"])
        return cls(encoder, weights, penalty=config["penalty"], **common(config))


def _encoded(examples: Examples, encoder: ScalarEncoder) -> Any:
    return encoder.encode(numbers_of(examples), categories_of(examples))


def fit_notes(title: str, fit: Fit, total: int) -> tuple[str, ...]:
    """Sentences about a fit of the model called `title`, which saw `fit.rows` of `total` rows."""
    notes = []
    if fit.stopped:
        notes.append(
            f"{title} was stopped by the time budget after {fit.rounds} rounds of its solver; "
            "with more time it could be better."
        )
    elif not fit.converged:
        notes.append(f"The solver of {title[0].lower()}{title[1:]} stopped before it converged.")
    if fit.rows < total:
        notes.append(f"{title} was fitted on {fit.rows:,} of {total:,} rows, drawn at random.")
    return tuple(notes)
