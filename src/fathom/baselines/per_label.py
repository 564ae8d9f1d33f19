"""Several labels at once by any baseline: one model for each label, against all that lack it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import msgspec
import numpy as np
from scipy.special import expit

from fathom.baselines.base import Baseline, Limit, State, common
from fathom.baselines.recipe import Extent, Recipe
from fathom.core.budget import Budget
from fathom.core.errors import DataError, PlanError
from fathom.core.examples import Examples
from fathom.core.prediction import Array, LabelsPrediction
from fathom.core.schema import CategoryStatistics, Schema, TaskName

LACKS, HAS = "no", "yes"
MOST_NOTES = 3
FARTHEST = 700.0  # log-odds, beyond which a probability is 0 or 1 in float64


class PerLabel(Baseline):
    """`models` hold a fitted baseline of one kind for each of `labels`, and are called as it is.

    `limit` is the limits of the models; `settled` where all of them are. One temperature serves all
    labels, as it does in the network.
    """

    def __init__(
        self, models: Sequence[Baseline], labels: tuple[str, ...], temperature: float = 1.0
    ) -> None:
        super().__init__(
            labels,
            notes=_notes(models, labels),
            settled=all(model.settled for model in models),
            temperature=temperature,
        )
        self.limit = tuple(model.limit for model in models)  # type: ignore[misc]
        self.models = tuple(models)
        self.name = models[0].name

    @classmethod
    def fit_each(
        cls,
        kind: type[Baseline],
        train: Examples,
        schema: Schema,
        *,
        seed: int,
        budget: Budget,
        limits: Sequence[Extent] | None = None,
        validation: Examples | None = None,
    ) -> Self:
        """Fit `kind` once for each label; each may use an even share of the time that is left.

        Raises DataError where no targets are known, PlanError for limits of another number.
        """
        labels = schema.labels
        if train.targets is None or len(train) == 0:
            raise DataError("A baseline needs rows whose target is known; there are none.")
        if limits is not None and len(limits) != len(labels):
            raise PlanError(
                f"The plan's baselines.{kind.name} has {len(limits)} limits for {len(labels)} "
                "labels; give one for each, or null to fit as long as it helps."
            )
        yes_no = _yes_no(schema)
        models = []
        for k in range(len(labels)):
            model = kind.fit(
                _of_label(train, k),
                yes_no,
                "classification",
                seed=seed,
                budget=budget.share(budget.remaining / (len(labels) - k)),
                limit=None if limits is None else limits[k],
                validation=None if validation is None else _of_label(validation, k),
            )
            models.append(model)
        return cls(models, labels)

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
        """Not by itself: see `fit_each`, which is told what to fit."""
        raise TypeError("PerLabel is fitted by fit_each")

    def raw(self, examples: Examples) -> Array:
        """Log-odds of each label, (n, K) float64."""
        return np.column_stack([_log_odds(model.raw(examples)) for model in self.models])

    def predict(self, examples: Examples) -> LabelsPrediction:
        """Predictions for n examples, in their order."""
        return LabelsPrediction(self.labels, expit(self.raw(examples) / self.temperature))

    def state(self) -> State:
        """The arrays of all models, each under the number of its label; their configurations."""
        arrays: dict[str, Array] = {}
        configs = []
        for k, model in enumerate(self.models):
            of_model, config = model.state()
            arrays |= {f"{k}.{name}": array for name, array in of_model.items()}
            configs.append(config)
        return arrays, self.config() | {"models": configs}

    @classmethod
    def of_state(
        cls, kind: type[Baseline], arrays: Mapping[str, Array], config: Mapping[str, Any]
    ) -> Self:
        """PerLabel from `state`, of models of `kind`."""
        models = []
        for k, of_model in enumerate(config["models"]):
            own = {n.partition(".")[2]: a for n, a in arrays.items() if n.startswith(f"{k}.")}
            models.append(kind.from_state(own, of_model))
        shared = common(dict(config))
        return cls(models, shared["labels"], shared["temperature"])

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Not by itself: see `of_state`."""
        raise TypeError("PerLabel is read by of_state")


def _yes_no(schema: Schema) -> Schema:
    """The schema with a target of two classes: a label is lacking, or it holds."""
    statistics = CategoryStatistics((LACKS, HAS), (0, 0))
    fields = tuple(
        msgspec.structs.replace(f, statistics=statistics) if f.role == "target" else f
        for f in schema.fields
    )
    return msgspec.structs.replace(schema, task="classification", fields=fields, label_reading=None)


def _of_label(examples: Examples, k: int) -> Examples:
    targets = None if examples.targets is None else examples.targets[:, k].astype(np.int64)
    return replace(examples, targets=targets)


def _log_odds(raw: Array) -> Array:
    """Log-odds (n,) from what a model of two classes says: (n, 1) of them, or two logits (n, 2)."""
    odds = raw[:, 0] if raw.shape[1] == 1 else raw[:, 1] - raw[:, 0]
    clipped: Array = np.clip(odds, -FARTHEST, FARTHEST)
    return clipped


def _notes(models: Sequence[Baseline], labels: tuple[str, ...]) -> tuple[str, ...]:
    """Each note once, with the labels whose model it is of."""
    of_note: dict[str, list[str]] = {}
    for model, label in zip(models, labels, strict=True):
        for note in model.notes:
            of_note.setdefault(note, []).append(label)
    told = [
        f"{note.rstrip('.')} (for {len(named)} of {len(labels)} labels, first {named[0]})."
        for note, named in of_note.items()
    ]
    more = [f"And {len(told) - MOST_NOTES} more such notes on single labels."]
    return tuple(told if len(told) <= MOST_NOTES else told[:MOST_NOTES] + more)


def limits_of(limit: Limit) -> tuple[Extent, ...] | None:
    """The limits of all labels, None where each fits as long as it helps.

    Raises PlanError for a single one, which would not say whose it is.
    """
    if isinstance(limit, int | Recipe):
        what = f"limit of {limit} is one number" if isinstance(limit, int) else "recipe is one"
        raise PlanError(
            f"A baseline's {what}, and several labels take one each: give a list, or null to fit "
            "as long as it helps."
        )
    return limit
