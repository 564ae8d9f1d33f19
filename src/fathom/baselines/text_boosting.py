"""Gradient boosting on the columns, and on the texts beside them brought to a few numbers.

Trees cannot ask about one of many thousand words at each split; about some fifty components of a
latent semantic analysis they can.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import msgspec
import numpy as np

from fathom.baselines.base import (
    State,
    categories_of,
    class_labels,
    common,
    known_targets,
    numbers_of,
)
from fathom.baselines.boosting import Boosting
from fathom.baselines.codes import CategoryCodes
from fathom.baselines.growth import Table
from fathom.baselines.picture_cache import held_once
from fathom.baselines.recipe import SETTINGS, Extent, Recipe
from fathom.baselines.rounds import sample_order
from fathom.baselines.text_reduction import MOST_TEXTS, TextReduction
from fathom.baselines.trees import Trees
from fathom.baselines.tuning import HURRIED, Menu, repeat, search
from fathom.core.blocks import CATEGORIES, NUMBERS
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema, TaskName

MOST_ROWS, FEWEST_ROWS = 100_000, 500
MOST_JUDGED = 10_000
SECONDS_PER_CHARACTER = 1e-6  # of one core, to weigh the words of a text
TEXT_SHARE = 1 / 3  # of the time, for all that comes before the first tree
TITLE = "Gradient boosting on columns and texts"
MENU = Menu(TITLE, SETTINGS, HURRIED)


class TextBoosting(Boosting):
    """Boosted trees on the columns and the components of the texts.

    It grows on as many rows as can be described in a third of its time, 100,000 at most. `limit` is
    the recipe, which remembers how many rows.
    """

    name = "text_boosting"
    takes_rows = True

    def __init__(self, reduction: TextReduction, *trees: Any, **common: Any) -> None:
        super().__init__(*trees, **common)
        self.reduction = reduction

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
        known = _tabular(reduction, some)
        codes = CategoryCodes.learn(categories_of(known))
        assert known.targets is not None
        table = Table.of(known, known.targets, codes, labels, seed)
        if limit is None:
            found = search(table, budget, _judged(reduction, validation, seed), MENU)
            found = replace(found, settled=found.settled and len(known) == len(order))
        else:
            found = repeat(table, limit, MENU)
        return cls(
            reduction,
            Trees.joined([forest.trees for forest in found.forests]),
            np.mean([forest.start for forest in found.forests], axis=0),
            codes,
            found.forests[0].classes,
            labels,
            limit=msgspec.structs.replace(found.recipe, rows=len(known)),
            notes=_fewer(len(known), len(train)) + found.notes,
            settled=found.settled,
        )

    def raw(self, examples: Examples) -> Array:
        """Sum of the leaves that each row falls into, (n, 1) or (n, K)."""
        return super().raw(_tabular(self.reduction, examples))

    def state(self) -> State:
        """The trees, the renumbering of categories, terms and axes as arrays."""
        arrays, config = super().state()
        arrays |= {f"texts.{name}": array for name, array in self.reduction.arrays().items()}
        return arrays, config | {"texts": self.reduction.described()}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """TextBoosting from `state`."""
        plain = Boosting.from_state(arrays, config)
        own = {k.removeprefix("texts."): a for k, a in arrays.items() if k.startswith("texts.")}
        return cls(
            TextReduction.of(own, config["texts"]),
            plain.trees,
            plain.start,
            plain.codes,
            plain.classes,
            **common(config),
        )


def _reduction(schema: Schema, train: Examples, some: Examples, seed: int) -> TextReduction:
    """The components of `some` of the training texts; of several labels all have the same."""
    names = [field.name for field in schema.of_kind("text")]
    held = tuple(train.written[name] for name in names)

    def learn() -> TextReduction:
        drawn = some.sample(MOST_TEXTS, numpy_generator(seed, "text boosting", "texts"))
        return TextReduction.learn(names, drawn, seed)

    return held_once(("text reduction", some.rows.tobytes(), seed), held, learn)


def _tabular(reduction: TextReduction, examples: Examples) -> Examples:
    """The examples as a table: their own columns, then the components."""
    numbers = [numbers_of(examples), reduction.apply(examples)]
    inputs = {NUMBERS: np.concatenate(numbers, axis=1), CATEGORIES: categories_of(examples)}
    return Examples(inputs, examples.targets, examples.rows)


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
    return _tabular(reduction, validation.sample(MOST_JUDGED, generator))


def _fewer(rows: int, total: int) -> tuple[str, ...]:
    told = f"{TITLE} was fitted on {rows:,} of {total:,} rows, drawn at random."
    return (told,) if rows < total else ()
