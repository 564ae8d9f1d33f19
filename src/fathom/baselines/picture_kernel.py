"""Pictures by hand-made features, their principal components, and a Gaussian kernel with landmarks.

What a support vector machine with a Gaussian kernel is for few rows, at a cost that grows with the
rows as a linear model's does: see `kernel_ridge.py`. Rounds follow a fixed plan: the kernel's width
is chosen with few landmarks on few rows, then all rows are fitted with ever more landmarks.
"""

from __future__ import annotations

from typing import Any, Self

from fathom.baselines.base import (
    Baseline,
    State,
    class_labels,
    common,
    counted,
    known_targets,
    spread_classes,
)
from fathom.baselines.kernel_ridge import Expansion, Landmarks
from fathom.baselines.kernel_rounds import Rounds
from fathom.baselines.picture_cache import judged_rows, picture_order
from fathom.baselines.picture_reduction import Reduction
from fathom.baselines.recipe import Extent
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.schema import Schema, TaskName

MOST_CELLS = 100_000_000


class PictureKernel(Baseline):
    """Ridge regression on a Gaussian kernel of picture features. `limit` counts rounds."""

    name = "picture_kernel"

    def __init__(
        self,
        reduction: Reduction,
        expansion: Expansion,
        classes: Array,
        labels: tuple[str, ...],
        **common: Any,
    ) -> None:
        super().__init__(labels, **common)
        self.reduction = reduction
        self.expansion = expansion
        self.classes = classes

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
        """Fit; gamma, penalty and the number of landmarks are chosen on validation."""
        labels = class_labels(schema, task_name)
        order = picture_order(known_targets(train, labels), labels, seed)
        reduction = Reduction.shared(train, seed)
        order = order[: MOST_CELLS // reduction.components.shape[1]]
        rounds = Rounds(train, order, labels, reduction, _judged(reduction, validation, seed))
        rounds.run(budget, counted(limit))
        return cls(
            reduction,
            rounds.best.expansion,
            rounds.classes,
            labels,
            limit=rounds.done,
            notes=rounds.notes(len(train)),
            settled=not rounds.stopped,
        )

    def raw(self, examples: Examples) -> Array:
        """(n, 1) or (n, K): numbers, or least squares' answers scaled to be log-odds."""
        raw = self.expansion(self.reduction.apply(examples))
        return spread_classes(raw, self.classes, len(self.labels)) if self.labels else raw

    def state(self) -> State:
        """Reduction, landmarks and coefficients as arrays."""
        arrays = {f"reduction.{name}": array for name, array in self.reduction.arrays().items()}
        expansion, gamma = self.expansion, self.expansion.landmarks.gamma
        arrays |= {
            "landmarks": expansion.landmarks.points,
            "coefficients": expansion.coefficients,
            "intercept": expansion.intercept,
            "classes": self.classes,
        }
        return arrays, {**self.config(), "gamma": gamma}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """PictureKernel from `state`."""
        landmarks = Landmarks(arrays["landmarks"], float(config["gamma"]))
        return cls(
            Reduction.of(arrays),
            Expansion(landmarks, arrays["coefficients"], arrays["intercept"]),
            arrays["classes"],
            **common(config),
        )


def _judged(
    reduction: Reduction, validation: Examples | None, seed: int
) -> tuple[Array, Array] | None:
    if validation is None or validation.targets is None or not len(validation):
        return None
    rows = judged_rows(len(validation), seed)
    return reduction.apply(validation, rows), validation.targets[rows]
