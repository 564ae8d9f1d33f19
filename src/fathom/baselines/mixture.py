"""Gradient boosting on all columns at once, texts, pictures, sounds and series brought to numbers.

Trees cannot ask about one of many thousand words, pixels or samples at each split; about some fifty
components or statistics of them they can.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fathom.baselines.base import State, class_labels, common, known_targets, widened
from fathom.baselines.boosting import Boosting, DrawnBoosting
from fathom.baselines.recipe import SETTINGS, Extent, Recipe
from fathom.baselines.reductions import KINDS, Reductions, costs
from fathom.baselines.rounds import sample_order
from fathom.baselines.tuning import HURRIED, Menu
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema, TaskName

MOST_ROWS, FEWEST_ROWS = 100_000, 500
MOST_JUDGED = 10_000
REDUCTION_SHARE = 1 / 3  # of the time, for all that comes before the first tree


class Mixture(DrawnBoosting):
    """Boosted trees on the columns and on numbers that are made of all others.

    It grows on as many rows as can be described in a third of its time, 100,000 at most. `limit` is
    the recipe, which remembers how many rows.
    """

    name = "mixture"
    menu = Menu("Gradient boosting on all columns", SETTINGS, HURRIED)
    reduction: Reductions

    @staticmethod
    def applies(schema: Schema) -> bool:
        """Whether no other baseline sees all columns as well: several kinds, one beyond trees."""
        kinds = {field.kind for field in schema.inputs}
        beyond = kinds & set(KINDS)
        return len(beyond) > 1 or ("text" in beyond and len(kinds) > 1)

    @classmethod
    def least_seconds(cls, train: Examples, schema: Schema) -> float:
        """What it takes to describe 500 rows, twice over."""
        return 2 * float(costs(schema, train)[:FEWEST_ROWS].sum())

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
        order = sample_order(targets, labels, numpy_generator(seed, "mixture", "rows"))
        order = order[:MOST_ROWS]
        most = limit.rows if isinstance(limit, Recipe) and limit.rows else len(order)
        if limit is None:
            spent = np.cumsum(costs(schema, train)[order])
            seconds = REDUCTION_SHARE * budget.remaining
            most = max(FEWEST_ROWS, int(np.searchsorted(spent, seconds, side="right")))
        rows = np.sort(order[:most])
        reduction = Reductions.learn(schema, train, rows, seed)
        return cls.grown(
            reduction,
            _table(reduction, train, rows),
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
        return super().raw(_table(self.reduction, examples, np.arange(len(examples))))

    def state(self) -> State:
        """The trees, the renumbering of categories and the reductions as arrays."""
        arrays, config = super().state()
        own, said = self.reduction.state()
        return arrays | {f"kinds.{name}": v for name, v in own.items()}, config | {"kinds": said}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Mixture from `state`."""
        plain = Boosting.from_state(arrays, config)
        own = {k.removeprefix("kinds."): a for k, a in arrays.items() if k.startswith("kinds.")}
        return cls(
            Reductions.of(own, config["kinds"]),
            plain.trees,
            plain.start,
            plain.codes,
            plain.classes,
            **common(config),
        )


def _table(reduction: Reductions, examples: Examples, rows: Array) -> Examples:
    """The examples at `rows` as a table: their own columns, then what the others are made to."""
    return widened(examples, reduction.described(examples, rows), rows=rows)


def _judged(reduction: Reductions, validation: Examples | None, seed: int) -> Examples | None:
    if validation is None or validation.targets is None or not len(validation):
        return None
    rows = np.arange(len(validation))
    if len(rows) > MOST_JUDGED:
        generator = numpy_generator(seed, "mixture", "validation")
        rows = np.sort(generator.choice(rows, MOST_JUDGED, replace=False))
    return _table(reduction, validation, rows)
