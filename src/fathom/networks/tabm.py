"""The family `tabm`: several networks in one, which share their weights. For tables.

TabM (Gorishniy et al. 2025, "TabM: Advancing Tabular Deep Learning with Parameter-Efficient
Ensembling", arXiv 2410.24210): k members share every matrix, and each has scales and biases of its
own around it (BatchEnsemble, Wen et al. 2020) and its own head. Each learns by itself; what counts
is the mean of their answers. The layers of the package `tabm` are not used: its embeddings of
numbers know no missing values, and what is left of it is about sixty lines here.

Two things differ from the paper. The members' first scales are drawn around one and not as random
signs, and there is a layer normalization: both learn more in the steps that a short budget allows
(LOG.md). And a training example can be learned by some of the members only, which costs less.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor, nn

from fathom.core.blocks import InputSpec
from fathom.core.errors import PlanError
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
    MembersHead,
    Network,
    Reasons,
    check_at_least,
    check_at_most,
    check_choice,
    check_fraction,
    check_weights,
)
from fathom.networks.mlp import FEW, MANY, NORMALIZATIONS, Normalization, number_embedding_for

MOST_MEMBERS = 1_024
SPREAD = 0.5  # standard deviation of the members' first scales around one


class TabmSpec(
    Struct, frozen=True, tag="tabm", tag_field="family", forbid_unknown_fields=True, kw_only=True
):
    """`members` networks of `depth` blocks of `width` units, over one embedding of the columns.

    In each training step an example is learned by `learners` of the members, which divide them:
    all of them as in the paper, or fewer, at so much lower a cost. Raises PlanError for values that
    make no network.
    """

    members: int = 16
    learners: int = 1
    width: int = 256
    depth: int = 2
    activation: str = "relu"
    dropout: float = 0.1
    normalization: Normalization = "layer"
    number_embedding: NumberEmbeddingName = "piecewise"
    embed_dim: int = 16

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.members, 2, "network.members")
        check_at_most(self.members, MOST_MEMBERS, "network.members")
        if self.learners < 1 or self.members % self.learners:
            raise PlanError(
                f"network.learners is {self.learners}, but it must divide the {self.members} "
                "members."
            )
        check_at_least(self.width, 1, "network.width")
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.embed_dim, 1, "network.embed_dim")
        check_fraction(self.dropout, "network.dropout")
        check_choice(self.activation, list(ACTIVATIONS), "network.activation")
        check_choice(self.normalization, NORMALIZATIONS, "network.normalization")
        check_choice(self.number_embedding, NUMBER_EMBEDDINGS, "network.number_embedding")


class Members(nn.Module):
    """From a row of features to one for each member, in scales of its own.

    (B, width) to (B, k, width). In training, where `learners` m are fewer than the k members, to
    (B m / k, k, width): each row goes to m members, one after another in turn. As batches are drawn
    in another order in each epoch, every member learns from every example in time. A batch that
    cannot be dealt out evenly goes to all members.
    """

    def __init__(self, members: int, learners: int, width: int) -> None:
        super().__init__()
        self.learners = learners
        self.scale = nn.Parameter(1.0 + SPREAD * torch.randn(members, width))

    def forward(self, features: Tensor) -> Tensor:
        """Features of the members (B, k, width), in training (B m / k, k, width)."""
        scale = self.scale.to(features.dtype)
        k, m = len(scale), self.learners
        if not self.training or len(features) * m % k:
            return features[:, None] * scale
        rows = features.repeat_interleave(m, dim=0)
        return rows.view(-1, k, rows.shape[1]) * scale


class Block(nn.Module):
    """One layer of units in every member: (B, k, width_in) to (B, k, width)."""

    def __init__(self, width_in: int, spec: TabmSpec) -> None:
        super().__init__()
        k = spec.members
        self.linear = nn.Linear(width_in, spec.width, bias=False)
        nn.init.kaiming_normal_(self.linear.weight, nonlinearity="relu")
        self.scale = nn.Parameter(torch.ones(k, spec.width))
        self.bias = nn.Parameter(torch.zeros(k, spec.width))
        layer = spec.normalization == "layer"
        self.norm = nn.LayerNorm(spec.width) if layer else nn.Identity()
        self.activation = ACTIVATIONS[spec.activation]()
        self.dropout = nn.Dropout(spec.dropout)
        # What the next layer's inputs are scaled by, so that it needs no scale of its own there.
        self.scale_out = nn.Parameter(torch.ones(k, spec.width))

    def forward(self, features: Tensor) -> Tensor:
        """Features of every member (B, k, width)."""
        out = self.linear(features)
        out = torch.addcmul(self.bias.to(out.dtype), out, self.scale.to(out.dtype))
        out = self.dropout(self.activation(self.norm(out)))
        scaled: Tensor = out * self.scale_out.to(out.dtype)
        return scaled


class Tabm(Network):
    """Embedding, members, blocks, head."""

    def __init__(self, spec: TabmSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        self.embedding = Features(inputs, spec.number_embedding, spec.embed_dim)
        self.members = Members(spec.members, spec.learners, self.embedding.width)
        widths = [self.embedding.width] + [spec.width] * (spec.depth - 1)
        self.blocks = nn.ModuleList(Block(width, spec) for width in widths)
        self.head = MembersHead(spec.members, spec.width, output)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Embedding, members, block 1 …, head."""
        blocks = [(f"block {i}", block) for i, block in enumerate(self.blocks, start=1)]
        first = [("embedding", self.embedding), ("members", self.members)]
        return [*first, *blocks, ("head", self.head)]


def _check_size(spec: TabmSpec, inputs: InputSpec, output: OutputSpec) -> None:
    embedded, features = features_size(inputs, spec.embed_dim)
    shared = spec.width * (features + (spec.depth - 1) * spec.width)
    own = spec.members * (features + spec.width * (3 * spec.depth + output.size))
    keys = "network.width, network.depth, network.members or network.embed_dim"
    check_weights(embedded + shared + own, keys)


def default_spec(inputs: InputSpec, output: OutputSpec, rows: int) -> tuple[TabmSpec, Reasons]:
    """What suits `rows` training examples, and why."""
    width, depth = (64, 1) if rows < FEW else (128, 2) if rows < MANY else (256, 2)
    embedding, reason = number_embedding_for(inputs)
    spec = TabmSpec(
        width=width,
        depth=depth,
        dropout=0.2,
        number_embedding=embedding,
        embed_dim=8 if rows < FEW else 16,
    )
    reasons = {
        "members": f"{spec.members} networks share their weights, and their answers are averaged: "
        "what one of them has learned by heart the others outvote.",
        "learners": "Each example is learned by one member in a step, which costs no more than one "
        "network does.",
        "width": f"A width of {width} suits {rows:,} training rows.",
        "number_embedding": reason,
    }
    return spec, reasons


FAMILIES.register("tabm")(
    Family(spec=TabmSpec, build=Tabm, default_spec=default_spec, accepts=lambda inputs: True)
)
