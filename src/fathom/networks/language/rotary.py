"""Rotary positions: pairs of numbers turned by angles that grow with the place.

What two places compare is then how far apart they stand (Su et al. 2021, arXiv 2104.09864).
"""

from __future__ import annotations

import math

import torch
from msgspec import Struct
from torch import Tensor

from fathom.core.errors import PlanError


class RopeScaling(Struct, frozen=True, forbid_unknown_fields=True):
    """How Llama 3.1 stretches slow angles for longer texts than it was first trained on.

    Angles that turn less than `low` times within `original` tokens are divided by `factor`, those
    that turn more than `high` times stay, and between the two it changes smoothly. Raises PlanError
    for values that cannot be meant.
    """

    factor: float
    low: float
    high: float
    original: int

    def __post_init__(self) -> None:
        """Check every field."""
        for key, holds, wanted in (
            ("factor", 1 <= self.factor < math.inf, "at least 1"),
            ("low", 0 <= self.low < math.inf, "at least 0"),
            ("high", self.low < self.high < math.inf, "above network.rope_scaling.low"),
            ("original", self.original >= 1, "at least 1"),
        ):
            if not holds:
                raise PlanError(
                    f"network.rope_scaling.{key} is {getattr(self, key)}, but it must be {wanted}."
                )


def angles(
    length: int, size: int, base: float, scaling: RopeScaling | None = None
) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, size / 2) float32; a place turns pair i by base^(-2i / size).

    Each step rounds as transformers' does: far into a text, a last digit of a rate that is another
    would be another angle.
    """
    rates = 1 / base ** (torch.arange(0, size, 2, dtype=torch.float32) / size)
    if scaling is not None:
        rates = _stretched(rates, scaling)
    turns = torch.arange(length, dtype=torch.float32)[:, None] * rates
    return turns.cos(), turns.sin()


def _stretched(rates: Tensor, scaling: RopeScaling) -> Tensor:
    turns = scaling.original / (2 * math.pi / rates)
    kept = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    return (1 - kept) * rates / scaling.factor + kept * rates


def turns(cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, D / 2) as `turned` wants them, (length, 1, D)."""
    return torch.cat([cos, cos], dim=1)[:, None], torch.cat([-sin, sin], dim=1)[:, None]


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Heads (B, T, H, D) turned; the pairs are (i, i + D / 2), `cos` and `sin` those of `turns`.

    In three passes over x, where pairs taken apart and put together again would be seven.
    """
    return torch.addcmul(x * cos, x.roll(x.shape[3] // 2, dims=3), sin)
