"""Blocks of attention and perceptron, which networks of patches and of steps are made of.

Pre-norm (Xiong et al. 2020, arXiv 2002.04745), with residual branches that start small (Touvron et
al. 2021, arXiv 2103.17239).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXPANSION = 4  # hidden units of a block's perceptron, per channel


class Attend(nn.Module):
    """Scaled dot-product attention over `num_heads` heads; nothing is learned in it.

    It is fused, but for short sequences on a processor: there PyTorch's fused kernel takes nine
    times as long backwards in bfloat16 as plain products (LOG.md). `rotary` turns queries and keys
    by their places, so that what is compared is how far apart they stand (Su et al. 2021, arXiv
    2104.09864).
    """

    SHORT = 512
    BASE = 10_000.0

    def __init__(self, num_heads: int, *, rotary: bool = False) -> None:
        super().__init__()
        self.num_heads, self.rotary = num_heads, rotary

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Each of (B, N, width); so is what comes out. Only places in `mask` (B, N) are seen."""
        heads = (self.num_heads, query.shape[2] // self.num_heads)
        q, k, v = (
            x.view(len(x), x.shape[1], *heads).transpose(1, 2) for x in (query, key, value)
        )  # (B, heads, N, width / heads)
        if self.rotary:
            q, k = turned(q, self.BASE), turned(k, self.BASE)
        seen = None if mask is None else mask[:, None, None, :]
        if q.device.type == "cpu" and q.shape[2] <= self.SHORT:
            scores = q * q.shape[3] ** -0.5 @ k.transpose(2, 3)
            if seen is not None:
                scores = scores.masked_fill(~seen, float("-inf"))
            mixed: Tensor = scores.softmax(dim=3).to(v.dtype) @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
        return mixed.transpose(1, 2).flatten(2)


def turned(heads: Tensor, base: float) -> Tensor:
    """Pairs of the numbers of (B, heads, N, D) turned by angles that grow with the place.

    The pairs are (i, i + D / 2); their angles a place run from 1 down to about 1 / base.
    """
    half = heads.shape[3] // 2
    rates = base ** (-torch.arange(half, device=heads.device) / half)
    angles = torch.arange(heads.shape[2], device=heads.device)[:, None] * rates  # (N, D / 2)
    cos, sin = angles.cos().to(heads.dtype), angles.sin().to(heads.dtype)
    first, second = heads[..., :half], heads[..., half:]
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=3)


class Attention(nn.Module):
    """Every place gathers what it needs from all others: (B, N, width) to the same shape."""

    def __init__(self, width: int, num_heads: int, *, rotary: bool = False) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        # Three matrices, because Muon orthogonalises each by itself.
        self.query, self.key, self.value, self.out = (_linear(width, width) for _ in "qkvo")
        self.attend = Attend(num_heads, rotary=rotary)

    def forward(self, places: Tensor, mask: Tensor | None = None) -> Tensor:
        """What is added to each place."""
        x = self.norm(places)
        mixed = self.attend(self.query(x), self.key(x), self.value(x), mask)
        added: Tensor = self.out(mixed)
        return added


class Perceptron(nn.Module):
    """Two layers over each place by itself: (B, N, width) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = _linear(width, EXPANSION * width)
        self.activation = nn.ReLU()
        self.down = _linear(EXPANSION * width, width)

    def forward(self, places: Tensor) -> Tensor:
        """What is added to each place."""
        # Places become rows, so that the axis after the first counts units everywhere.
        rows = self.norm(places).flatten(0, 1)
        changed: Tensor = self.down(self.activation(self.up(rows)))
        return changed.view_as(places)


class Block(nn.Module):
    """Attention, then a perceptron; the result of each is added to what came in.

    `layer_scale` is what the branches start at, 0 for one; `skipped` the chance that an example
    skips a branch in training (Huang et al. 2016, arXiv 1603.09382); `dropout` zeroes single
    numbers of what a branch adds.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        *,
        layer_scale: float = 0.0,
        skipped: float = 0.0,
        dropout: float = 0.0,
        rotary: bool = False,
    ) -> None:
        super().__init__()
        self.attention = Attention(width, num_heads, rotary=rotary)
        self.perceptron = Perceptron(width)
        self.skipped = skipped
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.scales = nn.Parameter(torch.full((2, width), layer_scale)) if layer_scale else None

    def forward(self, places: Tensor, mask: Tensor | None = None) -> Tensor:
        """Places (B, N, width); of those outside of `mask` (B, N) nothing is gathered."""
        places = places + self._kept(self.attention(places, mask), 0)
        return places + self._kept(self.perceptron(places), 1)

    def _kept(self, change: Tensor, branch: int) -> Tensor:
        """Scaled; in training, nothing for some examples, and more for the others in turn."""
        change = self.dropout(change)
        if self.scales is not None:
            change = change * self.scales[branch].to(change.dtype)
        if not self.training or not self.skipped:
            return change
        stays = torch.rand(len(change), 1, 1, device=change.device) >= self.skipped
        return change * stays / (1 - self.skipped)


def _linear(before: int, after: int) -> nn.Linear:
    linear = nn.Linear(before, after)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
