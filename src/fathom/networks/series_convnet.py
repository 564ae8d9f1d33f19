"""The family `series_convnet`: short kernels with dilations of all sizes, counted over the series.

What random convolutions with a linear model do so well (MiniRocket, Dempster et al. 2021, arXiv
2012.08791), as a network: kernels of nine steps, from beside each other to spread over the whole
series, and how often and how strongly each answers. But kernels and thresholds are learned. More
layers see what those before them answered, and what every layer answers is counted (as dense
connections do, Huang et al. 2017, arXiv 1608.06993). Padding is never seen.
"""

from __future__ import annotations

from math import log

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
from fathom.networks.fronts import one_sequence, series_stride, the_sequence
from fathom.networks.steps import MaskedBatchNorm, Steps

MOST_PLACES = 256  # of longer series answers are asked for at every so many steps
MOST_KERNEL = 513
KERNELS, LEAST_FILTERS = 192, 16  # of the default network over all dilations, and for each
SPACING = 2**0.5  # of dilations
ROUNDING = 1e-6
UNIFORM = 12**0.5  # makes the standard deviation of numbers spread evenly over [0, 1] one
STEEPNESS = 4.0  # of the counting, in standard deviations of what is counted
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
    """`depth` layers, each with `filters` kernels of `kernel` steps for every dilation.

    Dilations are 1, 2, 4, 5, 8, 11 … as long as a kernel fits into a typical series. `dropout` acts
    before the head. Raises PlanError for values that make no network.
    """

    filters: int = 16
    depth: int = 1
    kernel: int = 9
    dropout: float = 0.5

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.filters, 2, "network.filters")
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.kernel, 3, "network.kernel")
        check_at_most(self.kernel, MOST_KERNEL, "network.kernel")
        if self.kernel % 2 == 0:
            raise PlanError(
                f"network.kernel is {self.kernel}, but it must be odd, so that it has a middle."
            )
        check_fraction(self.dropout, "network.dropout")


