"""Series as a few numbers, which trees can ask about: components of random convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.extmath import randomized_svd

from fathom.baselines.base import one_blas_thread, ragged_of
from fathom.baselines.random_convolutions import KERNELS, Convolutions
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.ragged import Ragged
from fathom.core.randomness import derive_seed, numpy_generator

COMPONENTS = 50  # of each column
FEATURES = len(KERNELS) * 8
PASSES = 4  # of the random projection over the matrix
FIELDS = ("dilations", "counts", "mixes", "thresholds")


@dataclass(frozen=True)
class Axes:
    """Convolutions of one column, and the axes (D, k) of most variance of what they answer."""

    convolutions: Convolutions
    mean: Array
    scale: Array
    axes: Array

    @classmethod
    def learn(cls, series: Ragged, seed: int) -> Self:
        """From training series."""
        convolutions = Convolutions.learn(series, FEATURES, numpy_generator(seed, "kernels"))
        found = convolutions(series)
        mean, scale = found.mean(axis=0), found.std(axis=0) + np.float32(1e-3)
        standard = (found - mean) / scale
        with one_blas_thread():  # the same axes whatever the machine does besides
            _, _, vectors = randomized_svd(
                standard, min(COMPONENTS, *standard.shape), n_iter=PASSES, random_state=seed % 2**32
            )
        # In float64 a row gives the same numbers, however many are multiplied at once.
        return cls(convolutions, mean, scale, np.ascontiguousarray(vectors.T, dtype=np.float64))

    def __call__(self, series: Ragged) -> Array:
        """Components (n, k) float32."""
        standard = (self.convolutions(series) - self.mean) / self.scale
        with one_blas_thread():
            return np.asarray(standard @ self.axes, dtype=np.float32)

    def arrays(self) -> dict[str, Array]:
        """All of it by name."""
        return vars(self.convolutions) | {n: getattr(self, n) for n in ("mean", "scale", "axes")}

    @classmethod
    def of(cls, arrays: dict[str, Array]) -> Self:
        """From `arrays`."""
        convolutions = Convolutions(*(arrays[name] for name in FIELDS))
        return cls(convolutions, *(arrays[name] for name in ("mean", "scale", "axes")))


@dataclass(frozen=True)
class SeriesReduction:
    """The axes of each column of series."""

    columns: dict[str, Axes]

    @classmethod
    def learn(cls, names: Sequence[str], train: Examples, seed: int) -> Self:
        """From the series of some training examples."""
        seeds = {name: derive_seed(seed, "series reduction", name) for name in names}
        return cls({name: Axes.learn(ragged_of(train, name), seeds[name]) for name in names})

    def apply(self, examples: Examples) -> Array:
        """Components (n, k) float32, those of one column after those of the other."""
        found = [axes(ragged_of(examples, name)) for name, axes in self.columns.items()]
        return np.concatenate(found, axis=1)

    def arrays(self) -> dict[str, Array]:
        """All axes by name."""
        return {
            f"{place}.{name}": array
            for place, axes in enumerate(self.columns.values())
            for name, array in axes.arrays().items()
        }

    def described(self) -> list[str]:
        """What beside the arrays is needed to read it back: the columns."""
        return list(self.columns)

    @classmethod
    def of(cls, arrays: dict[str, Array], described: Sequence[Any]) -> Self:
        """From `arrays` and `described`."""
        fields = (*FIELDS, "mean", "scale", "axes")
        return cls(
            {
                str(column): Axes.of({name: arrays[f"{place}.{name}"] for name in fields})
                for place, column in enumerate(described)
            }
        )
