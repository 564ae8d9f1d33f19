"""Early: settings checked before any data is read, so that a slip costs no minute of a budget.

Which networks suit the data is not known yet: a setting is refused where no family would take it.
What depends on other keys, or on the data, is checked with the draft.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

from msgspec import Struct

from fathom.core.errors import PlanError
from fathom.data.augment import AugmentSpec
from fathom.networks import FAMILIES, may_mean
from fathom.planning.field_settings import check_field_setting, is_of_field
from fathom.planning.overrides import convert, full_key
from fathom.planning.plan import InferencePlan, TaskPlan
from fathom.training.optimizers import OPTIMIZERS
from fathom.training.settings import TrainingSpec

_FAMILY_KEYS = ("network", "network.family")
_SECTIONS: dict[str, type[Struct]] = {
    "training": TrainingSpec,
    "augmentation": AugmentSpec,
    "task": TaskPlan,
    "inference": InferencePlan,
}


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise PlanError for a key that no plan has, and for a value of another type than its own."""
    chosen = next((str(settings[key]) for key in _FAMILY_KEYS if key in settings), None)
    specs = [FAMILIES[name] for name in (may_mean(chosen) if chosen else FAMILIES)]
    plans = [
        {"network.family": str} | kinds_of({"network": family.spec} | _SECTIONS) for family in specs
    ]
    for key, value in settings.items():
        if is_of_field(str(key)):
            check_field_setting(str(key), value)
        elif key not in _FAMILY_KEYS:
            check_setting(str(key), value, plans)


def check_setting(key: str, value: Any, plans: list[dict[str, Any]]) -> None:
    """Raise what is wrong with one setting in all `plans`, dotted keys to types."""
    wrong: PlanError | None = None
    for kinds in plans:
        known = list(kinds)
        try:
            name = full_key(key, known)
        except PlanError:
            continue
        try:
            convert(value, kinds[name], name)
            if name == "training.optimizer.name":
                OPTIMIZERS[str(value)]
        except PlanError as error:
            wrong = error
        else:
            return
    if wrong is None:  # no plan has it: the nearest key of all of them is named
        full_key(key, list(dict.fromkeys(name for kinds in plans for name in kinds)))
    else:
        raise wrong


def kinds_of(sections: Mapping[str, type[Struct]]) -> dict[str, Any]:
    """Dotted keys to their types, in sections and in the structs that these hold."""
    found: dict[str, Any] = {}
    for section, spec in sections.items():
        for field, kind in get_type_hints(spec).items():
            key = f"{section}.{field}"
            if isinstance(kind, type) and issubclass(kind, Struct):
                found |= kinds_of({key: kind})
            elif field in spec.__struct_fields__:
                found[key] = kind
    return found
