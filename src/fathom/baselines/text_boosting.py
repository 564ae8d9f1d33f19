"""Gradient boosting on the columns, and on the texts beside them brought to a few numbers.

Trees cannot ask about one of many thousand words at each split; about some fifty components of a
latent semantic analysis they can.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fathom.baselines.base import State, class_labels, known_targets, widened
from fathom.baselines.boosting import DrawnBoosting
from fathom.baselines.picture_cache import held_once
from fathom.baselines.recipe import SETTINGS, Extent, Recipe
from fathom.baselines.rounds import sample_order
from fathom.baselines.text_reduction import MOST_TEXTS, TextReduction
from fathom.baselines.tuning import HURRIED, Menu
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema, TaskName

MOST_ROWS, FEWEST_ROWS = 100_000, 500
MOST_JUDGED = 10_000
SECONDS_PER_CHARACTER = 1e-6  # of one core, to weigh the words of a text
TEXT_SHARE = 1 / 3  # of the time, for all that comes before the first tree


class TextBoosting(DrawnBoosting):
    """Boosted trees on the columns and the components of the texts.

    It grows on as many rows as can be described in a third of its time, 100,000 at most. `limit` is
    the recipe, which remembers how many rows.
    """

    name = "text_boosting"
    menu = Menu("Gradient boosting on columns and texts", SETTINGS, HURRIED)
    reduction: TextReduction

    @classmethod
    def least_seconds(cls, train: Examples, schema: Schema) -> float:
        """What it takes to describe 500 rows, twice over."""
        rows = np.arange(min(len(train), FEWEST_ROWS))
        return 2 * SECONDS_PER_CHARACTER * float(_characters(train)[rows].sum())

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
        """Try settings and average the best; or grow exactly what `limit` says."""
        labels = class_labels(schema, task_name)
        targets = known_targets(train, labels)
        order = sample_order(targets, labels, numpy_generator(seed, "text boosting", "rows"))
        order = order[:MOST_ROWS]
        most = limit.rows if isinstance(limit, Recipe) and limit.rows else len(order)
        if limit is None:
            most = _affordable(train, order, TEXT_SHARE * budget.remaining)
        some = train.take(np.sort(order[:most]))
        reduction = _reduction(schema, train, some, seed)
        return cls.grown(
            reduction,
            widened(some, reduction.apply(some)),
            labels,
            most=len(order),
            total=len(train),
            seed=seed,
            budget=budget,
            limit=limit,
            judged=lambda: _judged(reduction, validation, seed),
        )

    def raw(self, examples: Examples) -> Array:
        """Sum of the leaves that each row falls into, (n, 1) or (n, K)."""
        return super().raw(widened(examples, self.reduction.apply(examples)))

    def state(self) -> State:
        """The trees, the renumbering of categories, terms and axes as arrays."""
        arrays, config = super().state()
        arrays |= {f"texts.{name}": array for name, array in self.reduction.arrays().items()}
        return arrays, config | {"texts": self.reduction.described()}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """TextBoosting from `state`."""
        own = {k.removeprefix("texts."): a for k, a in arrays.items() if k.startswith("texts.")}
        return cls.around(TextReduction.of(own, config["texts"]), arrays, config)


def _reduction(schema: Schema, train: Examples, some: Examples, seed: int) -> TextReduction:
    """The components of `some` of the training texts; of several labels all have the same."""
    names = [field.name for field in schema.of_kind("text")]
    held = tuple(train.written[name] for name in names)

    def learn() -> TextReduction:
        drawn = some.sample(MOST_TEXTS, numpy_generator(seed, "text boosting", "texts"))
        return TextReduction.learn(names, drawn, seed)

    return held_once(("text reduction", some.rows.tobytes(), seed), held, learn)


def _characters(examples: Examples) -> Array:
    """How much text each row has, (n,) in bytes."""
    return np.asarray(np.sum([t.lengths for t in examples.written.values()], axis=0))


def _affordable(train: Examples, order: Array, seconds: float) -> int:
    """How many rows in this order can be described in so many seconds: learned from, applied to."""
    cost = 3 * SECONDS_PER_CHARACTER * np.cumsum(_characters(train)[order])
    return max(FEWEST_ROWS, int(np.searchsorted(cost, seconds, side="right")))


def _judged(reduction: TextReduction, validation: Examples | None, seed: int) -> Examples | None:
    if validation is None or validation.targets is None or not len(validation):
        return None
    generator = numpy_generator(seed, "text boosting", "validation")
    some = validation.sample(MOST_JUDGED, generator)
    return widened(some, reduction.apply(some))
