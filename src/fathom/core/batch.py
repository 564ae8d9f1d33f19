"""Batch: what one training step sees. Tensors on the device that computes."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

# In `Batch.extra`, where pictures hold patches of others: the targets (B, ...) of those others, and
# the share (B,) float32 of each picture that its patch takes.
PATCH_TARGETS, PATCH_SHARE = "patch_targets", "patch_share"


@dataclass(frozen=True)
class Batch:
    """B examples. `inputs` maps block names to tensors with first axis B; `targets` is (B,).

    `indices` (B,) int64 are positions in the source; `extra` holds what a task needs besides
    (actions, advantages, log-probabilities of a rollout; see PATCH_TARGETS).
    """

    inputs: dict[str, Tensor]
    targets: Tensor | None = None
    indices: Tensor | None = None
    extra: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))
