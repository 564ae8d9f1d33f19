"""The space of a search: which keys of the plan are tried, and over which values.

Every range lies around the default for this data, so that the default itself is one of the trials.
A family of networks is searched by the names of its fields (`RULES`), so a new one needs no line
here. Keys that the user has fixed stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from fathom.core.blocks import InputSpec
from fathom.data.augment import AugmentSpec
from fathom.networks import FAMILIES
from fathom.planning.draft import Draft

FAMILY = "network.family"
# No dropout above one half, no decay that would outweigh what is learned.
MOST_DROPOUT, LEAST_DECAY, MOST_DECAY = 0.5, 1e-4, 0.3
RATE_FACTOR = 5.0
SMOOTHINGS = (0.0, 0.05, 0.1)
LEAST_BATCH, BATCHES_AN_EPOCH = 8, 8
WIDTH_STEP = 8


@dataclass(frozen=True)
class Dimension:
    """One key of the plan and its values: `choices`, or a range of any numbers."""

    key: str
    default: Any
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @property
    def told(self) -> str:
        """What was tried, in words."""
        if self.choices:
            return "among " + ", ".join(label(choice) for choice in self.choices)
        return f"from {self.low:.3g} to {self.high:.3g}"


def label(value: Any) -> str:
    """A value as one word: '32-64-128', '0.05', 'True'."""
    if isinstance(value, list | tuple):
        return "-".join(map(str, value))
    return str(value)


def families(draft: Draft, inputs: InputSpec) -> tuple[str, ...]:
    """The families worth trying, the draft's own first; it alone where the user has fixed it.

    For pictures these are the families that are made for pictures.
    """
    own = msgspec.to_builtins(draft.network)["family"]
    if FAMILY in draft.fixed or any(key.startswith("network.") for key in draft.fixed):
        return (own,)
    plain = InputSpec({k: b for k, b in inputs.blocks.items() if k not in inputs.images})
    fitting = [
        name
        for name, family in FAMILIES.items()
        if family.accepts(inputs) and not (inputs.images and family.accepts(plain))
    ]
    return (own, *(name for name in fitting if name != own))


def space(draft: Draft, rows: int, *, pictures: bool, classes: bool) -> list[Dimension]:
    """What is tried with the draft's family of networks, on `rows` training examples."""
    spec: dict[str, Any] = msgspec.to_builtins(draft.network)
    found = [
        dimension
        for name, value in spec.items()
        if name in RULES and (dimension := RULES[name](f"network.{name}", value)) is not None
    ]
    found += _of_training(draft, rows)
    if classes:
        smoothing = draft.task.label_smoothing
        choices = tuple(sorted({*SMOOTHINGS, smoothing}))
        found.append(Dimension("task.label_smoothing", smoothing, choices))
    if pictures:
        found += _of_augmentation(draft.augmentation)
    return [dimension for dimension in found if dimension.key not in draft.fixed]


def _of_training(draft: Draft, rows: int) -> list[Dimension]:
    optimizer, batch_size = draft.training.optimizer, draft.training.batch_size
    found = [_rate("training.optimizer.learning_rate", optimizer.learning_rate)]
    if optimizer.rest_learning_rate is not None:
        found.append(_rate("training.optimizer.rest_learning_rate", optimizer.rest_learning_rate))
    decay = optimizer.weight_decay
    if decay > 0:
        low, high = min(LEAST_DECAY, decay), max(MOST_DECAY, decay)
        found.append(
            Dimension("training.optimizer.weight_decay", decay, low=low, high=high, log=True)
        )
    most = max(batch_size, rows // BATCHES_AN_EPOCH)
    sizes = {n for n in (batch_size // 2, batch_size * 2) if LEAST_BATCH <= n <= most}
    choices = tuple(sorted({*sizes, batch_size}))
    found.append(Dimension("training.batch_size", batch_size, choices))
    return found


def _rate(key: str, default: float) -> Dimension:
    low, high = default / RATE_FACTOR, min(default * RATE_FACTOR, max(1.0, default))
    return Dimension(key, default, low=low, high=high, log=True)


def _of_augmentation(augmentation: AugmentSpec) -> list[Dimension]:
    """Whether pictures may be mirrored is not searched for: `planning.flips` looks at that."""
    shift = augmentation.shift
    shares = ("zoom", "brightness", "contrast")
    found = [Dimension("augmentation.shift", shift, tuple(sorted({0, shift, 2 * shift or 1})))]
    for name in shares:
        value = getattr(augmentation, name)
        choices = tuple(sorted({0.0, 0.1, 0.2, value}))
        found.append(Dimension(f"augmentation.{name}", value, choices))
    return found


def _width(key: str, value: int) -> Dimension:
    sizes = {_aligned(value * factor) for factor in (0.5, 1.5, 2.0)}
    return Dimension(key, value, tuple(sorted({*sizes, value})))


def _widths(key: str, value: list[int]) -> Dimension:
    scaled = {tuple(_aligned(v * f) for v in value) for f in (0.5, 0.75, 1.5)}
    return Dimension(key, tuple(value), tuple(sorted({*scaled, tuple(value)})))


def _aligned(width: float) -> int:
    """A width that processors like: a multiple of eight."""
    return max(WIDTH_STEP, round(width / WIDTH_STEP) * WIDTH_STEP)


def _depth(key: str, value: int) -> Dimension:
    return Dimension(key, value, tuple(range(max(min(1, value), value - 1), value + 3)))


def _dropout(key: str, value: float) -> Dimension:
    return Dimension(key, value, low=0.0, high=max(MOST_DROPOUT, value))


def _embedding(key: str, value: int) -> Dimension:
    return Dimension(key, value, tuple(sorted({max(4, value // 2), value, value * 2})))


RULES: Mapping[str, Callable[[str, Any], Dimension | None]] = {
    "width": _width,
    "widths": _widths,
    "depth": _depth,
    "dropout": _dropout,
    "field_dropout": _dropout,
    "token_dropout": _dropout,
    "embed_dim": _embedding,
}
"""Name of a spec's field to the dimension around its default."""
