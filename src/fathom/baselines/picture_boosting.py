"""Gradient boosting on the principal components of picture features, and on the columns beside.

It sees what no other baseline does, pictures and columns at once, and it is the weakest of those
of pictures alone (LOG.md): so it is kept cheap, by few rows and large steps.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fathom.baselines.base import (
    State,
    categories_of,
    class_labels,
    known_targets,
    numbers_of,
    widened,
)
from fathom.baselines.boosting import DrawnBoosting
from fathom.baselines.picture_cache import judged_rows, picture_order
from fathom.baselines.picture_reduction import FOR_TREES, ROWS_AT_ONCE, Reduction
from fathom.baselines.recipe import Extent, Member, Recipe
from fathom.baselines.tuning import Menu
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema, TaskName

MOST_ROWS = 20_000
MOST_CELLS = 20_000_000
MOST_JUDGED = 5_000
FEWEST_ROWS = 500
FEWEST_ROUNDS = 20
# The rows are so many that about this many rounds fit into half of the time. A cell of the matrix
# costs a tree some 20 ns on one core, and a column some microseconds whatever the rows.
ROUNDS_HOPED_FOR = 60
SECONDS_PER_CELL = 20e-9
SECONDS_PER_COLUMN = 10e-6


class PictureBoosting(DrawnBoosting):
    """Boosted trees on components of picture features and any other columns.

    It grows on as many rows as its time allows, 20,000 at most, and for 200 rounds at most. `limit`
    is the recipe, which remembers how many rows.
    """

    name = "picture_boosting"
    # Large steps, so that a short time suffices, and few of the many columns at each split.
    menu = Menu(
        "Gradient boosting on picture features",
        (
            Member(learning_rate=0.2, max_leaf_nodes=15, max_features=0.3),
            Member(learning_rate=0.1, max_features=0.3),
        ),
        most_rounds=200,
    )
    reduction: Reduction

    @classmethod
    def least_seconds(cls, train: Examples, schema: Schema) -> float:
        """What 20 rounds on 500 rows take, and as much again for all else, for each label."""
        rows = min(len(train), FEWEST_ROWS)
        models = len(schema.labels) if schema.task == "multilabel" else 1
        outputs = 1 if schema.task == "multilabel" else _outputs(schema.labels)
        return 2 * FEWEST_ROUNDS * models * _round_seconds(rows, _width(train), outputs)

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
        """Try two settings on as many rows as time allows; or grow exactly what `limit` says."""
        labels = class_labels(schema, task_name)
        targets = known_targets(train, labels)
        # Rows and components are those of the other baselines of pictures, whose features are kept.
        order = picture_order(targets, labels, seed)
        order = order[: min(MOST_ROWS, max(FEWEST_ROWS, MOST_CELLS // _width(train)))]
        reduction = Reduction.shared(train, seed).first(FOR_TREES)
        if limit is None:
            known = _within(budget, reduction, train, order, _outputs(labels))
        else:
            known = _table(reduction, train, order[: _asked(limit) or len(order)])
        return cls.grown(
            reduction,
            known,
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
        return super().raw(_table(self.reduction, examples))

    def state(self) -> State:
        """The trees, the renumbering of categories and the components as arrays."""
        arrays, config = super().state()
        return arrays | {f"reduction.{k}": v for k, v in self.reduction.arrays().items()}, config

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """PictureBoosting from `state`."""
        return cls.around(Reduction.of(arrays), arrays, config)


def _outputs(labels: tuple[str, ...]) -> int:
    """Trees of a round."""
    return len(labels) if len(labels) > 2 else 1


def _width(examples: Examples) -> int:
    columns: int = numbers_of(examples).shape[1] + categories_of(examples).shape[1]
    return FOR_TREES + columns


def _round_seconds(rows: int, width: int, outputs: int) -> float:
    return outputs * width * (rows * SECONDS_PER_CELL + SECONDS_PER_COLUMN)


def _table(reduction: Reduction, examples: Examples, positions: Array | None = None) -> Examples:
    """The examples (at `positions`) as a table: their own columns, then the components."""
    rows = np.arange(len(examples)) if positions is None else positions
    return widened(examples, reduction.apply(examples, rows), rows=rows)


def _within(
    budget: Budget, reduction: Reduction, train: Examples, order: Array, outputs: int
) -> Examples:
    """The first rows in `order`, as many as can be described and grown on in the time.

    Describing pictures ends after a third of it, whatever their features cost.
    """
    per_column = budget.remaining / (2 * ROUNDS_HOPED_FOR * outputs * _width(train))
    affordable = max(FEWEST_ROWS, int((per_column - SECONDS_PER_COLUMN) / SECONDS_PER_CELL))
    order, least, parts = order[:affordable], budget.remaining * 2 / 3, list[Array]()
    for start in range(0, len(order), ROWS_AT_ONCE):  # the chunks that a repeat has, too
        if parts and budget.remaining < least:
            break
        parts.append(reduction.apply(train, order[start : start + ROWS_AT_ONCE]))
    components = np.concatenate(parts)
    return widened(train, components, rows=order[: len(components)])


def _asked(limit: Extent) -> int:
    return limit.rows if isinstance(limit, Recipe) else 0


def _judged(reduction: Reduction, validation: Examples | None, seed: int) -> Examples | None:
    if validation is None or validation.targets is None or not len(validation):
        return None
    rows = judged_rows(len(validation), seed)
    if len(rows) > MOST_JUDGED:
        generator = numpy_generator(seed, PictureBoosting.name, "validation")
        rows = np.sort(generator.choice(rows, MOST_JUDGED, replace=False))
    return _table(reduction, validation, rows)
