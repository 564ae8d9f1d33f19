"""The family `mlp`: layers of units over embedded columns. For tables; takes every input."""

from __future__ import annotations

from typing import Literal, get_args

from msgspec import Struct
from torch import Tensor, nn

from fathom.core.blocks import NUMBERS, InputSpec, NumbersBlock
from fathom.core.output import OutputSpec
from fathom.networks.activations import ACTIVATIONS
from fathom.networks.embeddings import (
    NUMBER_EMBEDDINGS,
    Features,
    NumberEmbeddingName,
    features_size,
)
from fathom.networks.family import (
    FAMILIES,
    MOST_DEPTH,
    Family,
    Head,
    Network,
    Reasons,
    check_at_least,
    check_at_most,
    check_choice,
    check_fraction,
    check_weights,
)

Normalization = Literal["none", "layer"]
NORMALIZATIONS: tuple[str, ...] = get_args(Normalization)

FEW = 1_000
MANY = 5_000
"""Training rows below which the default network is small, and of middle size."""
WIDE = 400
"""Number columns above which each stays a plain number: embedding them all costs too much."""


class MlpSpec(
    Struct, frozen=True, tag="mlp", tag_field="family", forbid_unknown_fields=True, kw_only=True
):
    """`depth` blocks of `width` units between the embedding and the head.

    A plain block is linear, normalization, activation, dropout; with `residual` its input is added
    to what it puts out. `embed_dim` is the length of the vector that stands for one column.
    Raises PlanError for values that make no network.
    """

    width: int = 256
    depth: int = 2
    activation: str = "relu"
    dropout: float = 0.1
    normalization: Normalization = "layer"
    residual: bool = False
    number_embedding: NumberEmbeddingName = "piecewise"
    embed_dim: int = 16

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.width, 1, "network.width")
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.embed_dim, 1, "network.embed_dim")
        check_fraction(self.dropout, "network.dropout")
        check_choice(self.activation, list(ACTIVATIONS), "network.activation")
        check_choice(self.normalization, NORMALIZATIONS, "network.normalization")
        check_choice(self.number_embedding, NUMBER_EMBEDDINGS, "network.number_embedding")


class Block(nn.Module):
    """One layer of units: (B, width_in) to (B, width)."""

    def __init__(self, width_in: int, spec: MlpSpec) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, spec.width)
        nn.init.kaiming_normal_(self.linear.weight, nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)
        layer = spec.normalization == "layer"
        self.norm = nn.LayerNorm(spec.width) if layer else nn.Identity()
        self.activation = ACTIVATIONS[spec.activation]()
        self.dropout = nn.Dropout(spec.dropout)
        self.skips = spec.residual and width_in == spec.width

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, width)."""
        out: Tensor = self.dropout(self.activation(self.norm(self.linear(features))))
        return features + out if self.skips else out


class Mlp(Network):
    """Embedding, blocks, head."""

    def __init__(self, spec: MlpSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        self.embedding = Features(inputs, spec.number_embedding, spec.embed_dim)
        widths = [self.embedding.width] + [spec.width] * (spec.depth - 1)
        self.blocks = nn.ModuleList(Block(width, spec) for width in widths)
        self.head = Head(spec.width, output.size)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Embedding, block 1 …, head."""
        blocks = [(f"block {i}", block) for i, block in enumerate(self.blocks, start=1)]
        return [("embedding", self.embedding), *blocks, ("head", self.head)]


def _check_size(spec: MlpSpec, inputs: InputSpec, output: OutputSpec) -> None:
    embedded, features = features_size(inputs, spec.embed_dim)
    hidden = spec.width * (features + (spec.depth - 1) * spec.width + output.size)
    check_weights(embedded + hidden, "network.width, network.depth or network.embed_dim")


def default_spec(inputs: InputSpec, output: OutputSpec, rows: int) -> tuple[MlpSpec, Reasons]:
    """What suits `rows` training examples, and why."""
    width, depth = (64, 1) if rows < FEW else (128, 2) if rows < MANY else (256, 2)
    dropout = 0.2 if rows < MANY else 0.1
    embedding, reason = number_embedding_for(inputs)
    spec = MlpSpec(
        width=width,
        depth=depth,
        dropout=dropout,
        number_embedding=embedding,
        embed_dim=8 if rows < FEW else 16,
    )
    suits = (
        f"suits {rows:,} training rows: more would learn them by heart, fewer miss what is there."
    )
    reasons = {
        "width": f"A width of {width} {suits}",
        "depth": "One hidden layer learns enough from few rows, and less by heart."
        if depth == 1
        else "Two hidden layers; a third changed little on the tables that this was chosen on.",
        "dropout": f"{dropout:.0%} of the units are left out at random in each training step, so "
        "that none is relied on alone.",
        "normalization": "Layer normalization scored a little higher than none on validation data.",
        "number_embedding": reason,
    }
    return spec, reasons


def number_embedding_for(inputs: InputSpec) -> tuple[NumberEmbeddingName, str]:
    """The embedding of numbers that suits these columns, and why."""
    block = inputs.blocks.get(NUMBERS)
    columns = len(block.names) if isinstance(block, NumbersBlock) else 0
    if columns > WIDE:
        return "linear", f"{columns} number columns are too many for a vector each: plain numbers."
    return "piecewise", "Bends at the edges of bins let the network see thresholds, as trees do."


FAMILIES.register("mlp")(
    Family(spec=MlpSpec, build=Mlp, default_spec=default_spec, accepts=lambda inputs: True)
)
