"""Latent semantic analysis: texts as a few numbers, which trees can ask about.

The words of each column are weighted by TF-IDF, and their matrix is brought to the axes of most
weight (Deerwester et al. 1990; truncated singular value decomposition by random projection, Halko
et al. 2011, arXiv 0909.4061).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.extmath import randomized_svd

from fathom.baselines.base import one_blas_thread
from fathom.baselines.texts import Terms
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import derive_seed

COMPONENTS = 50  # of all columns of texts together
FEWEST_COMPONENTS = 8  # of each
MOST_TERMS = 20_000  # of a column, the most frequent
MOST_TEXTS = 20_000  # that the axes are learned from
PASSES = 4  # of the random projection over the matrix
ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class TextReduction:
    """For each column of texts its terms, and their weights in each component, (T, k) float64."""

    columns: tuple[Terms, ...]
    axes: tuple[Array, ...]

    @classmethod
    def learn(cls, names: Sequence[str], train: Examples, seed: int) -> Self:
        """From the texts of some training examples, columns in the order of `names`."""
        each = max(FEWEST_COMPONENTS, COMPONENTS // len(names))
        columns, axes = [], []
        for name in names:
            texts = train.texts(name)
            terms = Terms.learn(name, texts, most=MOST_TERMS)
            columns.append(terms)
            axes.append(_axes(terms.weigh(texts), each, derive_seed(seed, "text reduction", name)))
        return cls(tuple(columns), tuple(axes))

    def apply(self, examples: Examples) -> Array:
        """Components (n, k) float32, those of one column after those of the other."""
        n = len(examples)
        parts = [np.empty((n, axes.shape[1]), dtype=np.float32) for axes in self.axes]
        for part, terms, axes in zip(parts, self.columns, self.axes, strict=True):
            texts = examples.texts(terms.column)
            for start in range(0, n, ROWS_AT_ONCE):
                some = slice(start, start + ROWS_AT_ONCE)
                part[some] = terms.weigh(texts[some]) @ axes
        return np.concatenate(parts, axis=1)

    def arrays(self) -> dict[str, Array]:
        """The terms and axes as arrays by name."""
        found: dict[str, Array] = {}
        for place, (terms, axes) in enumerate(zip(self.columns, self.axes, strict=True)):
            found |= {f"{place}.{name}": array for name, array in terms.arrays().items()}
            found[f"{place}.axes"] = axes
        return found

    def described(self) -> list[dict[str, str]]:
        """What beside the arrays is needed to read it back."""
        return [terms.described() for terms in self.columns]

    @classmethod
    def of(cls, arrays: dict[str, Array], described: Sequence[dict[str, Any]]) -> Self:
        """From `arrays` and `described`."""
        columns, axes = [], []
        for place, column in enumerate(described):
            own = {name: arrays[f"{place}.{name}"] for name in ("terms", "idf")}
            columns.append(Terms.of(own, column))
            axes.append(arrays[f"{place}.axes"])
        return cls(tuple(columns), tuple(axes))


def _axes(weighed: Any, count: int, seed: int) -> Array:
    """The right singular vectors (T, k) of rows (n, T), k at most `count`; none without terms."""
    count = min(count, *weighed.shape)
    if not count:
        return np.zeros((weighed.shape[1], 0))
    with one_blas_thread():  # the same axes whatever the machine does besides
        _, _, vectors = randomized_svd(
            weighed, count, n_iter=PASSES, random_state=seed % 2**32, flip_sign=True
        )
    return np.ascontiguousarray(vectors.T)
