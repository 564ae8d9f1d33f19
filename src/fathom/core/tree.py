"""Nested dictionaries as one: the keys of their values, joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def leaves(
    tree: Mapping[str, Any], prefix: str = "", separator: str = "."
) -> Iterator[tuple[str, Any]]:
    """{'a': {'b': 1}} as ('a.b', 1), each key behind `prefix`; an empty dictionary is a value."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from leaves(value, name + separator, separator)
        else:
            yield name, value
