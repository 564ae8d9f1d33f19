"""The mean loss that tasks share: over examples, members of a network, and patched pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fathom.core.batch import PATCH_SHARE, PATCH_TARGETS, Batch


def mean_loss(losses: Callable[[Tensor, Tensor], Tensor], outputs: Tensor, batch: Batch) -> Tensor:
    """The mean of `losses(outputs, targets)`, (n, ...) and (n, ...) to (n,), over the batch.

    Where pictures hold patches of others, both targets count, each with its share of the picture.
    Raises ValueError for a batch without targets.
    """
    if batch.targets is None:
        raise ValueError("a batch without targets cannot be learned from")
    flat, targets = by_member(outputs, batch.targets)
    loss = losses(flat, targets)
    if PATCH_SHARE in batch.extra:
        _, others = by_member(outputs, batch.extra[PATCH_TARGETS])
        _, share = by_member(outputs, batch.extra[PATCH_SHARE])
        loss = torch.lerp(loss, losses(flat, others), share)
    return loss.mean()


def by_member(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (B, size) and targets (B, ...) as they are; those of k members one below the other.

    With outputs (B, k, size) each target is repeated k times, and the mean over rows is the mean
    over examples and members. Where every example is learned by m of the members only, outputs are
    (B m / k, k, size) in the order of the examples, and each target is repeated m times.
    """
    if outputs.ndim < 3:
        return outputs, targets
    flat = outputs.flatten(0, 1)
    return flat, targets.repeat_interleave(len(flat) // len(targets), dim=0)
