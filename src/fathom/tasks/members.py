"""Networks that are k networks in one learn as k: each output is held against the target."""

from __future__ import annotations

from torch import Tensor


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
