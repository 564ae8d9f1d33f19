"""Block: attention and a perceptron over tokens, which a GPT is a stack of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.networks.language.attention import CausalAttend, Place
from fathom.networks.language.gpt_spec import BIASED, GptSpec
from fathom.networks.language.packed import Packed
from fathom.networks.language.rotary import turned


class Norm(nn.Module):
    """RMS or layer normalization, without weights unless the spec wants them."""

    epsilon: Tensor

    def __init__(self, spec: GptSpec) -> None:
        super().__init__()
        self.layer = spec.normalization == "layer"
        self.shape, self.least = (spec.width,), spec.epsilon
        self.weight = nn.Parameter(torch.ones(self.shape)) if spec.norm_scale else None
        moved = self.layer and spec.norm_scale and "norm" in BIASED[spec.bias]
        self.bias = nn.Parameter(torch.zeros(self.shape)) if moved else None
        self.register_buffer("epsilon", torch.tensor(spec.epsilon), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape and type."""
        weight = None if self.weight is None else self.weight.to(x.dtype)
        if self.layer:
            bias = None if self.bias is None else self.bias.to(x.dtype)
            return F.layer_norm(x, self.shape, weight, bias, self.least)
        normed = rms_normed(x, self.epsilon)
        return normed if weight is None else normed * weight


def rms_normed(x: Tensor, epsilon: Tensor) -> Tensor:
    """The last axis brought to a mean square of one; `epsilon` () float32 is added to it before.

    On a processor F.rms_norm is a dozen passes, forwards and back. Of a single token what counts is
    how many operations are called, of many how often their numbers are gone through; a number that
    is no tensor yet would be made one in each call.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    square = torch.addcmul(epsilon, length, length, value=1 / x.shape[-1])
    return x * square.rsqrt().to(x.dtype)


class SelfAttention(nn.Module):
    """Every token gathers what it needs from those before it: (B, T, width) to the same shape."""

    epsilon: Tensor

    def __init__(self, spec: GptSpec, layer: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = spec.num_heads, spec.kv_heads, spec.per_head
        self.layer, self.qk_norm = layer, spec.qk_norm
        biased, inner = BIASED[spec.bias], spec.num_heads * spec.per_head
        # Matrices of their own, because Muon orthogonalises each by itself.
        self.query = nn.Linear(spec.width, inner, bias="qkv" in biased)
        self.key = nn.Linear(spec.width, self.kv_heads * self.size, bias="qkv" in biased)
        self.value = nn.Linear(spec.width, self.kv_heads * self.size, bias="qkv" in biased)
        self.attend = CausalAttend()
        self.out = nn.Linear(inner, spec.width, bias="out" in biased)
        self.packed = Packed([self.query, self.key, self.value])
        self.register_buffer("epsilon", torch.tensor(spec.epsilon), persistent=False)

    def forward(self, x: Tensor, place: Place) -> Tensor:
        """What is added to each token; x is normalised."""
        b, t, _ = x.shape
        said = self.packed(x) if place.packed else (self.query(x), self.key(x), self.value(x))
        q, k, v = (part.view(b, t, -1, self.size) for part in said)
        both = torch.cat([q, k], dim=2)  # (B, T, heads + kv_heads, D): half as many small steps
        if self.qk_norm:
            both = rms_normed(both, self.epsilon)
        if place.angles is not None:
            both = turned(both, *place.angles)
        q, k = torch.split(both.transpose(1, 2), [self.heads, self.kv_heads], dim=1)
        v = v.transpose(1, 2)
        if place.memory is not None:
            k, v = place.memory.add(self.layer, k, v)
        if self.kv_heads != self.heads:
            k, v = (z.repeat_interleave(self.heads // self.kv_heads, dim=1) for z in (k, v))
        mixed = self.attend(q, k.to(q.dtype), v.to(q.dtype), place.mask)
        gathered: Tensor = self.out(mixed.transpose(1, 2).reshape(b, t, -1))
        return gathered


class Perceptron(nn.Module):
    """Two layers over each token by itself; with swiglu the first one is gated by another."""

    def __init__(self, spec: GptSpec) -> None:
        super().__init__()
        self.activation = spec.activation
        biased, gated = "perceptron" in BIASED[spec.bias], spec.activation == "swiglu"
        self.up = nn.Linear(spec.width, spec.units, bias=biased)
        self.gate = nn.Linear(spec.width, spec.units, bias=biased) if gated else None
        self.down = nn.Linear(spec.units, spec.width, bias=biased)
        self.packed = Packed([self.up, *([self.gate] if self.gate is not None else [])])

    def forward(self, x: Tensor, *, packed: bool = False) -> Tensor:
        """What is added to each token."""
        hidden, *gates = self.packed(x) if packed else [self.up(x)]
        if self.gate is not None:
            hidden = F.silu(gates[0] if packed else self.gate(x)) * hidden
        elif self.activation == "relu2":
            hidden = F.relu(hidden).square()
        else:
            hidden = F.gelu(hidden, approximate="tanh")
        changed: Tensor = self.down(hidden)
        return changed


PACKING = (SelfAttention, Perceptron)


class Block(nn.Module):
    """Attention, then a perceptron; the result of each is added to what came in."""

    def __init__(self, spec: GptSpec, layer: int) -> None:
        super().__init__()
        self.attention_norm = Norm(spec)
        self.attention = SelfAttention(spec, layer)
        self.perceptron_norm = Norm(spec)
        self.perceptron = Perceptron(spec)
        self.dropout = nn.Dropout(spec.dropout) if spec.dropout else nn.Identity()

    def forward(self, x: Tensor, place: Place) -> Tensor:
        """Tokens (B, T, width)."""
        x = x + self.dropout(self.attention(self.attention_norm(x), place))
        changed = self.perceptron(self.perceptron_norm(x), packed=place.packed)
        grown: Tensor = x + self.dropout(changed)
        return grown
