"""Scaling: how numbers, alone or in series, become about 0 and 1 wide."""

from __future__ import annotations

import numpy as np

from fathom.core.prediction import Array

CLIP = 4.0
_FAR = 1e6  # beyond this, the clipped value is 4 in float32 anyway


def standardise(values: Array, center: float | Array, scale: float | Array) -> Array:
    """Bring values to z = (x - center) / scale, clipped smoothly to z / sqrt(1 + (z/4)²).

    That is nearly z below 1 and never beyond ±4 (arXiv 2407.04491). NaN stays NaN, and a value so
    far off that the division overflows is only as far off as any other.
    """
    with np.errstate(over="ignore"):
        z = np.clip((values - center) / scale, -_FAR, _FAR)
    return np.asarray(z / np.sqrt(1.0 + np.square(z / CLIP)))
