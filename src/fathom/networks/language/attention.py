"""Causal attention: what was read of a text, who sees whom, and the products themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.networks.language.family import Memory

SHORT = 512
"""Tokens up to which plain products are faster than PyTorch's fused kernel on a processor: its way
back is slow in bfloat16 (LOG.md)."""


class Heads(Memory):
    """Keys and values of what was read: of each layer two tensors (B, kv_heads, room, per_head)."""

    room: int

    def __init__(self, layers: Sequence[tuple[Tensor, Tensor]], length: int = 0) -> None:
        self.layers, self.length, self.room = layers, length, layers[0][0].shape[2]

    def take(self, rows: Tensor) -> Heads:
        """Copies of some rows."""
        taken = [(k.index_select(0, rows), v.index_select(0, rows)) for k, v in self.layers]
        return Heads(taken, self.length)

    def add(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, the new ones (B, kv_heads, T, per_head) included.

        `length` stays until all layers have added theirs.
        """
        count, (known, meant) = keys.shape[2], self.layers[layer]
        known.narrow(2, self.length, count).copy_(keys)
        meant.narrow(2, self.length, count).copy_(values)
        end = self.length + count
        return known.narrow(2, 0, end), meant.narrow(2, 0, end)


class Place(NamedTuple):
    """Where the tokens of a pass stand: the angles of their positions, who sees whom, the memory.

    `angles` are the cosines and sines of `rotary.turned`, None for positions that are learned;
    `packed` tells whether single tokens go through packed matrices.
    """

    angles: tuple[Tensor, Tensor] | None
    mask: Tensor | None
    memory: Heads | None
    packed: bool = False


def causal_mask(count: int, begin: int, like: Tensor) -> Tensor | None:
    """What is added to the scores of `count` tokens behind `begin` others, (count, begin + count).

    0 for what is seen and -inf for what comes later, of the type and device of `like`. None where
    there is nothing to hide, or the fused kernel hides it by itself.
    """
    if count == 1 or (begin == 0 and not _plain(like, count)):
        return None
    shape = (count, begin + count)
    full = torch.full(shape, float("-inf"), dtype=like.dtype, device=like.device)
    return full.triu(begin + 1)


def _plain(x: Tensor, length: int) -> bool:
    return x.device.type == "cpu" and length <= SHORT


class CausalAttend(nn.Module):
    """Scaled dot-product attention to what came before; nothing is learned in it."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Queries (B, H, T, D), keys and values (B, H, S, D) to (B, H, T, D).

        `mask` (T, S) is that of `causal_mask`.
        """
        if _plain(k, k.shape[2]) and q.shape[2] > 1:
            scores = (q * q.shape[3] ** -0.5) @ k.transpose(2, 3)
            if mask is not None:
                scores = scores + mask
            mixed: Tensor = scores.softmax(dim=3).to(v.dtype) @ v
            return mixed
        hides = mask is None and q.shape[2] > 1
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=hides)
