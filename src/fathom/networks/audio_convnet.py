"""The family `audio_convnet`: a convnet over bands and time, with broadcasted residuals.

After BC-ResNet (Kim et al. 2021, "Broadcasted residual learning for efficient keyword spotting",
arXiv 2106.04140): in each block a convolution across bands works on the whole map and one across
time on the mean of all bands, which is cheap, and what the second finds is added to every band.
Every normalization and every convolution across time leaves padding out.

The default has fewer and wider blocks than the paper's: on a processor a pass over a map costs more
than the products in it, and in as many steps they learned far more (LOG.md).
"""

from __future__ import annotations

from msgspec import Struct
from torch import Tensor, nn

from fathom.core.blocks import AudioBlock, InputSpec
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
from fathom.networks.fronts import one_sequence, the_sequence
from fathom.networks.sound import Bands
from fathom.networks.steps import Maps, MaskedBatchNorm, PoolSteps, Steps

KERNEL = 3
STEM_KERNEL = 5
SUB_BANDS = (5, 4, 2)  # into so many parts bands are cut for normalization, the first that fits
SHORT_SECONDS = 0.3
"""Sounds of this typical length and shorter are looked at every 10 ms instead of every 20."""


class AudioConvnetSpec(
    Struct,
    frozen=True,
    tag="audio_convnet",
    tag_field="family",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """Groups of blocks over maps of bands and time: `widths[i]` channels, `depths[i]` blocks.

    Groups in the middle halve the bands; each sees twice as far in time as the one before. `stride`
    is how many hundredths of a second the first layer goes on at a time. `dropout` acts on the
    channels of what blocks find in time, `head_dropout` before the head. Raises PlanError for
    values that make no network.
    """

    widths: tuple[int, ...] = (24, 32, 48, 64)
    depths: tuple[int, ...] = (1, 1, 2, 1)
    stem: int = 24
    stride: int = 2
    dropout: float = 0.1
    head_dropout: float = 0.2

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(len(self.widths), 1, "The number of network.widths")
        check_at_most(len(self.widths), 6, "The number of network.widths")
        check_at_least(min(self.widths), 2, "The smallest of network.widths")
        if len(self.depths) != len(self.widths):
            raise PlanError(
                f"network.depths has {len(self.depths)} numbers and network.widths "
                f"{len(self.widths)}: give one of each for every group."
            )
        check_at_least(min(self.depths), 1, "The smallest of network.depths")
        check_at_most(max(self.depths), MOST_DEPTH, "The largest of network.depths")
        check_at_least(self.stem, 2, "network.stem")
        check_at_least(self.stride, 1, "network.stride")
        check_at_most(self.stride, 8, "network.stride")
        check_fraction(self.dropout, "network.dropout")
        check_fraction(self.head_dropout, "network.head_dropout")


class BandNorm(nn.Module):
    """Batch normalization of maps (B, C, F, L), each of a few stretches of bands by itself.

    Sub-spectral normalization (Chang et al. 2021): what is usual differs from low to high pitch.
    """

    def __init__(self, channels: int, bands: int, *, parts: bool) -> None:
        super().__init__()
        fitting = [count for count in SUB_BANDS if bands % count == 0]
        self.parts = fitting[0] if parts and fitting else 1
        self.norm = MaskedBatchNorm(channels * self.parts)

    def forward(self, maps: Tensor, mask: Tensor) -> Tensor:
        """Maps of the same shape, zeros where `mask` (B, L) is False."""
        count, channels, bands, length = maps.shape
        inside = bands // self.parts
        flat = maps.reshape(count, channels * self.parts, inside * length)
        there = mask[:, None].expand(count, inside, length).reshape(count, inside * length)
        normalised: Tensor = self.norm(flat, there)
        return normalised.view(maps.shape)


class Stem(nn.Module):
    """Sound to maps of half the bands."""

    def __init__(self, spec: AudioConvnetSpec, inputs: InputSpec) -> None:
        super().__init__()
        self.name, block = the_sequence(inputs, "audio_convnet")
        if not isinstance(block, AudioBlock):
            raise PlanError(
                f"The network family audio_convnet needs a column of sound, which {self.name!r} "
                "is not."
            )
        self.stride = spec.stride
        self.bands = Bands(block)
        self.convolution = nn.Conv2d(
            1, spec.stem, STEM_KERNEL, (2, spec.stride), STEM_KERNEL // 2, bias=False
        )
        self.norm = BandNorm(spec.stem, _halved(len(block.mean)), parts=False)
        self.activation = nn.ReLU()

    def forward(self, inputs: dict[str, Tensor]) -> Maps:
        """Maps (B, stem, bands / 2, L)."""
        heard: Steps = self.bands(inputs[self.name])
        mask = heard.mask[:, :: self.stride]
        maps = self.convolution(heard.values.transpose(1, 2)[:, None])
        return Maps(self.activation(self.norm(maps, mask)), mask)


class BroadcastBlock(nn.Module):
    """One block; the first of a group changes the number of channels, and perhaps of bands."""

    def __init__(
        self, before: int, width: int, bands: int, *, stride: int, dilation: int, dropout: float
    ) -> None:
        super().__init__()
        self.changes = before != width or stride != 1
        after = _halved(bands) if stride == 2 else bands
        if self.changes:
            self.widen = nn.Conv2d(before, width, 1, bias=False)
            self.widen_norm = BandNorm(width, bands, parts=False)
            self.widen_activation = nn.ReLU()
        self.across_bands = nn.Conv2d(
            width, width, (KERNEL, 1), (stride, 1), (KERNEL // 2, 0), groups=width, bias=False
        )
        self.bands_norm = BandNorm(width, after, parts=True)
        self.across_time = nn.Conv1d(
            width, width, KERNEL, padding=dilation, dilation=dilation, groups=width, bias=False
        )
        self.time_norm = MaskedBatchNorm(width)
        self.time_activation = nn.SiLU()
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = nn.Dropout1d(dropout)
        self.activation = nn.ReLU()

    def forward(self, flow: Maps) -> Maps:
        """Maps (B, width, bands / stride, L)."""
        values, mask = flow
        if self.changes:
            values = self.widen_activation(self.widen_norm(self.widen(values), mask))
        found = self.bands_norm(self.across_bands(values), mask)
        time = self.time_norm(self.across_time(found.mean(dim=2)), mask)
        time = self.dropout(self.mix(self.time_activation(time))) * mask[:, None]
        total = found + time[:, :, None]
        return Maps(self.activation(total if self.changes else total + values), mask)


class Tail(nn.Module):
    """Maps to one vector: a last look across bands and time, their mean over bands, pooling."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(
            width, width, STEM_KERNEL, padding=STEM_KERNEL // 2, groups=width, bias=False
        )
        self.mix = nn.Conv1d(width, out, 1, bias=False)
        self.norm = MaskedBatchNorm(out)
        self.activation = nn.ReLU()
        self.pool = PoolSteps()

    def forward(self, flow: Maps) -> Tensor:
        """Features (B, 2 · out)."""
        seen = self.look(flow.values).mean(dim=2)  # (B, width, L)
        channels = self.activation(self.norm(self.mix(seen), flow.mask))
        pooled: Tensor = self.pool(Steps(channels.transpose(1, 2), flow.mask))
        return pooled


class AudioConvnet(Network):
    """Stem, groups of blocks, pooling, head."""

    def __init__(self, spec: AudioConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        self.stem = Stem(spec, inputs)
        block = inputs.sequences[self.stem.name]
        assert isinstance(block, AudioBlock)
        self.blocks = nn.ModuleList(_blocks(spec, _halved(len(block.mean))))
        self.pool = Tail(spec.widths[-1], 2 * spec.widths[-1])
        self.head = Head(4 * spec.widths[-1], output.size, spec.head_dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Stem, blocks, pooling, head."""
        blocks = [(f"block {i}", block) for i, block in enumerate(self.blocks, 1)]
        return [("stem", self.stem), *blocks, ("pooling", self.pool), ("head", self.head)]


def _blocks(spec: AudioConvnetSpec, bands: int) -> list[BroadcastBlock]:
    made, before = [], spec.stem
    for group, (width, depth) in enumerate(zip(spec.widths, spec.depths, strict=True)):
        halves = 0 < group < len(spec.widths) - 1 and bands >= 2 * KERNEL
        for place in range(depth):
            stride = 2 if halves and place == 0 else 1
            made.append(
                BroadcastBlock(
                    before if place == 0 else width,
                    width,
                    bands,
                    stride=stride,
                    dilation=2**group,
                    dropout=spec.dropout,
                )
            )
            bands = _halved(bands) if stride == 2 else bands
        before = width
    return made


def _halved(bands: int) -> int:
    return -(-bands // 2)


def _check_size(spec: AudioConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
    the_sequence(inputs, "audio_convnet")
    norms = 2 * (1 + SUB_BANDS[0])
    count = spec.stem * (STEM_KERNEL**2 + 2)
    before = spec.stem
    for width, depth in zip(spec.widths, spec.depths, strict=True):
        count += before * width + 2 * width
        count += depth * width * (2 * KERNEL + norms + width + 1)
        before = width
    last = spec.widths[-1]
    count += last * STEM_KERNEL**2 + 2 * last**2 + 4 * last + 4 * last * output.size
    check_weights(count, "network.widths or network.depths")


def default_spec(
    inputs: InputSpec, output: OutputSpec, rows: int
) -> tuple[AudioConvnetSpec, Reasons]:
    """What suits one column of sound and `rows` training examples, and why."""
    _, block = the_sequence(inputs, "audio_convnet")
    seconds = block.typical / block.rate if isinstance(block, AudioBlock) else 0.0
    stride = 1 if seconds <= SHORT_SECONDS else 2
    return AudioConvnetSpec(stride=stride), {
        "widths": f"Broadcasted residuals need few channels: these suit {rows:,} sounds.",
        "stride": f"Sounds of typically {seconds:.2g} s are looked at every {10 * stride} ms.",
    }


FAMILIES.register("audio_convnet")(
    Family(
        spec=AudioConvnetSpec,
        build=AudioConvnet,
        default_spec=default_spec,
        accepts=lambda inputs: (
            one_sequence(inputs) and isinstance(next(iter(inputs.blocks.values())), AudioBlock)
        ),
    )
)
