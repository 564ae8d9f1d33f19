"""Growing boosted trees with scikit-learn, in one fit that is watched round by round.

The data are put into bins once. After each round scikit-learn asks the watch for a score; the watch
looks at the clock and at the loss on validation, and ends the fit by a score that is no better. It
never changes a tree, so that so many rounds without a watch are the same trees.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fathom.baselines.base import categories_of, loss, numbers_of, spread_classes
from fathom.baselines.codes import CategoryCodes
from fathom.baselines.recipe import DEFAULT, Member
from fathom.baselines.trees import Forest, from_sklearn
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import derive_seed, numpy_generator

FEWEST_ROUNDS = 5
MOST_ROUNDS = 2000
BLIND_ROUNDS = 100
PATIENCE = 30
WORTHWHILE = 0.001
# Where classes part cleanly log loss falls by a thousandth of itself for ever: so little of what it
# was at first is nothing any more.
NOTHING = 2e-4
JUDGED_AT_ONCE = 5
MOST_JUDGED = 20_000
LARGE_CELLS = 2_000_000
PROBE_ROWS = 50_000
PROBE_ROUNDS = 5


@dataclass(frozen=True)
class Grown:
    """scikit-learn's trees, one list per round, and what is said before any, (outputs,).

    `classes` (K,) int64 are the class codes that occurred; empty for regression.
    """

    predictors: list[list[Any]]
    start: Array
    classes: Array


@dataclass(frozen=True)
class Table:
    """What is grown on: `inputs` (n, C + F) float64, `targets` (n,), and where they come from.

    `threads` grow (None: all that scikit-learn may take).
    """

    inputs: Array
    targets: Array
    codes: CategoryCodes
    labels: tuple[str, ...]
    seed: int
    threads: int | None

    @classmethod
    def of(
        cls,
        train: Examples,
        targets: Array,
        codes: CategoryCodes,
        labels: tuple[str, ...],
        seed: int,
    ) -> Table:
        """The matrix is built once, whatever is grown on it; threads are tried on a large one."""
        inputs = _matrix(train, codes)
        trial = _estimator(DEFAULT, labels, codes, inputs.shape[1], seed)
        trial.set_params(max_iter=PROBE_ROUNDS, early_stopping=False)
        return cls(inputs, targets, codes, labels, seed, _quicker(trial, inputs, targets))


class Watch:
    """What ends a fit: the budget, or a loss on validation that no longer falls.

    Without validation 100 rounds are grown. `settled` says, once the fit is over, whether it was
    not the budget that ended it.
    """

    def __init__(
        self,
        budget: Budget,
        codes: CategoryCodes,
        labels: tuple[str, ...],
        validation: Examples | None,
        seed: int,
    ) -> None:
        self._budget = budget
        self._codes = codes
        self._labels = labels
        self._judged: Examples | None = None
        if validation is not None and validation.targets is not None and len(validation):
            generator = numpy_generator(seed, "boosting", "validation")
            self._judged = validation.sample(MOST_JUDGED, generator)
        self.most = BLIND_ROUNDS if self._judged is None else MOST_ROUNDS
        self.settled = True
        self._losses: list[float] = []
        self._raw: Array | None = None
        self.rounds = 0
        self._looked = budget.elapsed

    @property
    def loss(self) -> float:
        """The loss on validation of the rounds to keep; 0 without validation."""
        return min(self._losses, default=0.0)

    @property
    def best(self) -> int:
        """How many rounds to keep."""
        return int(np.argmin(self._losses)) + 1 if self._losses else self.rounds

    def score(self, estimator: Any, _inputs: Any, _targets: Any) -> float:
        """Called by scikit-learn before the first round and after each; not higher: the end."""
        seconds = self._budget.elapsed - self._looked
        self._looked += seconds
        grown = _grown(estimator)
        self.rounds = len(grown.predictors)
        enough = self.rounds >= FEWEST_ROUNDS
        hurried = enough and self._budget.remaining < seconds and self.rounds < self.most
        if hurried or self.rounds % JUDGED_AT_ONCE == 0:
            self._judge(grown)
        if self._stale():
            return -1.0
        self.settled = not hurried
        return -1.0 if hurried else float(self.rounds)

    def _stale(self) -> bool:
        early, late = self._losses[:-PATIENCE], self._losses[-PATIENCE:]
        if not early:
            return False
        nothing = NOTHING * self._losses[0] if self._labels else 0.0
        return min(early) - min(late) < max(WORTHWHILE * min(early), nothing)

    def _judge(self, grown: Grown) -> None:
        """Add the losses after the rounds that are new."""
        fresh, judged = grown.predictors[len(self._losses) :], self._judged
        if judged is None or judged.targets is None or not fresh:
            return
        forest = Forest(from_sklearn(fresh), self._codes.known)
        categories = self._codes.apply(categories_of(judged))
        raw = np.tile(grown.start, (len(judged), 1)) if self._raw is None else self._raw
        added = forest.contributions(categories, numbers_of(judged))
        for position in range(added.shape[1]):
            raw = raw + added[:, position]
            logits = raw
            if self._labels:
                logits = spread_classes(raw, grown.classes, len(self._labels))
            self._losses.append(loss(logits, judged.targets, self._labels))
        self._raw = raw


def grow(table: Table, member: Member, watch: Watch | None) -> Grown:
    """Grow `member.rounds` rounds with its settings, or as many as `watch` allows.

    The number of threads does not matter to the result: each histogram is summed by one thread, so
    the trees are the same, bit for bit.
    """
    estimator = _estimator(member, table.labels, table.codes, table.inputs.shape[1], table.seed)
    estimator.set_params(
        max_iter=member.rounds if watch is None else watch.most,
        early_stopping=watch is not None,
        scoring="loss" if watch is None else watch.score,
    )
    with threadpool_limits(table.threads, "openmp"):
        return _grown(estimator.fit(table.inputs, table.targets))


def _estimator(
    member: Member, labels: tuple[str, ...], codes: CategoryCodes, columns: int, seed: int
) -> Any:
    kind = HistGradientBoostingClassifier if labels else HistGradientBoostingRegressor
    return kind(
        **member.settings(),
        categorical_features=np.arange(columns) < len(codes.known),
        random_state=derive_seed(seed, "boosting") % 2**32,
        validation_fraction=None,  # the watch has its own rows: none are taken from training
        n_iter_no_change=1,
        tol=0.0,
    )


def _quicker(trial: Any, inputs: Array, targets: Array) -> int | None:
    """Threads to grow with: 1, or None for all that scikit-learn may take, as is quicker now.

    All cores are nearly so many times as fast as one where nothing else runs. On a busy machine
    they wait for each other after every node and are slower than one; only a trial tells. A small
    table is not worth a trial.
    """
    if inputs.size <= LARGE_CELLS:
        return 1
    step = max(1, len(inputs) // PROBE_ROWS)
    taken: dict[int | None, float] = {}
    for threads in (1, None):
        started = time.perf_counter()
        with threadpool_limits(threads, "openmp"):
            trial.fit(inputs[::step], targets[::step])
        taken[threads] = time.perf_counter() - started
    return min(taken, key=lambda threads: taken[threads])


def _grown(estimator: Any) -> Grown:
    start = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1)
    classes = np.asarray(getattr(estimator, "classes_", np.zeros(0)), dtype=np.int64)
    return Grown(estimator._predictors, start, classes)


def _matrix(examples: Examples, codes: CategoryCodes) -> Array:
    """Categories, then numbers, (n, C + F) float64 with NaN where missing or unknown."""
    categories = codes.apply(categories_of(examples))
    coded = np.where(categories == codes.known, np.nan, categories)
    matrix = np.concatenate([coded, numbers_of(examples)], axis=1, dtype=np.float64)
    # A column without a single value has no histogram; as a constant it is never split on.
    matrix[:, np.isnan(matrix).all(axis=0)] = 0.0
    return matrix
