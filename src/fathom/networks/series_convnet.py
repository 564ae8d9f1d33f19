"""The family `series_convnet`: short kernels with dilations of all sizes, counted over the series.

What random convolutions with a linear model do so well (MiniRocket, Dempster et al. 2021, arXiv
2012.08791), as a network: kernels of nine steps, from beside each other to spread over the whole
series, and how often each answers. But kernels and thresholds are learned; they begin at random and
at quantiles of the answers. More layers see what those before them answered, and what
every layer answers is counted (as dense connections do, Huang et al. 2017, arXiv 1608.06993).
Padding is never seen.
"""

from __future__ import annotations

from math import log

import torch
from msgspec import Struct
from torch import Tensor, nn

from fathom.core.blocks import InputSpec, SeriesBlock
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.networks.beginning import Beginning
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

MOST_PLACES = 512  # of longer series answers are asked for at every so many steps
MOST_KERNEL = 513
KERNELS, LEAST_FILTERS = 768, 16  # of the default network over all dilations, and for each
SPACING = 2**0.5  # of dilations
ROUNDING = 1e-6
UNIFORM = 12**0.5  # makes the standard deviation of numbers spread evenly over [0, 1] one
GOLDEN = (5**0.5 - 1) / 2  # multiples of it are spread evenly over [0, 1]
AROUND = 0.05  # quantiles on either side that tell how close to each other answers are
FINEST = 0.01  # of the deviation of answers: no threshold is sharper
LEAST_SPREAD = 1 / MOST_PLACES  # of shares: of what is all alike at first
FARTHEST = 10.0  # that a share may be from the mean, in standard deviations
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

    The first has so many for each view of the series: values, ranks, ranks of changes, and whether
    there is a value, where some are missing. Dilations are 1, 2, 4, 5, 8, 11 … as long as a kernel
    fits into a typical series. `dropout` acts before the head. Raises PlanError for values that
    make no network.
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
    """Kernels of each dilation over channels (B, width_in, L), at every `stride`-th step.

    The channels are of `views`, as many of each, and so are the kernels, which see one view alone.
    """

    def __init__(
        self,
        width: int,
        spec: SeriesConvnetSpec,
        dilations: tuple[int, ...],
        stride: int = 1,
        views: int = 1,
    ) -> None:
        super().__init__()
        self.kernels = nn.ModuleList(
            _kernel(width, spec, dilation=dilation, stride=stride, views=views)
            for dilation in dilations
        )

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        """What kernels answer, (B, dilations · views · filters, L / stride), 0 at padding.

        `values` are zero where there is padding; `mask` is (B, L / stride).
        """
        answers = torch.cat([kernel(values) for kernel in self.kernels], dim=1)
        return answers * mask[:, None].to(answers.dtype)


