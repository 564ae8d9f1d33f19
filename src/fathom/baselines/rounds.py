"""Linear models fitted in rounds, between which they can be stopped.

A round is a few solver iterations on so many rows under one penalty. Rounds follow a fixed plan:
small samples first, so that even a short budget ends with a usable model, then all rows, then other
penalties, each beginning where the last one ended. How many rounds were run is all that a repeat
must know.
"""

from __future__ import annotations

import math
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from fathom.baselines.base import loss, one_blas_thread, spread_classes
from fathom.core.budget import Budget
from fathom.core.prediction import Array

ITERATIONS = 25
ROUNDS_PER_PENALTY = 8
WORTHWHILE = 0.002
SMALL_SAMPLES = (2_000, 10_000)

Features = Callable[[int], Any]
"""`features(n)`: inputs of the first n rows, (n, D) dense or sparse."""


@dataclass(frozen=True)
class Weights:
    """`coefficients` (D, k) and `intercept` (k,): k = 1 for a number or two classes, else K."""

    coefficients: Array
    intercept: Array

    def apply(self, inputs: Any) -> Array:
        """(n, k) float64 from inputs (n, D), dense or sparse."""
        return np.asarray(inputs @ self.coefficients, dtype=np.float64) + self.intercept

    def spread(self, classes: Array, total: int) -> Weights:
        """Weights of all `total` classes where only `classes` occurred: the others never are."""
        spread = np.zeros((len(self.coefficients), total), dtype=self.coefficients.dtype)
        if len(classes) == total:
            return self
        columns = classes[1:] if len(self.intercept) == 1 else classes
        spread[:, columns] = self.coefficients
        intercept = spread_classes(self.intercept[None, :], classes, total)[0]
        return Weights(spread, intercept)


@dataclass(frozen=True)
class Fit:
    """The best weights found, their penalty, and how many rounds were run in all.

    `converged` says whether more rounds would not have changed them: the solver found the optimum,
    or validation no longer improved. `rows` is how many rows the last round saw. `stopped` says
    whether the budget ended the fitting before that on all rows.
    """

    weights: Weights
    penalty: float
    rounds: int
    converged: bool
    rows: int
    stopped: bool


@dataclass(frozen=True)
class Data:
    """Rows to fit on: `features` and `targets` (n,), in an order whose beginning is a fair sample.

    `validation` inputs and targets choose the penalty.
    """

    features: Features
    targets: Array
    validation: tuple[Any, Array] | None
    labels: tuple[str, ...]


def sample_order(targets: Array, labels: tuple[str, ...], generator: np.random.Generator) -> Array:
    """Row positions in random order, one of every class that occurs first."""
    order = generator.permutation(len(targets))
    if not labels:
        return order
    first = np.unique(targets[order], return_index=True)[1]
    return np.concatenate([order[first], np.delete(order, first)])


def fit_rounds(data: Data, penalties: Sequence[float], budget: Budget, limit: int | None) -> Fit:
    """Fit a logistic model (with labels) or ridge regression, in rounds.

    `penalties[0]` is used where there is nothing to choose by, or no time. The others are tried in
    their order. For a logistic model a penalty is 1 / C, for ridge its alpha.
    """
    solver = _Logistic(data) if data.labels else _Ridge(data)
    tried: list[_Tried] = []
    rounds, rows, hurried = 0, 0, False
    for penalty, size in _plan(penalties, data):
        if tried and tried[-1].settled and (penalty, size) == (tried[-1].penalty, rows):
            continue
        expected = solver.seconds_per_row * size
        hurried = limit is None and rounds > 0 and expected > budget.remaining
        if hurried or rounds == limit:
            break
        before = tried[-1].loss if tried and penalty == tried[-1].penalty else math.inf
        weights, converged = solver.step(penalty, size)
        now = _validation_loss(data, weights)
        stale = data.validation is not None and size == rows and now > before * (1 - WORTHWHILE)
        # What fewer iterations or a smaller sample gave is replaced, not compared with.
        replaced = tried[:-1] if before < math.inf else tried
        tried = [*replaced, _Tried(penalty, weights, now, converged or stale)]
        rounds, rows = rounds + 1, size
    best = min(tried, key=lambda entry: entry.loss)
    stopped = hurried and not (best.settled and rows == len(data.targets))
    return Fit(best.weights, best.penalty, rounds, best.settled, rows, stopped)


@dataclass(frozen=True)
class _Tried:
    penalty: float
    weights: Weights
    loss: float
    settled: bool


def _plan(penalties: Sequence[float], data: Data) -> list[tuple[float, int]]:
    """(penalty, rows) of every round."""
    total = len(data.targets)
    small = [(penalties[0], n) for n in SMALL_SAMPLES if 2 * n < total]
    some = penalties if data.validation is not None else penalties[:1]
    repeats = ROUNDS_PER_PENALTY if data.labels else 1
    return small + [(p, total) for p in some for _ in range(repeats)]


def _validation_loss(data: Data, weights: Weights) -> float:
    if data.validation is None:
        return 0.0
    inputs, targets = data.validation
    return loss(weights.apply(inputs), targets, data.labels)


class _Solver(ABC):
    """Does one round at a time, and remembers how fast."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self.seconds_per_row = 0.0

    def step(self, penalty: float, rows: int) -> tuple[Weights, bool]:
        """One round: the weights, and whether they are the optimum."""
        started = time.perf_counter()
        inputs = self._data.features(rows)
        # These products are narrow: a second thread gains little. One thread also gives the same
        # sums on every machine.
        with one_blas_thread():
            result = self._solve(inputs, self._data.targets[:rows], penalty)
        self.seconds_per_row = (time.perf_counter() - started) / rows
        return result

    @abstractmethod
    def _solve(self, inputs: Any, targets: Array, penalty: float) -> tuple[Weights, bool]:
        """Weights for these rows, going on from the last round's where the solver can."""


class _Logistic(_Solver):
    def __init__(self, data: Data) -> None:
        super().__init__(data)
        self._estimator = LogisticRegression(warm_start=True, max_iter=ITERATIONS)

    def _solve(self, inputs: Any, targets: Array, penalty: float) -> tuple[Weights, bool]:
        self._estimator.set_params(C=1.0 / penalty)
        with warnings.catch_warnings():
            # Not converging within one round is the plan; it is noted if it stays so.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._estimator.fit(inputs, targets)
        converged = int(np.max(self._estimator.n_iter_)) < ITERATIONS
        coefficients = np.ascontiguousarray(self._estimator.coef_.T)
        intercept = self._estimator.intercept_.astype(np.float64)
        weights = Weights(coefficients, intercept)
        return weights.spread(self._estimator.classes_, len(self._data.labels)), converged


class _Ridge(_Solver):
    def _solve(self, inputs: Any, targets: Array, penalty: float) -> tuple[Weights, bool]:
        estimator = Ridge(alpha=penalty).fit(inputs, targets.astype(inputs.dtype))
        coefficients = np.ascontiguousarray(estimator.coef_.reshape(-1, 1))
        intercept = np.atleast_1d(np.asarray(estimator.intercept_, dtype=np.float64))
        return Weights(coefficients, intercept), True
