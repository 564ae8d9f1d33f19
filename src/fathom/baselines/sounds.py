"""Gradient boosting on features of sound, and on the columns beside."""

from __future__ import annotations

from typing import Any, Self

from fathom.baselines.base import State, widened
from fathom.baselines.boosting import Boosting
from fathom.baselines.recipe import Extent
from fathom.baselines.sound_features import describe_sounds
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.schema import AudioStatistics, Schema, TaskName

Columns = tuple[tuple[str, int], ...]
"""Columns of sound, each with its samples a second."""


class Sounds(Boosting):
    """Boosted trees on statistics of MFCCs and any other columns; `limit` is that of `boosting`."""

    name = "audio"
    columns: Columns = ()

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
        columns = tuple(
            (field.name, field.statistics.rate)
            for field in schema.of_kind("audio")
            if isinstance(field.statistics, AudioStatistics)
        )
        model = super().fit(
            _table(train, columns),
            schema,
            task_name,
            seed=seed,
            budget=budget,
            limit=limit,
            validation=None if validation is None else _table(validation, columns),
        )
        model.columns = columns
        return model

    def raw(self, examples: Examples) -> Array:
        """Sum of the leaves that each row falls into, (n, 1) or (n, K)."""
        return super().raw(_table(examples, self.columns))

    def state(self) -> State:
        """The trees and the renumbering of categories as arrays; which columns are heard."""
        arrays, config = super().state()
        return arrays, {**config, "columns": [list(column) for column in self.columns]}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Sounds from `state`."""
        model = super().from_state(arrays, config)
        model.columns = tuple((str(name), int(rate)) for name, rate in config["columns"])
        return model


def _table(examples: Examples, columns: Columns) -> Examples:
    """The examples as a table: their own columns, then the features of each column of sound."""
    heard = [describe_sounds(examples.inputs[name], rate) for name, rate in columns]  # type: ignore[arg-type]
    return widened(examples, *heard)
