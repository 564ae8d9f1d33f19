"""Gradient boosting on features of sound, and on the columns beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from fathom.baselines.base import State, widened
from fathom.baselines.boosting import Boosting
from fathom.baselines.recipe import Extent
from fathom.baselines.sound_features import describe_columns, rates_of
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.schema import Schema, TaskName


class Sounds(Boosting):
    """Boosted trees on statistics of MFCCs and any other columns; `limit` is that of `boosting`."""

    name = "audio"
    rates: Mapping[str, int]

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
        """As `Boosting.fit`, on features of the sounds."""
        rates = rates_of(schema.of_kind("audio"))
        model = super().fit(
            _table(train, rates),
            schema,
            task_name,
            seed=seed,
            budget=budget,
            limit=limit,
            validation=None if validation is None else _table(validation, rates),
        )
        model.rates = rates
        return model

    def raw(self, examples: Examples) -> Array:
        """Sum of the leaves that each row falls into, (n, 1) or (n, K)."""
        return super().raw(_table(examples, self.rates))

    def state(self) -> State:
        """The trees and the renumbering of categories as arrays; which columns are heard."""
        arrays, config = super().state()
        return arrays, {**config, "columns": [list(column) for column in self.rates.items()]}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Sounds from `state`."""
        model = super().from_state(arrays, config)
        model.rates = {str(name): int(rate) for name, rate in config["columns"]}
        return model


def _table(examples: Examples, rates: Mapping[str, int]) -> Examples:
    """The examples as a table: their own columns, then the features of each column of sound."""
    return widened(examples, *describe_columns(examples, rates))
