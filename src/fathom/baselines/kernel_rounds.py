"""Rounds of the kernel model on picture features, and what each chooses on validation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from fathom.baselines.base import loss, spread_classes
from fathom.baselines.kernel_ridge import Expansion, Landmarks, Products
from fathom.baselines.picture_reduction import Reduction
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array

TITLE = "The kernel model on picture features"
# Gammas are multiples of one over the components' variance, which scikit-learn calls "scale".
GAMMAS = (1.0, 0.5, 2.0)
PENALTIES = (0.3, 0.1, 1.0, 3.0)
FIRST = (300, 5_000)  # landmarks and rows that the gamma is chosen with
LANDMARKS = (500, 1_000, 2_000, 4_000)
WORTHWHILE = 0.002
# Least squares say +1 or -1; so much of that are log-odds where no validation tells.
BLIND_SCALE = 3.0
LARGEST_SCALE = 10.0


@dataclass(frozen=True)
class Tried:
    """One round: its model, the loss on validation, rows that it saw, its gamma as a multiple."""

    expansion: Expansion
    loss: float
    rows: int
    gamma: float


class Rounds:
    """Fits one round after another, and keeps the best.

    `stopped` says whether the budget ended them.
    """

    def __init__(
        self,
        train: Examples,
        order: Array,
        labels: tuple[str, ...],
        reduction: Reduction,
        judged: tuple[Array, Array] | None,
    ) -> None:
        assert train.targets is not None
        self._labels, self._judged, self._reduction = labels, judged, reduction
        self._inputs = _GrowingComponents(train, order, reduction)
        targets = train.targets[order]
        self.classes = np.unique(targets) if labels else np.zeros(0, dtype=np.int64)
        self._targets = _columns(targets, self.classes)
        self.tried: list[Tried] = []
        self.done, self.stopped = 0, False

    @property
    def best(self) -> Tried:
        """The round to keep: of those that saw the most rows the best on validation."""
        return min(self.tried, key=lambda tried: (-tried.rows, tried.loss))

    def run(self, budget: Budget, limit: int | None) -> None:
        """Until the plan ends, more landmarks gain nothing, or the budget or limit is reached."""
        pace = 0.0
        for size, rows, gamma in self._plan():
            expected = pace * _work(size, rows) + self._inputs.seconds(rows)
            self.stopped = limit is None and self.done > 0 and expected > budget.remaining
            if self.stopped or self.done == limit:
                return
            inputs = self._inputs(rows)
            started = time.perf_counter()
            self.tried.append(self._fitted(size, inputs, gamma))
            pace = (time.perf_counter() - started) / _work(size, rows)
            self.done += 1

    def _plan(self) -> Iterator[tuple[int, int, float]]:
        """(landmarks, rows, gamma) of every round; what comes next depends on those before."""
        total = len(self._targets)
        size, rows = min(FIRST[0], total), min(FIRST[1], total)
        for gamma in GAMMAS if self._judged is not None else GAMMAS[:1]:
            yield size, rows, gamma
        gamma, before = min(self.tried, key=lambda tried: tried.loss).gamma, np.inf
        for size in LANDMARKS:
            yield min(size, total), total, gamma
            now = self.tried[-1].loss
            if size >= total or (self._judged and now > before - WORTHWHILE * abs(before)):
                return
            before = now

    def _fitted(self, size: int, inputs: Array, gamma: float) -> Tried:
        """The best penalty for so many landmarks, the first rows among those given."""
        landmarks = Landmarks(inputs[:size], gamma / float(self._reduction.variance[0]))
        targets = self._targets[: len(inputs)]
        offset, spread = targets.mean(axis=0), max(float(targets.std()), 1e-12)
        if self._labels:
            offset, spread = np.zeros_like(offset), 1.0
        products = Products.of(landmarks, inputs, (targets - offset) / spread)
        kernel = None if self._judged is None else landmarks.kernel(self._judged[0])
        found = []
        for penalty in PENALTIES if kernel is not None else PENALTIES[:1]:
            weights, intercept = products.solve(penalty)
            weights, intercept = weights * spread, intercept * spread + offset
            scale, error = self._scaled(kernel, weights, intercept)
            found.append((error, Expansion(landmarks, weights * scale, intercept * scale)))
        error, expansion = min(found, key=lambda pair: pair[0])
        return Tried(expansion, error, len(inputs), gamma)

    def _scaled(
        self, kernel: Array | None, weights: Array, intercept: Array
    ) -> tuple[float, float]:
        """What makes answers log-odds, and the loss on validation with it."""
        if kernel is None or self._judged is None:
            return (BLIND_SCALE if self._labels else 1.0), 0.0
        raw, targets = kernel @ weights.astype(kernel.dtype) + intercept, self._judged[1]
        if not self._labels:
            return 1.0, loss(raw, targets, ())

        def error(logarithm: float) -> float:
            spread = spread_classes(raw * np.exp(logarithm), self.classes, len(self._labels))
            return loss(spread, targets, self._labels)

        best = minimize_scalar(
            error, bounds=(0.0, np.log(LARGEST_SCALE)), method="bounded", options={"xatol": 0.01}
        )
        return float(np.exp(best.x)), float(best.fun)

    def notes(self, total: int) -> tuple[str, ...]:
        """Sentences about what was not tried, and rows that were left out."""
        notes = []
        if self.stopped:
            notes.append(
                f"{TITLE} was stopped by the time budget after {self.done} rounds, the last with "
                f"{len(self.tried[-1].expansion.landmarks.points):,} landmarks of up to "
                f"{LANDMARKS[-1]:,}; with more time it could be better."
            )
        if self.best.rows < total:
            told = f"{TITLE} was fitted on {self.best.rows:,} of {total:,} rows, drawn at random."
            notes.append(told)
        return tuple(notes)


class _GrowingComponents:
    """Components of the first n rows in `order`, computed when first asked for."""

    def __init__(self, examples: Examples, order: Array, reduction: Reduction) -> None:
        self._examples, self._order, self._reduction = examples, order, reduction
        shape = (len(order), reduction.components.shape[1])
        self._all = np.empty(shape, dtype=np.float32)
        self._ready, self._pace = 0, 0.0

    def seconds(self, count: int) -> float:
        """How long it will take to have `count` rows."""
        return self._pace * max(0, count - self._ready)

    def __call__(self, count: int) -> Array:
        """Components (count, k) float32."""
        if count > self._ready:
            started, rows = time.perf_counter(), self._order[self._ready : count]
            self._all[self._ready : count] = self._reduction.apply(self._examples, rows)
            self._ready, self._pace = count, (time.perf_counter() - started) / len(rows)
        return self._all[:count]


def _columns(targets: Array, classes: Array) -> Array:
    """What least squares fit, (n, t): numbers; +1 for the second of two classes; +1 for each."""
    if not len(classes):
        return np.asarray(targets, dtype=np.float64)[:, None]
    wanted = classes[1:] if len(classes) == 2 else classes
    columns: Array = np.where(targets[:, None] == wanted, 1.0, -1.0)
    return columns


def _work(size: int, rows: int) -> float:
    """About how many multiplications a round needs."""
    return rows * size * (size / 2 + 200) + len(PENALTIES) * size**3
