"""Traditional methods beside the network; each a Predictor whose state is arrays."""

from __future__ import annotations

from typing import Any

from fathom.baselines.base import Baseline, Limit, check_limit
from fathom.baselines.boosting import Boosting
from fathom.baselines.constant import Constant
from fathom.baselines.linear import Linear
from fathom.baselines.mixture import Mixture
from fathom.baselines.per_label import PerLabel, limits_of
from fathom.baselines.picture_boosting import PictureBoosting
from fathom.baselines.picture_kernel import PictureKernel
from fathom.baselines.pictures import Pictures
from fathom.baselines.series import Series
from fathom.baselines.sounds import Sounds
from fathom.baselines.texts import Texts
from fathom.core.budget import Budget
from fathom.core.errors import PlanError
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.registry import Registry
from fathom.core.schema import Schema, TaskName

__all__ = ["BASELINES", "Baseline", "Limit", "applicable", "baseline_from_state", "fit_baseline"]

BASELINES: Registry[type[Baseline]] = Registry("baseline")
for _baseline in (
    Constant,
    Linear,
    Boosting,
    Pictures,
    PictureKernel,
    PictureBoosting,
    Texts,
    Series,
    Sounds,
    Mixture,
):
    BASELINES.register(_baseline.name)(_baseline)


def applicable(schema: Schema) -> list[str]:
    """The baselines that can learn from these fields, the cheapest first.

    In a mixture `linear` and `boosting` see the scalar columns, `pictures` and `picture_kernel` the
    pictures, `picture_boosting` both; `texts`, `series` and `audio` see the texts, the series or
    the sounds, and the scalar columns; `mixture` sees all.
    """
    names = ["constant"]
    scalar = schema.of_kind("number", "category", "boolean", "time")
    if scalar:
        names += ["linear", "boosting"]
    if schema.of_kind("text"):
        names += ["texts"]
    if schema.of_kind("image"):
        names += ["pictures", "picture_kernel", "picture_boosting"]
    if schema.of_kind("series"):
        names += ["series"]
    if schema.of_kind("audio"):
        names += ["audio"]
    if Mixture.applies(schema):
        names += ["mixture"]
    return names


def fit_baseline(
    name: str,
    train: Examples,
    schema: Schema,
    task_name: TaskName,
    *,
    seed: int,
    budget: Budget,
    limit: Limit = None,
    validation: Examples | None = None,
) -> Baseline:
    """Fit the baseline called `name`; see `Baseline.fit`.

    Raises PlanError for an unknown name, or a limit that is too small.
    """
    kind = BASELINES[name]
    if task_name == "multilabel":
        limits = limits_of(limit)
        for each in limits or ():
            check_limit(kind, each)
        return PerLabel.fit_each(
            kind, train, schema, seed=seed, budget=budget, limits=limits, validation=validation
        )
    if isinstance(limit, tuple):
        raise PlanError(f"The plan's baselines.{name} lists limits; it takes one.")
    check_limit(kind, limit)
    return kind.fit(
        train,
        schema,
        task_name,
        seed=seed,
        budget=budget,
        limit=limit,
        validation=validation,
    )


def baseline_from_state(name: str, arrays: dict[str, Array], config: dict[str, Any]) -> Baseline:
    """The baseline that was saved by `state()` under `name`; it predicts exactly the same."""
    if "models" in config:
        return PerLabel.of_state(BASELINES[name], arrays, config)
    return BASELINES[name].from_state(arrays, config)
