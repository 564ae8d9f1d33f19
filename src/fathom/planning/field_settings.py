"""Settings of single columns in a mixed network: `network.fields.COLUMN.KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec

from fathom.core.blocks import InputSpec
from fathom.core.errors import PlanError, nearest
from fathom.core.output import OutputSpec
from fathom.networks import FAMILIES, called
from fathom.networks.mixed import FieldSpec, rich
from fathom.planning.overrides import convert

PREFIX = "network.fields."
FAMILY = "family"


def is_of_field(key: str) -> bool:
    """Whether a setting is one of a single column."""
    return key.startswith(PREFIX)


def check_field_setting(key: str, value: Any) -> None:
    """Raise PlanError for a key that no column's network has, or a value that none would take."""
    _, name = _parted(key)
    if name == FAMILY:
        return
    specs = [spec for spec in get_args(FieldSpec) if name in spec.__struct_fields__]
    if not specs:
        known = {field: None for spec in get_args(FieldSpec) for field in spec.__struct_fields__}
        listed = ", ".join((FAMILY, *known))
        raise PlanError(
            f"There is no plan key {key!r}; a column's network has {listed}.{nearest(name, known)}"
        )
    wrong = None
    for spec in specs:
        try:
            convert({name: value}, spec, key.removesuffix(f".{name}"))
        except PlanError as error:
            wrong = error
        else:
            return
    assert wrong is not None
    raise wrong


def with_fields(
    tree: dict[str, Any],
    settings: Mapping[str, Any],
    *,
    inputs: InputSpec,
    output: OutputSpec,
    rows: int,
) -> dict[str, Any]:
    """The network section `tree` with the settings of single columns put in.

    A column whose family is set has that family's defaults for the keys that are not. Raises
    PlanError where there is no such column or key, or the network has no part for each column.
    """
    if not settings:
        return tree
    if "fields" not in tree:
        raise PlanError(
            f"{next(iter(settings))} is of the network family mixed, which has a part for each "
            f"column; this network is of the family {tree[FAMILY]}. With several columns set "
            "network=mixed, with one alone set network.KEY."
        )
    fields = dict(tree["fields"])
    families = [key for key in settings if _parted(key)[1] == FAMILY]
    for key in (*families, *(k for k in settings if k not in families)):
        column, name = _parted(key)
        if column not in fields:
            raise PlanError(
                f"{key} names {column!r}, which is no column of pictures, text, sound or series; "
                f"these are {', '.join(map(repr, fields))}.{nearest(column, fields)}"
            )
        if name == FAMILY:
            fields[column] = _of_family(
                key, str(settings[key]), column=column, inputs=inputs, output=output, rows=rows
            )
        elif name not in fields[column]:
            raise PlanError(
                f"There is no plan key {key!r}: the network of {column!r} is of the family "
                f"{fields[column][FAMILY]}, which has {', '.join(fields[column])}."
                f"{nearest(name, fields[column])}"
            )
        else:
            fields[column] = fields[column] | {name: settings[key]}
    return tree | {"fields": fields}


def _of_family(
    key: str, word: str, *, column: str, inputs: InputSpec, output: OutputSpec, rows: int
) -> dict[str, Any]:
    only = inputs.only(column)
    assert column in rich(inputs)
    family, settled = called(word, only)
    if FAMILIES[family].spec not in get_args(FieldSpec) or not FAMILIES[family].accepts(only):
        fitting = [
            name
            for name, other in FAMILIES.items()
            if other.spec in get_args(FieldSpec) and other.accepts(only)
        ]
        raise PlanError(f"{key} is {word!r}; for this column it may be {' or '.join(fitting)}.")
    spec, _ = FAMILIES[family].default_spec(only, output, rows)
    found: dict[str, Any] = msgspec.to_builtins(spec)
    return found | {k.removeprefix("network."): v for k, v in settled.items()}


def _parted(key: str) -> tuple[str, str]:
    """The column and the key within its network; a column's name may hold dots itself."""
    column, dot, name = key.removeprefix(PREFIX).rpartition(".")
    if not (column and dot and name):
        raise PlanError(f"{key} lacks a key: write {PREFIX}COLUMN.KEY, such as {key}.width.")
    return column, name
