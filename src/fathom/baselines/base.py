"""Baseline: a traditional method that the network must beat; a Predictor whose state is arrays."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from scipy.special import expit, softmax
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fathom.baselines.recipe import Extent, Recipe
from fathom.core.blocks import CATEGORIES, NUMBERS
from fathom.core.budget import Budget
from fathom.core.errors import DataError, PlanError
from fathom.core.examples import Examples
from fathom.core.prediction import Array, ClassPrediction, NumberPrediction, Prediction
from fathom.core.ragged import Ragged
from fathom.core.schema import Schema, TaskName

State = tuple[dict[str, Array], dict[str, Any]]
Limit = Extent | tuple[Extent, ...] | None
"""How far a fit went, or is to go; one for each label where several are learned at once."""


class Baseline(ABC):
    """A fitted traditional method.

    `labels` are the class names, empty for regression. `limit` is how far fitting went, in the
    method's own unit (iterations, rounds), or a recipe; handed to `fit`, it makes a repeat exact
    whatever the clock says. `notes` are sentences about the fit that a reader should know (a solver
    that did not converge, rows that were left out). `settled` is False where the time budget cut
    the fitting short, so that more time could have made a better model; True where it ended by
    itself, or at the limit that was asked for. `temperature` divides the logits of classes; see
    `calibrated`.
    """

    name: str
    limit: Limit
    least_limit: ClassVar[int] = 1
    takes_recipe: ClassVar[bool] = False
    takes_rows: ClassVar[bool] = False

    def __init__(
        self,
        labels: tuple[str, ...],
        *,
        limit: Limit = 0,
        notes: tuple[str, ...] = (),
        settled: bool = True,
        temperature: float = 1.0,
    ) -> None:
        self.labels = labels
        self.limit = limit
        self.notes = notes
        self.settled = settled
        self.temperature = temperature

    @classmethod
    def least_seconds(cls, train: Examples, schema: Schema) -> float:
        """About how long the smallest fit worth having takes; with less time none is begun.

        0, the rule, is for a method that is always worth having.
        """
        return 0.0

    @classmethod
    @abstractmethod
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
        """Fit on `train`; choose what there is to choose on `validation`.

        Stops when the budget is spent, or after exactly `limit` units where that is given. The same
        seed and limit give the same model. Raises DataError where there is nothing to learn.
        """

    @abstractmethod
    def raw(self, examples: Examples) -> Array:
        """(n, 1) float64: a number, or the second class's log-odds; (n, K): unnormalised logits."""

    @abstractmethod
    def state(self) -> State:
        """Everything that `from_state` needs: numeric arrays, and JSON values."""

    @classmethod
    @abstractmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """The baseline that `state` described; it predicts exactly the same."""

    def predict(self, examples: Examples) -> Prediction:
        """Predictions for n examples, in their order."""
        raw = self.raw(examples)
        if not self.labels:
            return NumberPrediction(raw[:, 0])
        return ClassPrediction(self.labels, probabilities(raw / self.temperature))

    def calibrated(self, temperature: float) -> Self:
        """A copy whose class probabilities are softmax(log p / temperature).

        p are the probabilities at temperature 1, whatever this one's own temperature is. Numbers
        stay as they are. Raises ValueError for a temperature that is not finite and above zero.
        """
        if not (np.isfinite(temperature) and temperature > 0):
            raise ValueError(f"a temperature must be finite and above zero, not {temperature}")
        twin = copy.copy(self)
        twin.temperature = float(temperature)
        return twin

    def config(self) -> dict[str, Any]:
        """The JSON values that every baseline has; `common` reads them back."""
        return {
            "labels": list(self.labels),
            "limit": msgspec.to_builtins(self.limit),
            "notes": list(self.notes),
            "settled": self.settled,
            "temperature": self.temperature,
        }