class Spread(nn.Module):
    """Kernels of each dilation over channels (B, width_in, L), at every `stride`-th step."""

    def __init__(
        self, width: int, spec: SeriesConvnetSpec, dilations: tuple[int, ...], stride: int = 1
    ) -> None:
        super().__init__()
        self.kernels = nn.ModuleList(
            nn.Conv1d(
                width,
                spec.filters,
                spec.kernel,
                stride=stride,
                dilation=dilation,
                padding=dilation * (spec.kernel // 2),
                bias=False,
            )
            for dilation in dilations
        )
        self.norm = MaskedBatchNorm(spec.filters * len(dilations))

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """What kernels answer, standardised, (B, dilations · filters, L / stride).

        `values` are zero where there is padding; `mask` is (B, L / stride).
        """
        answers = torch.cat([kernel(values) for kernel in self.kernels], dim=1)
        normalised: Tensor = self.norm(answers, mask)
        return normalised


class Front(nn.Module):
    """The first layer: the one series among the inputs as what its kernels answer.

    Beside the values their ranks within the series are seen, and those of the changes from step to
    step: what is small in one series and large in another looks the same, and an outlier hides
    nothing. A missing value counts as 0, the mean of its channel; where values were missing in
    training, whether they are there is seen, too.
    """

    def __init__(self, spec: SeriesConvnetSpec, inputs: InputSpec) -> None:
        super().__init__()
        self.name, block = _the_series(inputs)
        self.gaps, self.stride = block.gaps, series_stride(block, MOST_PLACES)
        self.layer = Spread(_seen(block), spec, dilations_of(block, spec), self.stride)

    def forward(self, inputs: dict[str, Tensor]) -> Steps:
        """Steps (B, L / stride, dilations · filters)."""
        series = inputs[self.name]
        there = ~series.isnan()
        # A step belongs to a series up to the last that has a value, and the first always does.
        mask = there.any(dim=2).flip(1).cummax(dim=1).values.flip(1)
        mask[:, 0] = True
        parts = [series, ranks(series), ranks(changes(series))]
        if self.gaps:
            parts.append(there.to(series.dtype))
        values = torch.cat(parts, dim=2).nan_to_num()
        mask = mask[:, :: self.stride]
        return Steps(self.layer(values.transpose(1, 2), mask).transpose(1, 2), mask)


def changes(series: Tensor) -> Tensor:
    """From each step (B, L, channels) to the next, NaN for the first and where one is missing."""
    change = torch.full_like(series, torch.nan)
    change[:, 1:] = series[:, 1:] - series[:, :-1]
    return change


@torch.no_grad()
def ranks(series: Tensor) -> Tensor:
    """Ranks of the values (B, L, channels) within their series and channel, spread about 0 and 1.

    Equal values share the rank in their middle. NaN where a value is missing.
    """
    values = series.transpose(1, 2).contiguous()
    missing = values.isnan()
    known = values.masked_fill(missing, torch.inf)
    ordered = known.sort(dim=2).values
    below, not_above = (torch.searchsorted(ordered, known, right=right) for right in (False, True))
    count = (~missing).sum(dim=2, keepdim=True).clamp_min(1)
    share = (below + not_above) / (2.0 * count)  # in [0, 1], its mean 0.5
    found = ((share - 0.5) * UNIFORM).masked_fill(missing, torch.nan)
    return found.transpose(1, 2).to(series.dtype)


class Layer(nn.Module):
    """One more layer: its answers to those before it stand beside them."""

    def __init__(self, width: int, spec: SeriesConvnetSpec, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.activation = nn.ReLU()
        self.narrow = nn.Linear(width, spec.filters, bias=False)
        self.layer = Spread(spec.filters, spec, dilations)

    def forward(self, steps: Steps) -> Steps:
        """Steps (B, L, width + dilations · filters)."""
        positive = self.activation(steps.values.transpose(1, 2)).transpose(1, 2)
        narrow = self.narrow(Steps(positive, steps.mask).cleared())
        found = self.layer(narrow.transpose(1, 2), steps.mask).transpose(1, 2)
        return Steps(torch.cat([steps.values, found], dim=2), steps.mask)


class Counting(nn.Module):
    """What each kernel answers at most, and at what share of the steps more than a threshold.

    The share is a soft one, so that thresholds are learned; both are standardised over the batch,
    for few shares differ by much. Steps (B, L, width) to (B, 2 · width).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.zeros(width))
        self.activation = nn.Sigmoid()
        self.norm = MaskedBatchNorm(2 * width)

    def forward(self, steps: Steps) -> Tensor:
        """Features (B, 2 · width)."""
        values = steps.values.transpose(1, 2)
        above = self.activation(STEEPNESS * (values - self.threshold[:, None]))
        there = steps.mask[:, None]
        counts = steps.lengths.clamp_min(1)[:, None].to(values.dtype)
        share = (above * there.to(values.dtype)).sum(dim=2) / counts
        largest = values.masked_fill(~there, torch.finfo(values.dtype).min).amax(dim=2)
        features = torch.cat([largest, share], dim=1)[:, :, None]
        whole = there.new_ones(len(features), 1)
        standardised: Tensor = self.norm(features, whole).squeeze(2)
        return standardised


class SeriesConvnet(Network):
    """Front, further layers, counting, head."""

    def __init__(self, spec: SeriesConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        _, block = _the_series(inputs)
        further = _further(block, spec)
        self.front = Front(spec, inputs)
        widths = [spec.filters * len(dilations_of(block, spec))]
        for _ in range(spec.depth - 1):
            widths.append(widths[-1] + spec.filters * len(further))
        self.layers = nn.ModuleList(Layer(width, spec, further) for width in widths[:-1])
        self.counting = Counting(widths[-1])
        self.head = Head(2 * widths[-1], output.size, spec.dropout)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Layers, counting, head."""
        layers = [(f"layer {i}", layer) for i, layer in enumerate([self.front, *self.layers], 1)]
        return [*layers, ("counting", self.counting), ("head", self.head)]


def dilations_of(block: SeriesBlock, spec: SeriesConvnetSpec, stride: int = 1) -> tuple[int, ...]:
    """1, 2, 4, 5, 8, 11 … as long as a kernel fits into a typical series of every `stride`."""
    most = max(1.0, block.typical / stride / (spec.kernel - 1))
    count = int(log(most) / log(SPACING) + ROUNDING) + 1
    found = sorted({int(SPACING**i + ROUNDING) for i in range(count)})
    return tuple(found)


def _further(block: SeriesBlock, spec: SeriesConvnetSpec) -> tuple[int, ...]:
    return dilations_of(block, spec, series_stride(block, MOST_PLACES))


def _the_series(inputs: InputSpec) -> tuple[str, SeriesBlock]:
    name, block = the_sequence(inputs, "series_convnet")
    if isinstance(block, SeriesBlock):
        return name, block
    raise PlanError(
        f"The network family series_convnet needs a column of series, which {name!r} is not."
    )


def _seen(block: SeriesBlock) -> int:
    return block.channels * (4 if block.gaps else 3)


def _check_size(spec: SeriesConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
    _, block = _the_series(inputs)
    width = spec.filters * len(dilations_of(block, spec))
    more = spec.filters * len(_further(block, spec))
    count = spec.kernel * width * _seen(block)
    count += (spec.depth - 1) * spec.filters * (width + spec.kernel * more)
    count += spec.filters * more * (spec.depth - 1) * (spec.depth - 2) // 2
    count += (width + (spec.depth - 1) * more) * (2 * output.size + 7)
    check_weights(count, "network.filters, .kernel or .depth")


def default_spec(
    inputs: InputSpec, output: OutputSpec, rows: int
) -> tuple[SeriesConvnetSpec, Reasons]:
    """What suits one column of series and `rows` training examples, and why."""
    _, block = _the_series(inputs)
    count = len(dilations_of(block, SeriesConvnetSpec()))
    filters = (2 if rows >= MANY else 1) * max(LEAST_FILTERS, KERNELS // count)
    return SeriesConvnetSpec(filters=filters), {
        "filters": f"{filters} kernels for each of {count} dilation{'s' if count > 1 else ''} suit "
        f"{rows:,} training examples.",
        "dropout": "What kernels answer is much alike: any half of it must suffice.",
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
