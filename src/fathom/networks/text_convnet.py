"""The family `text_convnet`: short runs of tokens have vectors, and convolutions see longer ones.

A run of two or three tokens looks up a vector of its own beside those of the tokens, by hashing
(Joulin et al. 2017, arXiv 1607.01759); convolutions over the steps find what stands together (Kim
2014, arXiv 1408.5882).
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor, nn

from fathom.core.blocks import FIRST_TOKEN, PADDING_TOKEN, UNKNOWN_TOKEN, InputSpec, TextBlock
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
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
from fathom.networks.fronts import EMBEDDING_STD, TextFront, one_sequence, the_sequence
from fathom.networks.steps import MaskedBatchNorm, PoolSteps, Steps

KERNEL = 5
MULTIPLIER = 1_000_003  # a prime: neighbouring codes fall far apart
MANY = 50_000
"""Training examples from which on the default network is twice as wide."""


class TextConvnetSpec(
    Struct,
    frozen=True,
    tag="text_convnet",
    tag_field="family",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """`depth` residual convolutions over vectors of `width` numbers, one for each token; 0 for
    none, which leaves the embeddings pooled.

    Runs of 2 to `ngrams` tokens have vectors too, in `buckets` places that they share by chance; 1
    is for none. `dropout` acts on the embeddings and before the head; while training a token is
    hidden with the chance `token_dropout`. Raises PlanError for values that make no network.
    """

    width: int = 128
    depth: int = 0
    ngrams: int = 2
    buckets: int = 2**14
    dropout: float = 0.3
    token_dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.width, 2, "network.width")
        check_at_least(self.depth, 0, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.ngrams, 1, "network.ngrams")
        check_at_most(self.ngrams, 5, "network.ngrams")
        check_at_least(self.buckets, 2, "network.buckets")
        check_fraction(self.dropout, "network.dropout")
        check_fraction(self.token_dropout, "network.token_dropout")


class RunsFront(nn.Module):
    """Token codes to steps: the vector of each token, and of the runs that end with it."""

    def __init__(self, spec: TextConvnetSpec, inputs: InputSpec) -> None:
        super().__init__()
        self.name, block = the_sequence(inputs, "text_convnet")
        if not isinstance(block, TextBlock):
            raise PlanError(
                f"The network family text_convnet needs a column of text, which {self.name!r} is "
                "not."
            )
        self.tokens = TextFront(block, spec.width)
        self.buckets = spec.buckets
        self.runs = nn.ModuleList(
            nn.Embedding(spec.buckets, spec.width) for _ in range(spec.ngrams - 1)
        )
        for table in self.runs:
            nn.init.normal_(table.weight, std=EMBEDDING_STD)  # type: ignore[arg-type]
        self.dropout = nn.Dropout(spec.dropout)
        self.token_dropout = spec.token_dropout

    def forward(self, inputs: dict[str, Tensor]) -> Steps:
        """Steps (B, L, width)."""
        codes = self._some(inputs[self.name])
        steps: Steps = self.tokens(codes)
        values, hashed = steps.values, codes.long()
        for distance, table in enumerate(self.runs, 1):
            before = torch.full_like(hashed, PADDING_TOKEN)
            before[:, distance:] = codes[:, :-distance]
            hashed = hashed * MULTIPLIER + before
            values = values + table(hashed % self.buckets)
        return Steps(self.dropout(values), steps.mask)

    def _some(self, codes: Tensor) -> Tensor:
        """While training some tokens are hidden, so that no single one is relied on alone."""
        if not (self.training and self.token_dropout):
            return codes
        hidden = torch.rand(codes.shape, device=codes.device) < self.token_dropout
        return torch.where(hidden & (codes >= FIRST_TOKEN), UNKNOWN_TOKEN, codes)


class Convolve(nn.Module):
    """A convolution over the steps whose result is added to them."""

    START = 0.3

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = MaskedBatchNorm(width)
        self.activation = nn.ReLU()
        self.convolution = nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2)
        with torch.no_grad():
            self.convolution.weight *= self.START

    def forward(self, steps: Steps) -> Steps:
        """Steps (B, L, width)."""
        channels = self.norm(steps.values.transpose(1, 2), steps.mask)
        seen = self.activation(channels) * steps.mask[:, None]
        change: Tensor = self.convolution(seen)
        return Steps(steps.values + change.transpose(1, 2), steps.mask)


class TextConvnet(Network):
    """Embeddings, convolutions, pooling, head."""

    def __init__(self, spec: TextConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        self.front = RunsFront(spec, inputs)
        self.blocks = nn.ModuleList(Convolve(spec.width) for _ in range(spec.depth))
        self.pool = PoolSteps()
        self.head = Head(2 * spec.width, output.size, spec.dropout)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Embedding, convolutions, pooling, head."""
        blocks = [(f"convolution {i}", block) for i, block in enumerate(self.blocks, 1)]
        return [("embedding", self.front), *blocks, ("pooling", self.pool), ("head", self.head)]


def _check_size(spec: TextConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
    _, block = the_sequence(inputs, "text_convnet")
    size = block.size if isinstance(block, TextBlock) else 0
    count = (size + (spec.ngrams - 1) * spec.buckets) * spec.width
    count += spec.depth * KERNEL * spec.width**2 + 2 * spec.width * output.size
    check_weights(count, "network.width, network.buckets or network.depth")


def default_spec(
    inputs: InputSpec, output: OutputSpec, rows: int
) -> tuple[TextConvnetSpec, Reasons]:
    """What suits one column of text and `rows` training examples, and why."""
    the_sequence(inputs, "text_convnet")
    many = rows >= MANY
    width = 256 if many else 128
    spec = TextConvnetSpec(width=width, depth=int(many), buckets=2**16 if many else 2**14)
    return spec, {
        "depth": "Convolutions may pay where there are many texts."
        if many
        else "Without convolutions: of few texts they learned what holds for these alone.",
        "width": f"{width} numbers a token suit {rows:,} training examples.",
        "ngrams": "Pairs of tokens often tell what neither of them does.",
    }


FAMILIES.register("text_convnet")(
    Family(
        spec=TextConvnetSpec,
        build=TextConvnet,
        default_spec=default_spec,
        accepts=lambda inputs: (
            one_sequence(inputs) and isinstance(next(iter(inputs.blocks.values())), TextBlock)
        ),
    )
)
