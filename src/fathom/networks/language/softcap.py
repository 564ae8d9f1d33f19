"""Softly capped logits (Gemma 2, arXiv 2408.00118) in few passes over them.

With a vocabulary of thousands the logits are the largest thing of a step by far, so that each
pass over them, and each fresh piece of memory for them, is felt.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def softcapped(logits: Tensor, cap: float) -> Tensor:
    """Logits as cap · tanh(logits / cap), float32, of the same shape; a cap of 0 is none."""
    if not cap:
        return logits.float()
    capped: Tensor = _Softcap.apply(logits, cap)  # type: ignore[no-untyped-call]
    return capped


class _Softcap(torch.autograd.Function):
    """Computed in place; what goes back needs the capped logits alone: 1 - (capped / cap)²."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, cap: float) -> Tensor:
        capped = logits.to(torch.float32, copy=True).div_(cap).tanh_().mul_(cap)
        ctx.save_for_backward(capped)
        ctx.cap, ctx.dtype = cap, logits.dtype
        return capped

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (capped,) = ctx.saved_tensors
        kept = capped.square().mul_(-(ctx.cap**-2)).add_(1.0)
        return kept.mul_(grads[0]).to(ctx.dtype), None
