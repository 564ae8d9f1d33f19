"""Principal components of the features of pictures, which are many and say much the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.linalg import eigh

from fathom.baselines.base import one_blas_thread
from fathom.baselines.picture_cache import features_of, made_once
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator

COMPONENTS = 100
FOR_TREES = 60  # of them, which look through all columns at each split
LEARNED_ON = 2_000
ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class Reduction:
    """Standardised features, (features - mean) / scale, on the axes of most variance.

    `mean`, `scale` (D,) float32; `components` (D, k) float64, so that a row gives the same numbers,
    up to float32's rounding, however many are multiplied at once. `variance` is that of all
    components together.
    """

    mean: Array
    scale: Array
    components: Array
    variance: Array

    @classmethod
    def learn(cls, examples: Examples, positions: Array) -> Self:
        """From the examples at `positions` (m,)."""
        found = features_of(examples, positions)
        mean = found.mean(axis=0)
        scale = found.std(axis=0) + np.float32(0.01)
        standard = ((found - mean) / scale).astype(np.float64)
        width, count = standard.shape[1], min(COMPONENTS, *standard.shape)
        with one_blas_thread():
            covariance = standard.T @ standard / len(standard)
            values, axes = eigh(covariance, subset_by_index=(width - count, width - 1))
        variance = np.array([max(float(values.sum()), 1e-12)])
        return cls(mean, scale, np.ascontiguousarray(axes[:, ::-1]), variance)

    @classmethod
    def shared(cls, train: Examples, seed: int) -> Self:
        """From some of the training examples, for all baselines and labels the same ones."""
        drawn = numpy_generator(seed, "pictures", "reduction").permutation(len(train))
        return made_once(cls.learn, train, drawn[:LEARNED_ON])

    def first(self, count: int) -> Self:
        """With its first components alone; they are in the order of their variance."""
        few = np.ascontiguousarray(self.components[:, :count])
        return replace(self, components=few)

    def apply(self, examples: Examples, positions: Array | None = None) -> Array:
        """Components (n, k) float32 of all examples, or of those at `positions`."""
        rows = np.arange(len(examples)) if positions is None else positions
        starts = range(0, max(1, len(rows)), ROWS_AT_ONCE)
        parts = [self._reduced(examples, rows[start : start + ROWS_AT_ONCE]) for start in starts]
        return np.concatenate(parts)

    def _reduced(self, examples: Examples, rows: Array) -> Array:
        standard = (features_of(examples, rows) - self.mean) / self.scale
        with one_blas_thread():
            reduced: Array = (standard @ self.components).astype(np.float32)
        return reduced

    @classmethod
    def of(cls, arrays: dict[str, Array]) -> Self:
        """From a state in which the names of `arrays` follow `reduction.`."""
        names = ("mean", "scale", "components", "variance")
        return cls(*(arrays[f"reduction.{name}"] for name in names))

    def arrays(self) -> dict[str, Array]:
        """The arrays by name."""
        return dict(vars(self))
