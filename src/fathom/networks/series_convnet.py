"""The family `series_convnet`: convolutions of several lengths side by side, one upon the other.

After InceptionTime (Ismail Fawaz et al. 2020, arXiv 1909.04939): a short kernel sees edges, a long
one slow waves, and each layer chooses; a shortcut leads past every layer. Its branch of largest
neighbours took as long as all convolutions here and is left out. Padding is never seen.
"""

from __future__ import annotations

import torch
from msgspec import Struct
from torch import Tensor, nn

from fathom.core.blocks import InputSpec, SeriesBlock
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
from fathom.networks.fronts import SeriesFront, one_sequence, series_stride, the_sequence
from fathom.networks.steps import MaskedBatchNorm, PoolSteps, Steps

MOST_STEPS = 256  # longer series are seen in patches
SHARES = (1, 2, 4, 8)  # of the longest kernel: its half, its quarter … stand beside it
BRANCHES = len(SHARES)
MANY = 5_000
"""Training examples from which on the default network is twice as wide."""


class SeriesConvnetSpec(
    Struct,
    frozen=True,
    tag="series_convnet",
    tag_field="family",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """`depth` layers of four branches with `filters` channels each.

    The branches are convolutions over `kernel` steps, half, a quarter and an eighth of it; before
    them all channels are brought to `filters`. `dropout` acts before the head. Raises PlanError for
    values that make no network.
    """

    filters: int = 16
    depth: int = 3
    kernel: int = 39
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.filters, 2, "network.filters")
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.kernel, 3, "network.kernel")
        check_at_most(self.kernel, 2 * MOST_STEPS, "network.kernel")
        check_fraction(self.dropout, "network.dropout")

    @property
    def kernels(self) -> tuple[int, ...]:
        """The lengths of the convolutions, each odd."""
        return tuple(max(3, self.kernel // share) | 1 for share in SHARES)


class Enter(nn.Module):
    """The first stage: the one series among the inputs as steps of a width."""

    def __init__(self, spec: SeriesConvnetSpec, inputs: InputSpec) -> None:
        super().__init__()
        self.name, block = the_sequence(inputs, "series_convnet")
        self.layer = SeriesFront(_series(self.name, block), BRANCHES * spec.filters, MOST_STEPS)

    def forward(self, inputs: dict[str, Tensor]) -> Steps:
        """Steps (B, L, 4 · filters)."""
        steps: Steps = self.layer(inputs[self.name])
        return steps


def _series(name: str, block: object) -> SeriesBlock:
    if isinstance(block, SeriesBlock):
        return block
    raise PlanError(
        f"The network family series_convnet needs a column of series, which {name!r} is not."
    )


class Inception(nn.Module):
    """One layer: what the branches see, normalised, added to what came in.

    Steps lie as a picture of one row whose channels come last, which long kernels run over more
    than twice as fast as over (B, channels, L).
    """

    def __init__(self, spec: SeriesConvnetSpec) -> None:
        super().__init__()
        width = BRANCHES * spec.filters
        self.narrow = nn.Linear(width, spec.filters, bias=False)
        self.branches = nn.ModuleList(
            nn.Conv2d(spec.filters, spec.filters, (1, kernel), padding=(0, kernel // 2), bias=False)
            for kernel in spec.kernels
        )
        self.norm = MaskedBatchNorm(width)
        self.activation = nn.ReLU()

    def forward(self, steps: Steps) -> Steps:
        """Steps (B, L, width)."""
        narrow = self.narrow(steps.cleared())
        row = narrow.transpose(1, 2).unsqueeze(2)  # (B, filters, 1, L)
        seen = torch.cat([branch(row) for branch in self.branches], dim=1).squeeze(2)
        normalised = self.norm(seen, steps.mask)
        out: Tensor = self.activation(normalised + steps.values.transpose(1, 2))
        return Steps(out.transpose(1, 2), steps.mask)


class SeriesConvnet(Network):
    """Front, layers, pooling, head."""

    def __init__(self, spec: SeriesConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        self.front = Enter(spec, inputs)
        self.layers = nn.ModuleList(Inception(spec) for _ in range(spec.depth))
        self.pool = PoolSteps()
        self.head = Head(2 * BRANCHES * spec.filters, output.size, spec.dropout)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Front, layers, pooling, head."""
        layers = [(f"inception {i}", layer) for i, layer in enumerate(self.layers, 1)]
        return [("front", self.front), *layers, ("pooling", self.pool), ("head", self.head)]


def _check_size(spec: SeriesConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
    name, block = the_sequence(inputs, "series_convnet")
    series = _series(name, block)
    width = BRANCHES * spec.filters
    patch = 2 * series_stride(series, MOST_STEPS) + 1
    count = series.channels * (2 if series.gaps else 1) * patch * width
    count += spec.depth * spec.filters * (width + sum(spec.kernels) * spec.filters)
    check_weights(count + 2 * width * output.size, "network.filters, .kernel or .depth")


def default_spec(
    inputs: InputSpec, output: OutputSpec, rows: int
) -> tuple[SeriesConvnetSpec, Reasons]:
    """What suits one column of series and `rows` training examples, and why."""
    name, block = the_sequence(inputs, "series_convnet")
    series = _series(name, block)
    filters = 32 if rows >= MANY else 16
    patches = max(1, series.typical // series_stride(series, MOST_STEPS))
    kernel = int(min(39, max(5, patches // 2)))
    return SeriesConvnetSpec(filters=filters, kernel=kernel), {
        "filters": f"{BRANCHES} times {filters} channels suit {rows:,} training examples.",
        "kernel": f"The longest convolution sees at most half of {patches:,} typical steps.",
    }


FAMILIES.register("series_convnet")(
    Family(
        spec=SeriesConvnetSpec,
        build=SeriesConvnet,
        default_spec=default_spec,
        accepts=lambda inputs: (
            one_sequence(inputs) and isinstance(next(iter(inputs.blocks.values())), SeriesBlock)
        ),
    )
)
