"""Gradient-boosted trees on histograms, the method to beat on tables (Friedman, 2001).

scikit-learn grows the trees, `tuning.py` chooses the settings, `trees.py` evaluates the trees from
arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, Self

import msgspec
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
from fathom.baselines.tuning import Found, Menu, repeat, search
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema, TaskName

MOST_CELLS = 50_000_000


def forests_of(found: Found, codes: CategoryCodes) -> tuple[Trees, Array, CategoryCodes, Array]:
    """What `Boosting` is made of: the trees of all forests, their mean start, codes, classes."""
    trees = Trees.joined([forest.trees for forest in found.forests])
    start = np.mean([forest.start for forest in found.forests], axis=0)
    return trees, start, codes, found.forests[0].classes


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
        codes = CategoryCodes.learn(categories_of(train))
        table = Table.of(train, known_targets(train, labels), codes, labels, seed)
        found = search(table, budget, validation) if limit is None else repeat(table, limit)
        return cls(
            *forests_of(found, codes),
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


class DrawnBoosting(Boosting):
    """Boosting on columns, and on `reduction`: what trees cannot ask about in a few numbers.

    It grows on rows that were drawn; `limit` is the recipe, which remembers how many.
    """

    takes_rows = True
    menu: ClassVar[Menu]

    def __init__(self, reduction: Any, *trees: Any, **common: Any) -> None:
        super().__init__(*trees, **common)
        self.reduction = reduction

    @classmethod
    def grown(
        cls,
        reduction: Any,
        known: Examples,
        labels: tuple[str, ...],
        *,
        most: int,
        total: int,
        seed: int,
        budget: Budget,
        limit: Extent | None,
        judged: Callable[[], Examples | None],
    ) -> Self:
        """Grow on the table `known`, drawn from `total` rows; `judged` is asked for in a search.

        With fewer rows than `most` for want of time it is not settled.
        """
        codes = CategoryCodes.learn(categories_of(known))
        assert known.targets is not None
        table = Table.of(known, known.targets, codes, labels, seed)
        if limit is None:
            found = search(table, budget, judged(), cls.menu)
            found = replace(found, settled=found.settled and len(known) == most)
        else:
            found = repeat(table, limit, cls.menu)
        return cls(
            reduction,
            *forests_of(found, codes),
            labels,
            limit=msgspec.structs.replace(found.recipe, rows=len(known)),
            notes=_drawn(cls.menu.title, len(known), total) + found.notes,
            settled=found.settled,
        )

    @classmethod
    def around(cls, reduction: Any, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """The trees of a `state` behind a reduction that was read back from it."""
        plain = Boosting.from_state(arrays, config)
        parts = (plain.trees, plain.start, plain.codes, plain.classes)
        return cls(reduction, *parts, **common(config))


def _drawn(title: str, rows: int, total: int) -> tuple[str, ...]:
    told = f"{title} was fitted on {rows:,} of {total:,} rows, drawn at random."
    return (told,) if rows < total else ()


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
    return sample, _drawn("Gradient boosting", most, len(train))
