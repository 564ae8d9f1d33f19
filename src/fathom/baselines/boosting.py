"""Gradient-boosted trees on histograms, the method to beat on tables (Friedman, 2001).

scikit-learn grows the trees; `trees.py` evaluates them from arrays.
"""

from __future__ import annotations

import time
from typing import Any, Self

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from fathom.baselines.base import (
    Baseline,
    State,
    categories_of,
    common,
    known_targets,
    loss,
    numbers_of,
    one_thread,
    spread_classes,
)
from fathom.baselines.trees import Forest, Trees, from_sklearn
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import derive_seed, numpy_generator
from fathom.core.schema import Schema, TaskName

SETTINGS = {
    "learning_rate": 0.08,
    "max_leaf_nodes": 31,
    "min_samples_leaf": 20,
    "l2_regularization": 1.0,
}
FIRST_CHUNK = 20
PROBE_CHUNK = 5
MOST_ITERATIONS = 2000
PATIENCE = 30
WORTHWHILE = 0.001
BLIND_ITERATIONS = 100
MOST_CODES = 254
MOST_CELLS = 50_000_000
LARGE_CELLS = 2_000_000


class CategoryCodes:
    """Renumbers category codes by what occurs in training: 0, 1, …, and one past for the rest.

    Missing values (code 0) and codes that did not occur become `known[c]`. Of more than 254 codes
    the rarest become one, because a histogram has 255 bins. `sizes` (C,) counts the old codes,
    `table` holds the new code of each, column after column.
    """

    def __init__(self, sizes: Array, table: Array, known: Array) -> None:
        self.sizes = sizes
        self.table = table
        self.known = known
        self._offsets = np.concatenate([[0], np.cumsum(sizes)])[:-1]

    @classmethod
    def learn(cls, categories: Array) -> CategoryCodes:
        """From training codes (n, C)."""
        tables = [_renumber(np.bincount(column, minlength=2)) for column in categories.T]
        sizes = np.array([len(t) for t in tables], dtype=np.int64)
        known = np.array([t[-1] for t in tables], dtype=np.int64)
        table = np.concatenate([np.zeros(0, dtype=np.int64), *tables])
        return cls(sizes, table, known)

    def apply(self, categories: Array) -> Array:
        """New codes (n, C). Codes beyond those of training count as missing."""
        inside = np.minimum(categories, self.sizes - 1)  # the last entry stands for all beyond
        codes: Array = self.table[inside + self._offsets]
        return codes


def _renumber(counts: Array) -> Array:
    """New code of each old one; the last entry is the code of missing and unknown."""
    kept = np.flatnonzero(counts[1:]) + 1
    merged = np.zeros(0, dtype=np.int64)
    if len(kept) > MOST_CODES:
        by_count = kept[np.argsort(-counts[kept], kind="stable")]
        kept, merged = np.sort(by_count[: MOST_CODES - 1]), by_count[MOST_CODES - 1 :]
    known = len(kept) + (len(merged) > 0)
    table = np.full(len(counts) + 1, known, dtype=np.int64)
    table[kept] = np.arange(len(kept))
    table[merged] = len(kept)
    return table


