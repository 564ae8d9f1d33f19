"""The family `gpt`: a decoder-only Transformer (Radford et al. 2019), as such are built today.

By default: rotary positions (Su et al. 2021, arXiv 2104.09864), queries and keys of one length
(Henry et al. 2020, arXiv 2010.04245), squared ReLU (So et al. 2021, arXiv 2109.08668), norms
without weights (Zhang and Sennrich 2019, arXiv 1910.07467), projections back into the stream that
begin at zero, and logits that are softly capped (Gemma 2, arXiv 2408.00118). Other values of the
spec make the networks of the Llama family (SwiGLU: Shazeer 2020, arXiv 2002.05202; fewer heads of
keys than of queries: Ainslie et al. 2023, arXiv 2305.13245) and of GPT-2, number for number
(`huggingface.py`).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from msgspec import Struct
from torch import Tensor, nn

from fathom.core.errors import PlanError
from fathom.networks.family import (
    MOST_DEPTH,
    check_at_least,
    check_at_most,
    check_choice,
    check_fraction,
    check_weights,
)
from fathom.networks.language.attention import CausalAttend, Heads, Place, causal_mask
from fathom.networks.language.family import (
    LANGUAGE_FAMILIES,
    LanguageFamily,
    LanguageNetwork,
    Memory,
    check_context,
)
from fathom.networks.language.packed import MOST_WEIGHTS, Packed
from fathom.networks.language.rotary import RopeScaling, angles, turned, turns

Activation = Literal["relu2", "swiglu", "gelu"]
Normalization = Literal["rms", "layer"]
Positions = Literal["rotary", "learned"]
Bias = Literal["none", "qkv", "attention", "perceptron", "all"]

# Which layers have a bias. Norms have one only beside weights, and an RMS norm never has.
BIASED: dict[Bias, tuple[str, ...]] = {
    "none": (),
    "qkv": ("qkv",),
    "attention": ("qkv", "out"),
    "perceptron": ("perceptron",),
    "all": ("qkv", "out", "perceptron", "norm"),
}


class GptSpec(
    Struct, frozen=True, tag="gpt", tag_field="family", forbid_unknown_fields=True, kw_only=True
):
    """`depth` blocks of `width` numbers a token, with `num_heads` heads of attention.

    A head has `head_width` numbers (0: its part of the width). `num_kv_heads` heads of keys and
    values serve several of queries each (0: as many). The perceptron has `hidden` units (0: four
    times the width; for swiglu eight thirds). `norm_scale` gives norms a learned weight, `bias`
    says which layers have one. `rope_base` and `rope_scaling` set how fast rotary positions turn.
    `qk_norm` gives all queries and keys one length. `softcap` bounds logits, 0 for no bound.
    `tied`: the head's weights are the embedding's. Raises PlanError for values that make no
    network.
    """

    depth: int = 4
    width: int = 128
    num_heads: int = 4
    context: int = 256
    num_kv_heads: int = 0
    head_width: int = 0
    hidden: int = 0
    activation: Activation = "swiglu"
    normalization: Normalization = "rms"
    norm_scale: bool = False
    epsilon: float = 1e-6
    bias: Bias = "none"
    positions: Positions = "rotary"
    rope_base: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    qk_norm: bool = True
    softcap: float = 15.0
    tied: bool = False
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        for key in ("depth", "num_heads", "rope_base"):
            check_at_least(getattr(self, key), 1, f"network.{key}")
        for key in ("num_kv_heads", "head_width", "hidden", "softcap"):
            check_at_least(getattr(self, key), 0, f"network.{key}")
        check_at_least(self.width, 2, "network.width")
        check_at_least(self.epsilon, 1e-12, "network.epsilon")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_context(self.context)
        check_choice(self.activation, get_args(Activation), "network.activation")
        check_choice(self.normalization, get_args(Normalization), "network.normalization")
        check_choice(self.positions, get_args(Positions), "network.positions")
        check_choice(self.bias, get_args(Bias), "network.bias")
        check_fraction(self.dropout, "network.dropout")
        for key in ("epsilon", "rope_base", "softcap"):
            if not math.isfinite(getattr(self, key)):
                raise PlanError(f"network.{key} is {getattr(self, key)}; it must be finite.")
        self._check_heads()

    def _check_heads(self) -> None:
        if not self.head_width and self.width % self.num_heads:
            raise PlanError(
                f"network.width is {self.width}; it must be a multiple of network.num_heads "
                f"({self.num_heads})."
            )
        if self.positions == "rotary" and self.per_head % 2:
            raise PlanError(
                f"network.{'head_width' if self.head_width else 'width'} gives a head "
                f"{self.per_head} numbers; rotary positions turn them in pairs: choose it so that "
                "they are an even number."
            )
        if self.num_heads % self.kv_heads:
            raise PlanError(
                f"network.num_kv_heads is {self.kv_heads}; network.num_heads ({self.num_heads}) "
                "must be a multiple of it."
            )

    @property
    def per_head(self) -> int:
        """Numbers of a head."""
        return self.head_width or self.width // self.num_heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.num_kv_heads or self.num_heads

    @property
    def units(self) -> int:
        """Hidden units of a perceptron; a multiple of 8 for swiglu, as matrices like it."""
        if self.hidden:
            return self.hidden
        return 8 * math.ceil(self.width / 3) if self.activation == "swiglu" else 4 * self.width


class Norm(nn.Module):
    """RMS or layer normalization, without weights unless the spec wants them."""

    def __init__(self, spec: GptSpec) -> None:
        super().__init__()
        self.layer = spec.normalization == "layer"
        self.shape, self.epsilon = (spec.width,), spec.epsilon
        self.weight = nn.Parameter(torch.ones(self.shape)) if spec.norm_scale else None
        moved = self.layer and spec.norm_scale and "norm" in BIASED[spec.bias]
        self.bias = nn.Parameter(torch.zeros(self.shape)) if moved else None

    def forward(self, x: Tensor) -> Tensor:
        """The same shape and type."""
        weight = None if self.weight is None else self.weight.to(x.dtype)
        if self.layer:
            bias = None if self.bias is None else self.bias.to(x.dtype)
            return F.layer_norm(x, self.shape, weight, bias, self.epsilon)
        normed = rms_normed(x, self.epsilon)
        return normed if weight is None else normed * weight


def rms_normed(x: Tensor, epsilon: float) -> Tensor:
    """The last axis brought to a mean square of one; `epsilon` is added to it before.

    On a processor F.rms_norm is a dozen passes, forwards and back, and takes three times as long;
    but for a single token, where it is fewer calls.
    """
    if x.shape[1] == 1:
        return F.rms_norm(x, x.shape[-1:], None, epsilon)
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return x * torch.rsqrt(length.square() / x.shape[-1] + epsilon).to(x.dtype)


class SelfAttention(nn.Module):
    """Every token gathers what it needs from those before it: (B, T, width) to the same shape."""

    def __init__(self, spec: GptSpec, layer: int) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = spec.num_heads, spec.kv_heads, spec.per_head
        self.layer, self.qk_norm, self.epsilon = layer, spec.qk_norm, spec.epsilon
        biased, inner = BIASED[spec.bias], spec.num_heads * spec.per_head
        # Matrices of their own, because Muon orthogonalises each by itself.
        self.query = nn.Linear(spec.width, inner, bias="qkv" in biased)
        self.key = nn.Linear(spec.width, self.kv_heads * self.size, bias="qkv" in biased)
        self.value = nn.Linear(spec.width, self.kv_heads * self.size, bias="qkv" in biased)
        self.attend = CausalAttend()
        self.out = nn.Linear(inner, spec.width, bias="out" in biased)
        self.packed = Packed([self.query, self.key, self.value])

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


class Gpt(LanguageNetwork):
    """Embedding, blocks, head."""

    head: nn.Linear
    cosines: Tensor
    sines: Tensor

    def __init__(self, spec: GptSpec, vocabulary: int) -> None:
        super().__init__()
        check_weights(size(spec, vocabulary), "network.width or network.depth")
        self.spec, self.vocabulary, self.context = spec, vocabulary, spec.context
        self.embedding = nn.Embedding(vocabulary, spec.width)
        learned = spec.positions == "learned"
        self.positions = nn.Embedding(spec.context, spec.width) if learned else None
        # Without weights of their own, the embedding's size would not matter; with them it does.
        self.first_norm = Norm(spec) if not spec.norm_scale else nn.Identity()
        self.blocks = nn.ModuleList(Block(spec, layer) for layer in range(spec.depth))
        self.norm = Norm(spec)
        self.head = nn.Linear(spec.width, vocabulary, bias=False)
        if spec.tied:
            self.head.weight = self.embedding.weight
        if not learned:
            found = angles(spec.context, spec.per_head, spec.rope_base, spec.rope_scaling)
            for name, part in zip(("cosines", "sines"), turns(*found), strict=True):
                self.register_buffer(name, part, persistent=False)  # (context, 1, D)
        self._start()

    def forward(self, tokens: Tensor, memory: Memory | None = None) -> Tensor:
        """Logits (B, T, vocabulary) float32."""
        assert memory is None or isinstance(memory, Heads)
        begin = 0 if memory is None else memory.length
        self._check_room(begin + tokens.shape[1], memory)
        x = self._read(tokens, begin)
        place = self._place(x, begin, memory)
        for block in self.blocks:
            x = block(x, place)
        if memory is not None:
            memory.length += tokens.shape[1]
        logits: Tensor = self.head(self.norm(x)).float()
        cap = self.spec.softcap
        return cap * torch.tanh(logits / cap) if cap else logits

    def remember(self, rows: int, room: int) -> Heads:
        """Keys and values of no token yet; there is never room for more than `context` of them."""
        spec = self.spec
        if self._packs:
            for part in self._packed:
                part.refresh()
        shape = (rows, spec.kv_heads, min(room, spec.context), spec.per_head)
        like = self.embedding.weight
        empty = [
            torch.zeros(shape, dtype=like.dtype, device=like.device) for _ in range(2 * spec.depth)
        ]
        return Heads(list(zip(empty[::2], empty[1::2], strict=True)))

    @property
    def _packs(self) -> bool:
        """Whether matrices are packed: on a GPU, and of large networks, that gains nothing."""
        small = per_token(self.spec, self.vocabulary) <= MOST_WEIGHTS
        return self.embedding.weight.device.type == "cpu" and small

    @property
    def _packed(self) -> list[Packed]:
        return [module.packed for module in self.modules() if isinstance(module, PACKING)]

    def _check_room(self, end: int, memory: Heads | None) -> None:
        room = self.context if memory is None else memory.room
        if end > room:  # slices would end early, and some shapes would fit all the same
            raise ValueError(f"{end} tokens were to be read where there is room for {room}")

    def _read(self, tokens: Tensor, begin: int) -> Tensor:
        """Vectors (B, T, width) in the type that is computed in."""
        x: Tensor = self.embedding(tokens)
        if self.positions is not None:
            x = x + self.positions.weight[begin : begin + tokens.shape[1]]
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        normed: Tensor = self.first_norm(x)
        return normed

    def _place(self, x: Tensor, begin: int, memory: Heads | None) -> Place:
        count, turning = x.shape[1], None
        if self.positions is None:
            here = slice(begin, begin + count)
            turning = self.cosines[here].to(x.dtype), self.sines[here].to(x.dtype)
        packed = memory is not None and count == 1 and not torch.is_grad_enabled() and self._packs
        return Place(turning, causal_mask(count, begin, x), memory, packed)

    @torch.no_grad()
    def _start(self) -> None:
        """Uniform hidden matrices of the size of their inputs; what goes back begins at zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                bound = (3 / module.in_features) ** 0.5
                module.weight.uniform_(-bound, bound)
                if module.bias is not None:
                    module.bias.zero_()
        self.embedding.weight.normal_(std=0.02 if self.spec.tied else 1.0)
        if self.positions is not None:
            self.positions.weight.normal_(std=0.02)
        if not self.spec.tied:
            self.head.weight.zero_()
        for module in self.modules():
            if isinstance(module, Block):
                module.attention.out.weight.zero_()
                module.perceptron.down.weight.zero_()


def per_token(spec: GptSpec, vocabulary: int) -> int:
    """Weights that one token is multiplied with."""
    heads = (2 * spec.num_heads + 2 * spec.kv_heads) * spec.per_head
    matrices = 3 if spec.activation == "swiglu" else 2
    return spec.depth * (heads + matrices * spec.units) * spec.width + spec.width * vocabulary


def size(spec: GptSpec, vocabulary: int) -> int:
    """About how many weights there are: norms and biases are left out."""
    looked_up = 0 if spec.tied else spec.width * vocabulary
    learned = spec.context * spec.width if spec.positions == "learned" else 0
    return per_token(spec, vocabulary) + looked_up + learned


LANGUAGE_FAMILIES.register("gpt")(
    LanguageFamily(spec=GptSpec, build=Gpt, size=size, per_token=per_token)
)
