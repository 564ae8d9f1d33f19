"""GptSpec: all that a network of the family `gpt` can be, and how many weights it has."""

from __future__ import annotations

import math
from typing import Literal, get_args

from msgspec import Struct

from fathom.core.errors import PlanError
from fathom.networks.family import (
    MOST_DEPTH,
    check_at_least,
    check_at_most,
    check_choice,
    check_fraction,
)
from fathom.networks.language.family import check_context
from fathom.networks.language.rotary import RopeScaling

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