class Boosting(Baseline):
    """Trees added one after another, each to mend what the others left wrong.

    `limit` is the number of iterations (trees for each output). They are added in chunks; the loss
    on validation after each iteration decides how many are kept.
    """

    name = "boosting"

    def __init__(
        self,
        trees: Trees,
        start: Array,
        codes: CategoryCodes,
        classes: Array,
        labels: tuple[str, ...],
        **common: Any,
    ) -> None:
        super().__init__(labels, **common)
        self.trees = trees
        self.start = start
        self.codes = codes
        self.classes = classes
        self._forest = Forest(trees, codes.known)

    @classmethod
    def fit(
        cls,
        train: Examples,
        schema: Schema,
        task_name: TaskName,
        *,
        seed: int,
        budget: Budget,
        limit: int | None = None,
        validation: Examples | None = None,
    ) -> Self:
        """Add trees until validation no longer improves, the budget ends or `limit` is reached."""
        labels = schema.labels if task_name == "classification" else ()
        known_targets(train, labels)
        train, notes = _bounded(train, seed)
        targets = known_targets(train, labels)
        codes = CategoryCodes.learn(categories_of(train))
        growth = _Growth(train, targets, codes, labels, seed)
        curve = _Curve(growth, labels, validation)
        while not curve.finished(limit):
            count = limit if limit is not None else growth.affordable(budget)
            if count == 0:
                break
            growth.grow(count, limit or MOST_ITERATIONS)
            curve.extend()
        kept = curve.best(limit)
        notes = (*notes, *([] if limit or curve.settled else ["Stopped by the time budget."]))
        trees = from_sklearn(growth.predictors[:kept])
        return cls(trees, growth.start, codes, growth.classes, labels, limit=kept, notes=notes)

    def raw(self, examples: Examples) -> Array:
        """Sum of the leaves that each row falls into, (n, 1) or (n, K)."""
        categories = self.codes.apply(categories_of(examples))
        sums = self._forest.sums(categories, numbers_of(examples)) + self.start
        return spread_classes(sums, self.classes, len(self.labels)) if self.labels else sums

    def state(self) -> State:
        """The trees and the renumbering of categories as arrays."""
        arrays = {f"trees.{name}": array for name, array in self.trees.arrays().items()}
        codes = {f"codes.{name}": getattr(self.codes, name) for name in ("sizes", "table", "known")}
        arrays |= codes | {"start": self.start, "classes": self.classes}
        return arrays, {**self.config(), "outputs": self.trees.outputs}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Boosting from `state`."""
        codes = CategoryCodes(*(arrays[f"codes.{name}"] for name in ("sizes", "table", "known")))
        fields = {k.removeprefix("trees."): v for k, v in arrays.items() if k.startswith("trees.")}
        trees = Trees(**fields, outputs=config["outputs"])
        return cls(trees, arrays["start"], codes, arrays["classes"], **common(config))


def _bounded(train: Examples, seed: int) -> tuple[Examples, tuple[str, ...]]:
    """At most as many rows as fit into memory as float64, and a sentence if some were left out."""
    columns = numbers_of(train).shape[1] + categories_of(train).shape[1]
    most = MOST_CELLS // max(1, columns)
    if len(train) <= most:
        return train, ()
    sample = train.sample(most, numpy_generator(seed, "boosting", "rows"))
    return sample, (f"Fitted on {most:,} of {len(train):,} rows, drawn at random.",)


class _Growth:
    """A scikit-learn estimator that is grown chunk by chunk."""

    def __init__(
        self,
        train: Examples,
        targets: Array,
        codes: CategoryCodes,
        labels: tuple[str, ...],
        seed: int,
    ) -> None:
        self.codes = codes
        self._inputs = _matrix(train, codes)
        self._targets = targets
        kind = HistGradientBoostingClassifier if labels else HistGradientBoostingRegressor
        self._estimator: Any = kind(
            **SETTINGS,
            max_iter=0,
            categorical_features=np.arange(self._inputs.shape[1]) < len(codes.known),
            early_stopping=False,
            warm_start=True,
            random_state=derive_seed(seed, "boosting") % 2**32,
        )
        self._seconds_each = 0.0

    @property
    def done(self) -> int:
        """Iterations so far."""
        return int(self._estimator.max_iter)

    @property
    def predictors(self) -> list[list[Any]]:
        """scikit-learn's trees, one list per iteration."""
        trees: list[list[Any]] = self._estimator._predictors
        return trees

    @property
    def start(self) -> Array:
        """What is said before any tree, (outputs,)."""
        return np.asarray(self._estimator._baseline_prediction, dtype=np.float64).reshape(-1)

    @property
    def classes(self) -> Array:
        """The class codes that occurred, (K,) int64; empty for regression."""
        return np.asarray(getattr(self._estimator, "classes_", np.zeros(0)), dtype=np.int64)

    @property
    def _chunk(self) -> int:
        # A chunk costs a new binning of the data besides its trees (of 250,000 rows as much as 25
        # trees), so chunks grow. Where they end does not change the trees.
        if self.done == 0 and self._inputs.size > LARGE_CELLS:
            return PROBE_CHUNK
        return max(FIRST_CHUNK, self.done // 2)

    def affordable(self, budget: Budget) -> int:
        """How many more iterations should end within the budget; 0 where too few are left.

        The first chunk is always taken.
        """
        if self.done == 0:
            return self._chunk
        fitting = min(self._chunk, int(0.7 * budget.remaining / self._seconds_each))
        return fitting if fitting >= PROBE_CHUNK else 0

    def grow(self, count: int, most: int) -> None:
        """Add `count` iterations, not beyond `most` in all."""
        before = self.done
        self._estimator.max_iter = min(before + count, most)
        started = time.perf_counter()
        # Threads meet at every node of a tree: in tests on a busy machine, two were ten to a
        # hundred times slower than one. One thread also gives the same sums everywhere.
        with one_thread("openmp"):
            self._estimator.fit(self._inputs, self._targets)
        self._seconds_each = (time.perf_counter() - started) / (self.done - before)


class _Curve:
    """The loss on validation after each iteration, from which the number to keep follows."""

    def __init__(
        self, growth: _Growth, labels: tuple[str, ...], validation: Examples | None
    ) -> None:
        self._growth = growth
        self._labels = labels
        self._validation = validation if validation is not None and len(validation) else None
        self._losses: list[float] = []
        self._raw: Array | None = None

    def finished(self, limit: int | None) -> bool:
        """Whether `limit` is reached, or without one, whether more would not help."""
        return self._growth.done >= limit if limit is not None else self.settled

    @property
    def settled(self) -> bool:
        """Whether validation has not improved for a while, or the most iterations are done."""
        most = MOST_ITERATIONS if self._validation is not None else BLIND_ITERATIONS
        early, late = self._losses[:-PATIENCE], self._losses[-PATIENCE:]
        stale = bool(early) and min(late) > (1 - WORTHWHILE) * min(early)
        return self._growth.done >= most or stale

    def best(self, limit: int | None) -> int:
        """How many iterations to keep."""
        if limit is not None or not self._losses:
            return self._growth.done
        return int(np.argmin(self._losses)) + 1

    def extend(self) -> None:
        """Add the losses after the iterations that are new."""
        examples, growth = self._validation, self._growth
        if examples is None or examples.targets is None:
            return
        trees = from_sklearn(growth.predictors[len(self._losses) :])
        forest = Forest(trees, growth.codes.known)
        categories = growth.codes.apply(categories_of(examples))
        added = forest.contributions(categories, numbers_of(examples))
        raw = self._raw if self._raw is not None else np.tile(growth.start, (len(examples), 1))
        for iteration in range(added.shape[1]):
            raw = raw + added[:, iteration]
            logits = spread_classes(raw, growth.classes, len(self._labels))
            self._losses.append(
                loss(logits if self._labels else raw, examples.targets, self._labels)
            )
        self._raw = raw


def _matrix(examples: Examples, codes: CategoryCodes) -> Array:
    """Categories, then numbers, (n, C + F) float64 with NaN where missing or unknown."""
    categories = codes.apply(categories_of(examples))
    coded = np.where(categories == codes.known, np.nan, categories)
    matrix = np.concatenate([coded, numbers_of(examples)], axis=1, dtype=np.float64)
    # A column without a single value has no histogram; as a constant it is never split on.
    matrix[:, np.isnan(matrix).all(axis=0)] = 0.0
    return matrix
