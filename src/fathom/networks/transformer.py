"""The family `transformer`: every step of a sequence attends to all others (Vaswani et al. 2017).

An encoder: it reads the whole sequence at once (arXiv 1706.03762). Places enter by turning queries
and keys, so that it knows distances and can read longer sequences than it has seen.
"""

from __future__ import annotations

from msgspec import Struct
from torch import Tensor, nn

from fathom.core.blocks import InputSpec
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.networks.attention import EXPANSION, Block
from fathom.networks.family import (
    FAMILIES,
    MOST_DEPTH,
    Family,
    Head,
    Network,
    Reasons,
    check_at_least,
    check_at_most,
    check_fraction,
    check_weights,
)
from fathom.networks.fronts import Front, front_size, one_sequence, the_sequence
from fathom.networks.steps import PoolSteps, Steps

MANY = 50_000
"""Training examples from which on the default network is twice as wide."""


class TransformerSpec(
    Struct,
    frozen=True,
    tag="transformer",
    tag_field="family",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """`depth` blocks over steps of `width` numbers, each attended to by `num_heads` heads.

    `dropout` acts on what blocks add, and before the head. Raises PlanError for values that make no
    network.
    """

    width: int = 128
    depth: int = 2
    num_heads: int = 4
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.width, 2, "network.width")
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.num_heads, 1, "network.num_heads")
        check_fraction(self.dropout, "network.dropout")
        if self.width % (2 * self.num_heads):
            raise PlanError(
                f"network.width is {self.width}; it must be a multiple of twice network.num_heads "
                f"({self.num_heads}), because numbers of a head are turned in pairs."
            )


class Encode(nn.Module):
    """One block over steps; what it says at padding is never seen by any other step."""

    def __init__(self, spec: TransformerSpec) -> None:
        super().__init__()
        self.block = Block(spec.width, spec.num_heads, dropout=spec.dropout, rotary=True)

    def forward(self, steps: Steps) -> Steps:
        """Steps (B, L, width)."""
        return Steps(self.block(steps.values, steps.mask), steps.mask)


class NormPool(nn.Module):
    """The steps normalised, as pre-norm blocks leave to whoever comes last, and pooled."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.pool = PoolSteps()

    def forward(self, steps: Steps) -> Tensor:
        """Features (B, 2 · width)."""
        features: Tensor = self.pool(Steps(self.norm(steps.values), steps.mask))
        return features


class Transformer(Network):
    """Embedding, blocks, pooling, head."""

    def __init__(self, spec: TransformerSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        self.front = Front(inputs, spec.width, "transformer")
        self.blocks = nn.ModuleList(Encode(spec) for _ in range(spec.depth))
        self.pool = NormPool(spec.width)
        self.head = Head(2 * spec.width, output.size, spec.dropout)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Embedding, blocks, pooling, head."""
        blocks = [(f"block {i}", block) for i, block in enumerate(self.blocks, 1)]
        return [("embedding", self.front), *blocks, ("pooling", self.pool), ("head", self.head)]


def _check_size(spec: TransformerSpec, inputs: InputSpec, output: OutputSpec) -> None:
    _, block = the_sequence(inputs, "transformer")
    count = spec.depth * (4 + 2 * EXPANSION) * spec.width**2 + 2 * spec.width * output.size
    count += front_size(block, spec.width)
    check_weights(count, "network.width or network.depth")


def default_spec(
    inputs: InputSpec, output: OutputSpec, rows: int
) -> tuple[TransformerSpec, Reasons]:
    """What suits one sequence and `rows` training examples, and why."""
    the_sequence(inputs, "transformer")
    width = 256 if rows >= MANY else 128
    return TransformerSpec(width=width), {
        "width": f"{width} numbers a step suit {rows:,} training examples."
    }


FAMILIES.register("transformer")(
    Family(spec=TransformerSpec, build=Transformer, default_spec=default_spec, accepts=one_sequence)
)