def common(config: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `Baseline.__init__` from a configuration."""
    return {
        "labels": tuple(config["labels"]),
        "limit": msgspec.convert(config["limit"], Limit),
        "notes": tuple(config["notes"]),
        "settled": bool(config["settled"]),
        "temperature": float(config["temperature"]),
    }


def check_limit(kind: type[Baseline], limit: Extent | None) -> None:
    """Raise PlanError where a plan's limit is below what the method needs, or of another kind."""
    if isinstance(limit, Recipe) and not kind.takes_recipe:
        raise PlanError(f"The plan's baselines.{kind.name} is a recipe; it must be a number.")
    if isinstance(limit, Recipe) and limit.rows and not kind.takes_rows:
        raise PlanError(
            f"The plan's baselines.{kind.name} has rows; it draws none, leave them out."
        )
    if isinstance(limit, int) and limit < kind.least_limit:
        raise PlanError(
            f"The plan's baselines.{kind.name} is {limit}; it must be at least "
            f"{kind.least_limit}, or null to fit as long as it helps."
        )


def counted(limit: Extent | None) -> int | None:
    """The limit of a method that takes no recipe, as a count; see `check_limit`."""
    assert not isinstance(limit, Recipe)
    return limit


def probabilities(raw: Array) -> Array:
    """Class probabilities (n, K) from log-odds (n, 1) of two classes, or from logits (n, K)."""
    if raw.shape[1] == 1:
        second = expit(raw[:, 0])
        return np.column_stack([1.0 - second, second])
    probs: Array = softmax(raw, axis=1)
    return probs


def loss(raw: Array, targets: Array, labels: tuple[str, ...]) -> float:
    """What choices are made by: mean log loss, or mean squared error where there are no labels."""
    if not labels:
        return float(np.mean((raw[:, 0] - targets) ** 2))
    right = probabilities(raw)[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(right, np.finfo(np.float64).tiny)).mean())


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which NumPy's and SciPy's linear algebra computes on one thread."""
    limits: AbstractContextManager[Any] = threadpool_limits(1, "blas")
    return limits


def numbers_of(examples: Examples) -> Array:
    """The `numbers` block (n, F) float32, with no columns where there is none."""
    empty = np.zeros((len(examples), 0), dtype=np.float32)
    return np.asarray(examples.inputs.get(NUMBERS, empty))


def categories_of(examples: Examples) -> Array:
    """The `categories` block (n, F) int64, with no columns where there is none."""
    empty = np.zeros((len(examples), 0), dtype=np.int64)
    return np.asarray(examples.inputs.get(CATEGORIES, empty))


def widened(examples: Examples, *values: Array, rows: Array | None = None) -> Examples:
    """The numbers and categories of examples (at `rows`), and each of `values` (n, F) as more."""
    taken: Any = slice(None) if rows is None else rows
    numbers = np.concatenate([numbers_of(examples)[taken], *values], axis=1)
    inputs = {NUMBERS: numbers, CATEGORIES: categories_of(examples)[taken]}
    targets = None if examples.targets is None else examples.targets[taken]
    return Examples(inputs, targets, examples.rows[taken])


def ragged_of(examples: Examples, name: str) -> Ragged:
    """A column of sequences: of series (n, L, channels), of sound (n, L)."""
    block = examples.inputs[name]
    assert isinstance(block, Ragged)
    return block


def class_labels(schema: Schema, task_name: TaskName) -> tuple[str, ...]:
    """The names of the classes; none where a number is to be learned."""
    return schema.labels if task_name == "classification" else ()


def known_targets(examples: Examples, labels: tuple[str, ...]) -> Array:
    """Targets (n,) to fit on. Raises DataError where none are known or only one class occurs."""
    if examples.targets is None or len(examples) == 0:
        raise DataError("A baseline needs rows whose target is known; there are none.")
    if labels and len(np.unique(examples.targets)) < 2:
        raise DataError(
            "Only one class occurs among the rows to learn from: give rows of at least two."
        )
    return examples.targets


def spread_classes(raw: Array, classes: Array, total: int) -> Array:
    """Logits over all `total` classes where only `classes` occurred; the others are impossible.

    Two classes out of two stay one column of log-odds.
    """
    if len(classes) == total:
        return raw
    logits = np.column_stack([np.zeros(len(raw)), raw]) if raw.shape[1] == 1 else raw
    spread = np.full((len(raw), total), -np.inf)
    spread[:, classes] = logits
    return spread
