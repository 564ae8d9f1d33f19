"""Draft: the plan's choices before anything is timed: defaults for the data, then settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from fathom.data.augment import AugmentSpec
from fathom.networks import NetworkSpec, called
from fathom.planning.defaults import Defaults, defaults_for, pretrained_defaults
from fathom.planning.field_settings import is_of_field, with_fields
from fathom.planning.overrides import apply_settings, convert, full_key, keys_of
from fathom.planning.plan import InferencePlan, TaskPlan
from fathom.planning.prepare import Prepared
from fathom.planning.request import Request
from fathom.training.optimizers import OPTIMIZERS
from fathom.training.settings import TrainingSpec

_FAMILY_KEYS = ("network", "network.family")
_TUNE_KEYS = ("tune", "network.tune")
_OPTIMIZER_KEYS = ("optimizer", "optimizer.name", "training.optimizer.name")


@dataclass(frozen=True)
class Draft:
    """Typed sections of a plan to be. `fixed` are the dotted keys that the user has set."""

    network: NetworkSpec
    training: TrainingSpec
    augmentation: AugmentSpec
    task: TaskPlan
    inference: InferencePlan
    why: dict[str, str]
    fixed: frozenset[str]
    most_epochs: int
    may_flip: bool


def make_draft(
    request: Request, prepared: Prepared, *, family: str | None = None, tune: bool = True
) -> Draft:
    """Defaults for this data, changed by the user's settings. Raises PlanError.

    `family` of networks is what is tried where the user has not chosen one; of a pretrained one
    `tune` tells whether all of it is trained on.
    """
    name = _asked(request.settings, _FAMILY_KEYS)
    chosen, settled = called(name, prepared.inputs) if name else (None, {})
    optimizer = _asked(request.settings, _OPTIMIZER_KEYS)
    if optimizer:
        OPTIMIZERS[optimizer]  # an unknown one is answered with those that there are
    rows, backbone = len(prepared.examples["train"]), prepared.start.backbone
    if backbone is not None and (chosen or family) == "pretrained":
        asked = _asked(request.settings, _TUNE_KEYS)
        tune = tune if asked is None else asked == "True"
        defaults = pretrained_defaults(
            prepared.inputs,
            prepared.output,
            rows,
            backbone=backbone,
            tune=tune,
            device=request.device,
        )
    else:
        defaults = defaults_for(
            prepared, rows, family=chosen or family, optimizer=optimizer, device=request.device
        )
    settings = {k: v for k, v in request.settings.items() if k not in _FAMILY_KEYS} | settled
    of_fields = {k: v for k, v in settings.items() if is_of_field(k)}
    settings = {k: v for k, v in settings.items() if k not in of_fields}
    tree = apply_settings(_tree(defaults), settings)
    tree["network"] = with_fields(
        tree["network"],
        of_fields,
        inputs=prepared.inputs,
        output=prepared.output,
        rows=len(prepared.examples["train"]),
    )
    fixed = {full_key(key, keys_of(_tree(defaults))) for key in settings} | set(of_fields)
    if chosen:
        fixed.add("network.family")
    why = {k: v for k, v in defaults.why.items() if k not in fixed}
    return Draft(
        network=convert(tree["network"], NetworkSpec, "network"),
        training=convert(tree["training"], TrainingSpec, "training"),
        augmentation=convert(tree["augmentation"], AugmentSpec, "augmentation"),
        task=convert(tree["task"], TaskPlan, "task"),
        inference=convert(tree["inference"], InferencePlan, "inference"),
        why=why | dict.fromkeys(sorted(fixed), "was set by the user."),
        fixed=frozenset(fixed),
        most_epochs=defaults.most_epochs,
        may_flip=bool(prepared.inputs.images)
        and "augmentation.flip" not in fixed
        and (chosen or family) != "pretrained",
    )


def _tree(defaults: Defaults) -> dict[str, Any]:
    return {
        "network": msgspec.to_builtins(defaults.network),
        "training": msgspec.to_builtins(defaults.training),
        "augmentation": msgspec.to_builtins(defaults.augmentation),
        "task": msgspec.to_builtins(defaults.task),
        "inference": msgspec.to_builtins(defaults.inference),
    }


def _asked(settings: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    """What the user set under one of the keys, if anything."""
    return next((str(settings[key]) for key in keys if key in settings), None)