def _kernel(
    width: int, spec: SeriesConvnetSpec, *, dilation: int, stride: int, views: int
) -> nn.Conv1d:
    """Kernels that at first look for a shape, not for a height: their weights add up to nothing."""
    kernel = nn.Conv1d(
        width,
        spec.filters * views,
        spec.kernel,
        stride=stride,
        dilation=dilation,
        padding=dilation * (spec.kernel // 2),
        groups=views,
        bias=False,
    )
    nn.init.normal_(kernel.weight)
    with torch.no_grad():
        kernel.weight -= kernel.weight.mean(dim=2, keepdim=True)
    return kernel


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
        self.layer = Spread(
            block.channels * _views(block),
            spec,
            dilations_of(block, spec),
            self.stride,
            _views(block),
        )

    def forward(self, inputs: dict[str, Tensor]) -> Steps:
        """Steps (B, L / stride, dilations · views · filters)."""
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


def ranks(series: Tensor) -> Tensor:
    """Ranks of the values (B, L, channels) within their series and channel, spread about 0 and 1.

    Equal values share the rank in their middle. NaN where a value is missing. The gradient is that
    of the standardised values (straight through, Bengio et al. 2013, arXiv 1308.3432), so that a
    series can be found that excites a kernel.
    """
    found = _ranks(series.detach())
    if not series.requires_grad:
        return found
    spread = (series.detach() - series.detach().nanmean(dim=1, keepdim=True)).square()
    scaled = series / spread.nanmean(dim=1, keepdim=True).sqrt().clamp_min(ROUNDING)
    return found + (scaled - scaled.detach())


def _ranks(series: Tensor) -> Tensor:
    values = series.transpose(1, 2).contiguous()
    missing = values.isnan()
    known = values.masked_fill(missing, torch.inf)
    ordered = known.sort(dim=2).values
    below, not_above = (torch.searchsorted(ordered, known, right=right) for right in (False, True))
    count = (~missing).sum(dim=2, keepdim=True).clamp_min(1)
    share = (below + not_above) / (2.0 * count)  # in [0, 1], its mean 0.5
    found = ((share - 0.5) * UNIFORM).masked_fill(missing, torch.nan)
    return found.transpose(1, 2).to(series.dtype)


class BegunNorm(Beginning, MaskedBatchNorm):
    """Batch normalization that begins with the statistics of what it sees first."""

    def forward(self, channels: Tensor, mask: Tensor) -> Tensor:
        """As `MaskedBatchNorm`."""
        if self.beginning:
            there = mask[:, None].float()
            count = there.sum().clamp_min(1)
            mean = (channels.float() * there).sum(dim=(0, 2)) / count
            square = (channels.float() - mean[:, None]).square() * there
            self.running_mean.copy_(mean)
            self.running_var.copy_(square.sum(dim=(0, 2)) / count)
        normalised: Tensor = MaskedBatchNorm.forward(self, channels, mask)
        return normalised


class Layer(nn.Module):
    """One more layer: its answers to those before it stand beside them."""

    def __init__(self, width: int, spec: SeriesConvnetSpec, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = BegunNorm(width)
        self.activation = nn.ReLU()
        self.narrow = nn.Linear(width, spec.filters, bias=False)
        self.layer = Spread(spec.filters, spec, dilations)

    def forward(self, steps: Steps) -> Steps:
        """Steps (B, L, width + dilations · filters)."""
        normalised = self.norm(steps.values.transpose(1, 2), steps.mask)
        positive = self.activation(normalised).transpose(1, 2)
        narrow = self.narrow(Steps(positive, steps.mask).cleared())
        found = self.layer(narrow.transpose(1, 2), steps.mask).transpose(1, 2)
        return Steps(torch.cat([steps.values, found], dim=2), steps.mask)


class Counting(Beginning):
    """At what share of the steps each kernel answers more than its threshold, standardised.

    Steps (B, L, width) to (B, width). The share is a soft one, so that thresholds are learned. Each
    begins at a quantile of what its kernel answers to one series, and is as sharp as answers are
    close to each other there, because one series may be a thousand times as high as another.
    """

    threshold: Tensor
    scale: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(width))
        self.activation = nn.Sigmoid()
        self.register_buffer("threshold", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("mean", torch.full((width,), 0.5))
        self.register_buffer("std", torch.ones(width))

    def forward(self, steps: Steps) -> Tensor:
        """Features (B, width)."""
        if self.beginning:
            self._begin(steps)
        standardised: Tensor = (self.shares(steps) - self.mean) / self.std
        return standardised.clamp(-FARTHEST, FARTHEST)

    def shares(self, steps: Steps) -> Tensor:
        """At what share of the steps each kernel answers more than its threshold, (B, width)."""
        inverse = self.scale.reciprocal()
        offset = self.threshold * inverse + self.shift
        values = steps.values.transpose(1, 2)
        above = self.activation(torch.addcmul(-offset[:, None], values, inverse[:, None]))
        with torch.autocast(above.device.type, enabled=False):  # in bfloat16 sums lose too much
            counts = torch.matmul(above.float(), steps.mask[:, :, None].float()).squeeze(2)
        return counts / steps.lengths.clamp_min(1)[:, None]

    def _begin(self, steps: Steps) -> None:
        """Thresholds at evenly spread quantiles of a series each; mean and deviation of shares.

        A channel looks at the next series of which its answers differ from step to step.
        """
        answers = steps.values.float()
        spread = _deviation(answers, steps.mask)
        count, width = spread.shape
        channels = torch.arange(width, device=spread.device)
        turns = (torch.arange(count, device=spread.device)[:, None] + channels) % count
        chosen = turns[(spread.gather(0, turns) > ROUNDING).int().argmax(dim=0), channels]
        quantiles = (channels + 1) * GOLDEN % 1
        for row in sorted(set(chosen.tolist())):
            here = chosen == row
            said = answers[row, steps.mask[row]][:, here].sort(dim=0).values
            low, middle, high = (
                _at(said, quantiles[here] + offset) for offset in (-AROUND, 0.0, AROUND)
            )
            self.threshold[here] = middle
            own = spread[row, here]
            sharp = torch.maximum((high - low) / 4, FINEST * own)
            self.scale[here] = torch.where(own > ROUNDING, sharp, 1.0)
        shares = self.shares(steps)
        self.mean.copy_(shares.mean(dim=0))
        self.std.copy_(shares.std(dim=0, correction=0).clamp_min(LEAST_SPREAD))


def _deviation(values: Tensor, mask: Tensor) -> Tensor:
    """Standard deviations (B, width) of steps (B, L, width) over those that are no padding."""
    there = mask[:, :, None].to(values.dtype)
    count = there.sum(dim=1).clamp_min(1)
    mean = (values * there).sum(dim=1) / count
    square = ((values - mean[:, None]).square() * there).sum(dim=1) / count
    return square.sqrt()


def _at(ordered: Tensor, quantiles: Tensor) -> Tensor:
    """The value of each column (L, width) that stands at its quantile (width,)."""
    places = (quantiles.clamp(0, 1) * (len(ordered) - 1)).round().long()
    return ordered.gather(0, places[None])[0]


class SeriesConvnet(Network):
    """Front, further layers, counting, head."""

    def __init__(self, spec: SeriesConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        _, block = _the_series(inputs)
        further = _further(block, spec)
        self.front = Front(spec, inputs)
        widths = [spec.filters * _views(block) * len(dilations_of(block, spec))]
        for _ in range(spec.depth - 1):
            widths.append(widths[-1] + spec.filters * len(further))
        self.layers = nn.ModuleList(Layer(width, spec, further) for width in widths[:-1])
        self.counting = Counting(widths[-1])
        self.head = Head(widths[-1], output.size, spec.dropout)

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


def _views(block: SeriesBlock) -> int:
    """Values, their ranks, those of their changes; where values are missing, whether they are."""
    return 4 if block.gaps else 3


def _check_size(spec: SeriesConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
    _, block = _the_series(inputs)
    width = spec.filters * _views(block) * len(dilations_of(block, spec))
    more = spec.filters * len(_further(block, spec))
    count = spec.kernel * width * block.channels
    count += (spec.depth - 1) * spec.filters * (width + spec.kernel * more)
    count += spec.filters * more * (spec.depth - 1) * (spec.depth - 2) // 2
    count += (width + (spec.depth - 1) * more) * (output.size + 7)
    check_weights(count, "network.filters, .kernel or .depth")


def default_spec(
    inputs: InputSpec, output: OutputSpec, rows: int
) -> tuple[SeriesConvnetSpec, Reasons]:
    """What suits one column of series and `rows` training examples, and why."""
    _, block = _the_series(inputs)
    count, views = len(dilations_of(block, SeriesConvnetSpec())), _views(block)
    filters = (2 if rows >= MANY else 1) * max(LEAST_FILTERS, KERNELS // (count * views))
    return SeriesConvnetSpec(filters=filters), {
        "filters": f"{filters} kernels for each of {count} dilation{'s' if count > 1 else ''} and "
        f"{views} views suit {rows:,} training examples.",
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
