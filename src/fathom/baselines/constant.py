"""The least that any model must beat: the class frequencies, or the mean."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fathom.baselines.base import Baseline, State, common
from fathom.baselines.recipe import Extent
from fathom.core.budget import Budget
from fathom.core.errors import DataError
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.schema import Schema, TaskName


class Constant(Baseline):
    """Says the same of every example. `values` (K,) class frequencies, or (1,) the mean."""

    name = "constant"
    least_limit = 0  # there is nothing to stop

    def __init__(self, values: Array, labels: tuple[str, ...], **common: Any) -> None:
        super().__init__(labels, **common)
        self.values = values

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
        """Count the classes, or take the mean."""
        if train.targets is None or len(train) == 0:
            raise DataError("A baseline needs rows whose target is known; there are none.")
        if task_name == "regression":
            return cls(np.array([train.targets.mean()], dtype=np.float64), ())
        counts = np.bincount(train.targets, minlength=len(schema.labels))
        return cls(counts / counts.sum(), schema.labels)

    def raw(self, examples: Examples) -> Array:
        """The mean (n, 1), or the log-frequencies (n, K)."""
        values = self.values
        if self.labels:
            with np.errstate(divide="ignore"):  # a class that never occurred: minus infinity
                values = np.log(values)
        return np.tile(values, (len(examples), 1))

    def state(self) -> State:
        """One array."""
        return {"values": self.values}, self.config()

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Constant from `state`."""
        return cls(arrays["values"], **common(config))
