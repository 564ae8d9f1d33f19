"""Defaults: what suits a kind of data and a number of rows, and why. Found on validation splits."""

from __future__ import annotations

from dataclasses import dataclass

from fathom.data.augment import AugmentSpec
from fathom.networks import FAMILIES, NetworkSpec, default_spec
from fathom.planning.environment import cores, has_fast_bfloat16
from fathom.planning.plan import TaskPlan
from fathom.planning.prepare import Prepared
from fathom.training.settings import OptimizerSpec, TrainingSpec


@dataclass(frozen=True)
class Defaults:
    """The sections of a plan before settings and probe; `why` maps dotted keys to sentences."""

    network: NetworkSpec
    training: TrainingSpec
    augmentation: AugmentSpec
    task: TaskPlan
    why: dict[str, str]
    most_epochs: int


def defaults_for(prepared: Prepared, rows: int, family: str | None, device: str) -> Defaults:
    """Defaults for `rows` training examples of this data and a network family (None: the best)."""
    inputs, output = prepared.inputs, prepared.output
    choose = FAMILIES[family].default_spec if family else default_spec
    network, reasons = choose(inputs, output, rows)
    why = {f"network.{field}": sentence for field, sentence in reasons.items()}
    pictures = bool(inputs.images)
    batch_size = _batch_size(rows, pictures)
    training = TrainingSpec(
        steps=1,
        batch_size=batch_size,
        optimizer=OptimizerSpec(),
        precision="bfloat16" if has_fast_bfloat16(device) else "float32",
        channels_last=pictures,
        threads=cores(),
    )
    why["training.batch_size"] = f"{batch_size} examples a step suit {rows:,} training examples."
    side = min((min(b.height, b.width) for b in inputs.images.values()), default=0)
    augmentation = AugmentSpec(shift=side // 12 if side else 0)
    if side:
        why["augmentation.shift"] = "A picture moved by a twelfth of its side means the same."
    smoothing = 0.1 if pictures and output.form == "classes" else 0.0
    return Defaults(network, training, augmentation, TaskPlan(smoothing), why, _most_epochs(rows))


def _batch_size(rows: int, pictures: bool) -> int:
    """A power of two that leaves at least some 16 steps an epoch."""
    size = 32
    while size * 2 * 16 <= rows and size < (256 if pictures else 512):
        size *= 2
    return size


def _most_epochs(rows: int) -> int:
    """After so many epochs validation no longer improves: few for many rows."""
    return int(min(300, max(20, 300_000 / rows)))
