"""Lists as text: the one way in which a list of values is written into a cell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

import numpy as np


def json_list(values: Iterable[Any]) -> str:
    """The values as a JSON list in their order, '["red", "blue"]', whatever they were held in.

    1, 1.0 and NumPy's 1 are one value, written 1. A set, which has no order, is sorted. What JSON
    does not know is written as text, NaN and infinity as null.
    """
    return json.dumps(_plain(values), ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float):
        return int(value) if value.is_integer() else value if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value), key=str)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
