"""Gradient-boosted trees on histograms, the method to beat on tables (Friedman, 2001).

scikit-learn grows the trees, `tuning.py` chooses the settings, `trees.py` evaluates the trees from
arrays.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fathom.baselines.base import (
    Baseline,
    State,
    categories_of,
    class_labels,
    common,
    known_targets,
    numbers_of,
    spread_classes,
)
from fathom.baselines.codes import CategoryCodes
from fathom.baselines.growth import Table
from fathom.baselines.recipe import Extent
from fathom.baselines.rounds import sample_order
from fathom.baselines.trees import Forest, Trees
from fathom.baselines.tuning import repeat, search
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema, TaskName

MOST_CELLS = 50_000_000


class Boosting(Baseline):
    """Trees added one after another, each to mend what the others left wrong.

    Several forests are grown with different settings, as far as time allows, and the best are
    averaged: one forest of all their trees, because the outputs of trees add up. The loss on
    validation after each round decides when to stop and how many are kept, and which forests are
    averaged. `limit` is the recipe: settings and rounds (one tree for each output) of each forest.
    """

    name = "boosting"
    takes_recipe = True

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
        limit: Extent | None = None,
        validation: Examples | None = None,
    ) -> Self:
        """Try settings one after another and average the best; or grow exactly what `limit` says.

        A limit that is a number is a forest of so many rounds with the default settings.
        """
        labels = class_labels(schema, task_name)
        train, notes = _bounded(train, labels, seed)
        targets = known_targets(train, labels)
        codes = CategoryCodes.learn(categories_of(train))
        table = Table.of(train, targets, codes, labels, seed)
        found = search(table, budget, validation) if limit is None else repeat(table, limit)
        return cls(
            Trees.joined([forest.trees for forest in found.forests]),
            np.mean([forest.start for forest in found.forests], axis=0),
            codes,
            found.forests[0].classes,
            labels,
            limit=found.recipe,
            notes=notes + found.notes,
            settled=found.settled,
        )

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


def _bounded(
    train: Examples, labels: tuple[str, ...], seed: int
) -> tuple[Examples, tuple[str, ...]]:
    """At most as many rows as fit into memory as float64, and a sentence if some were left out.

    Every class that occurs keeps a row, however rare it is.
    """
    targets = known_targets(train, labels)
    columns = numbers_of(train).shape[1] + categories_of(train).shape[1]
    most = MOST_CELLS // max(1, columns)
    if len(train) <= most:
        return train, ()
    order = sample_order(targets, labels, numpy_generator(seed, "boosting", "rows"))
    sample = train.take(np.sort(order[:most]))
    told = f"Gradient boosting was fitted on {most:,} of {len(train):,} rows, drawn at random."
    return sample, (told,)
