"""Causal attention: what was read of a text, who sees whom, and the products themselves."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.networks.language.family import Memory

SHORT = 512
"""Tokens up to which plain products are faster than PyTorch's fused kernel on a processor: its way
back is slow in bfloat16 (LOG.md)."""


class Heads(Memory):
    """Keys and values of what was read, `kept` (depth, 2, B, kv_heads, room, per_head)."""

    room: int

    def __init__(self, kept: Tensor) -> None:
        self.kept, self.length, self.room = kept, 0, kept.shape[4]

    def take(self, rows: Tensor) -> Heads:
        """Copies of some rows."""
        taken = Heads(self.kept.index_select(2, rows))
        taken.length = self.length
        return taken

    def add(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of a layer, the new ones (B, kv_heads, T, per_head) included.

        `length` stays until all layers have added theirs.
        """
        end = self.length + keys.shape[2]
        self.kept[layer, 0, :, :, self.length : end] = keys
        self.kept[layer, 1, :, :, self.length : end] = values
        return self.kept[layer, 0, :, :, :end], self.kept[layer, 1, :, :, :end]


class Place(NamedTuple):
    """Where the tokens of a pass stand: the angles of their positions, who sees whom, the memory.

    `angles` are the cosines and sines of `rotary.turned`, None for positions that are learned.
    """

    angles: tuple[Tensor, Tensor] | None
    mask: Tensor | None
    memory: Heads | None


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
