"""The family `series_convnet`: convolutions of several lengths side by side, one upon the other.

InceptionTime (Ismail Fawaz et al. 2020, arXiv 1909.04939): a short kernel sees edges, a long one
slow waves, and each layer chooses; shortcuts lead past the layers. Padding is never seen.
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

MOST_STEPS = 512  # longer series are seen in patches
BRANCHES = 4
SHARES = (1, 2, 4)  # of the longest kernel: its half and its quarter stand beside it
MANY = 5_000
"""Training examples from which on the default network is deeper."""


class SeriesConvnetSpec(
    Struct,
    frozen=True,
    tag="series_convnet",
    tag_field="family",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """`depth` layers of four branches with `filters` channels each.

    Three branches are convolutions over `kernel`, half and a quarter of it, the fourth the largest
    of three neighbours; before them the channels are brought to `filters`. `dropout` acts before
    the head. Raises PlanError for values that make no network.
    """

    filters: int = 32
    depth: int = 3
    kernel: int = 39
    dropout: float = 0.2

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.filters, 2, "network.filters")
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.kernel, 3, "network.kernel")
        check_at_most(self.kernel, MOST_STEPS, "network.kernel")
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
    """One layer: what four branches see, normalised, added to what came in."""

    def __init__(self, spec: SeriesConvnetSpec) -> None:
        super().__init__()
        width = BRANCHES * spec.filters
        self.narrow = nn.Conv1d(width, spec.filters, 1, bias=False)
        self.branches = nn.ModuleList(
            nn.Conv1d(spec.filters, spec.filters, kernel, padding=kernel // 2, bias=False)
            for kernel in spec.kernels
        )
        self.largest = nn.MaxPool1d(3, stride=1, padding=1)
        self.after_largest = nn.Conv1d(width, spec.filters, 1, bias=False)
        self.norm = MaskedBatchNorm(width)
        self.activation = nn.ReLU()

    def forward(self, steps: Steps) -> Steps:
        """Steps (B, L, 4 · filters)."""
        there = steps.mask[:, None]
        channels = steps.cleared().transpose(1, 2)
        narrow = self.narrow(channels)
        seen = [branch(narrow) for branch in self.branches]
        low = torch.finfo(channels.dtype).min
        largest = self.largest(channels.masked_fill(~there, low)).masked_fill(~there, 0.0)
        seen.append(self.after_largest(largest))
        normalised = self.norm(torch.cat(seen, dim=1), steps.mask)
        out = self.activation(normalised + channels) * there
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
    count += spec.depth * spec.filters * (2 * width + sum(spec.kernels) * spec.filters)
    check_weights(count + 2 * width * output.size, "network.filters, .kernel or .depth")


def default_spec(
    inputs: InputSpec, output: OutputSpec, rows: int
) -> tuple[SeriesConvnetSpec, Reasons]:
    """What suits one column of series and `rows` training examples, and why."""
    name, block = the_sequence(inputs, "series_convnet")
    series = _series(name, block)
    depth = 4 if rows >= MANY else 3
    patches = max(1, series.typical // series_stride(series, MOST_STEPS))
    kernel = int(min(39, max(5, patches // 2)))
    return SeriesConvnetSpec(depth=depth, kernel=kernel), {
        "depth": f"{depth} layers suit {rows:,} training examples.",
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
