"""The family `convnet`: a residual convolutional network for pictures."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from msgspec import Struct
from torch import Tensor, nn

from fathom.core.blocks import InputSpec
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.networks.activations import ACTIVATIONS
from fathom.networks.embeddings import Features, Pixels, features_size, without_images
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
    first_picture,
)

Normalization = Literal["batch", "group"]
NORMALIZATIONS: tuple[str, ...] = get_args(Normalization)
EMBED_DIM = 8
LARGE = 200_000
"""Training pictures from which on the default network has twice the channels."""


class ConvnetSpec(
    Struct, frozen=True, tag="convnet", tag_field="family", forbid_unknown_fields=True, kw_only=True
):
    """A stem that divides the picture's sides by `stem`, then a group of blocks for each width.

    `widths[i]` is the number of channels in group i; each group after the first halves the sides.
    `depth` counts the residual blocks of a group; `dropout` acts before the head. Pictures whose
    smaller side is above `side` are first brought down to it (0: never). Raises PlanError for
    values that make no network.
    """

    widths: tuple[int, ...] = (32, 64, 128)
    depth: int = 1
    stem: int = 2
    activation: str = "relu"
    dropout: float = 0.0
    normalization: Normalization = "batch"
    side: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(len(self.widths), 1, "The number of network.widths")
        check_at_least(min(self.widths), 8, "The smallest of network.widths")
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.stem, 1, "network.stem")
        check_at_least(self.side, 0, "network.side")
        check_fraction(self.dropout, "network.dropout")
        check_choice(self.activation, list(ACTIVATIONS), "network.activation")
        check_choice(self.normalization, NORMALIZATIONS, "network.normalization")


class NormActivation(nn.Sequential):
    """Normalization of each channel, then the activation: maps of the same shape."""

    def __init__(self, width: int, spec: ConvnetSpec) -> None:
        batch = spec.normalization == "batch"
        norm = nn.BatchNorm2d(width) if batch else nn.GroupNorm(_groups(width), width)
        super().__init__(norm, ACTIVATIONS[spec.activation]())


class ConvLayer(nn.Sequential):
    """Convolution, normalization, activation: (B, C, H, W) to (B, width, H/stride, W/stride)."""

    def __init__(
        self, channels: int, width: int, spec: ConvnetSpec, kernel: int = 3, stride: int = 1
    ) -> None:
        convolution = _convolution(channels, width, kernel, stride)
        super().__init__(convolution, NormActivation(width, spec))


class Stem(nn.Module):
    """The first layer: pictures, normalised, to feature maps whose sides are `stem` times smaller.

    Several pictures of one example are brought to the first one's size and stacked. Numbers and
    categories are added to every place of the maps, so that the whole network sees them.
    """

    def __init__(self, spec: ConvnetSpec, inputs: InputSpec) -> None:
        super().__init__()
        self.names = list(inputs.images)
        self.pixels = nn.ModuleList(Pixels(block) for block in inputs.images.values())
        channels = sum(block.channels for block in inputs.images.values())
        self.layer = ConvLayer(channels, spec.widths[0], spec, max(3, 2 * spec.stem), spec.stem)
        scalars = without_images(inputs)
        self.columns = Columns(scalars, spec.widths[0]) if scalars.blocks else None
        self.side = spec.side

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Feature maps (B, widths[0], H / stem, W / stem)."""
        seen = [smaller(inputs[name], self.side) for name in self.names]
        pictures = [pixels(x) for x, pixels in zip(seen, self.pixels, strict=True)]
        size = pictures[0].shape[2:]
        same = [p if p.shape[2:] == size else F.interpolate(p, size=size) for p in pictures]
        maps: Tensor = self.layer(torch.cat(same, dim=1) if len(same) > 1 else same[0])
        return maps if self.columns is None else maps + self.columns(inputs)


def smaller(pictures: Tensor, side: int) -> Tensor:
    """Pictures (B, C, H, W) with their smaller side brought down to `side`, where it is above."""
    height, width = pictures.shape[2:]
    share = side / min(height, width)
    if not side or share >= 1:
        return pictures
    size = (round(share * height), round(share * width))
    return F.interpolate(pictures.float(), size, mode="bilinear", antialias=True)


class Columns(nn.Module):
    """Numbers and categories beside a picture: a vector (B, width, 1, 1) for the feature maps."""

    def __init__(self, scalars: InputSpec, width: int) -> None:
        super().__init__()
        self.embedding = Features(scalars, "piecewise", EMBED_DIM)
        self.linear = nn.Linear(self.embedding.width, width)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """A vector for each example, to be added at every place."""
        vector: Tensor = self.linear(self.embedding(inputs))
        return vector[:, :, None, None]


class Block(nn.Module):
    """Two 3x3 convolutions whose result is added to the input (He et al. 2016, arXiv 1512.03385).

    There is one normalization and one activation, between the two: on a processor each further pass
    over the maps costs half a convolution. The second convolution starts small, so that a deep
    stack of blocks at first passes its input on, and trains as easily as a shallow one.
    """

    START = 0.3

    def __init__(self, width: int, spec: ConvnetSpec) -> None:
        super().__init__()
        self.first = ConvLayer(width, width, spec)
        self.second = _convolution(width, width, 3, 1)
        with torch.no_grad():
            self.second.weight *= self.START

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps of the same shape."""
        change: Tensor = self.second(self.first(maps))
        return maps + change


class Pool(nn.Module):
    """The mean of each feature map over all places: (B, width, H, W) to (B, width)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Features (B, width)."""
        return maps.mean(dim=(2, 3))


class Convnet(Network):
    """Stem, groups of residual blocks with a halving in between, pooling, head."""

    def __init__(self, spec: ConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        self.stem = Stem(spec, inputs)
        self.halvings = nn.ModuleList(
            ConvLayer(before, after, spec, stride=2) for before, after in pairwise(spec.widths)
        )
        self.groups = nn.ModuleList(
            nn.ModuleList(Block(width, spec) for _ in range(spec.depth)) for width in spec.widths
        )
        self.activation = NormActivation(spec.widths[-1], spec)
        self.pool = Pool()
        self.head = Head(spec.widths[-1], output.size, spec.dropout)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Stem, blocks and halvings as they follow each other, activation, pooling, head."""
        chain: list[tuple[str, nn.Module]] = [("stem", self.stem)]
        number = 0
        for position, group in enumerate(self.groups):
            if position:
                chain.append((f"halving {position}", self.halvings[position - 1]))
            for block in group:  # type: ignore[attr-defined]
                number += 1
                chain.append((f"block {number}", block))
        return [
            *chain,
            ("activation", self.activation),
            ("pooling", self.pool),
            ("head", self.head),
        ]


def _convolution(channels: int, width: int, kernel: int, stride: int) -> nn.Conv2d:
    convolution = nn.Conv2d(channels, width, kernel, stride, (kernel - stride + 1) // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return convolution


def _groups(width: int) -> int:
    """The largest number of groups up to 8 that divides the channels."""
    return next(groups for groups in (8, 4, 2, 1) if width % groups == 0)


def _check_size(spec: ConvnetSpec, inputs: InputSpec, output: OutputSpec) -> None:
    first = first_picture(inputs, "convnet")
    shrinks = spec.stem * 2 ** (len(spec.widths) - 1)
    sides = (first.height, first.width, *([spec.side] if spec.side else []))
    if shrinks > min(sides):
        raise PlanError(
            f"network.stem and network.widths divide the sides of a picture by {shrinks}, but the "
            f"pictures are {first.width}x{first.height}: use a smaller stem or fewer widths."
        )
    count = _stem_weights(spec, inputs) + spec.widths[-1] * output.size
    count += sum(9 * before * after for before, after in pairwise(spec.widths))
    count += sum(2 * spec.depth * 9 * width**2 for width in spec.widths)
    check_weights(count, "network.widths or network.depth")


def _stem_weights(spec: ConvnetSpec, inputs: InputSpec) -> int:
    embedded, features = features_size(without_images(inputs), EMBED_DIM)
    channels = sum(block.channels for block in inputs.images.values())
    return embedded + spec.widths[0] * (features + channels * max(3, 2 * spec.stem) ** 2)


def default_spec(inputs: InputSpec, output: OutputSpec, rows: int) -> tuple[ConvnetSpec, Reasons]:
    """What suits pictures of this size and `rows` training examples, and why.

    Raises PlanError where there are no pictures.
    """
    block = first_picture(inputs, "convnet")
    side = min(block.height, block.width)
    stem = 1 if side < 16 else 2 if side < 48 else 4
    base = 32 if rows < LARGE else 64
    widths = tuple(base * 2**i for i in range(_halvings(side // stem) + 1))
    size = f"{block.width}x{block.height}"
    reasons = {
        "stem": f"Pictures of {size} pixels become maps of {-(-side // stem)} places a side, "
        "small enough to be quick and large enough to keep the detail.",
        "widths": f"{len(widths)} groups bring these maps down to about 4 places a side; "
        f"{base} channels to begin with suit {rows:,} training pictures.",
        "activation": "ReLU takes the least time of all activations.",
    }
    return ConvnetSpec(widths=widths, stem=stem), reasons


def _halvings(side: int) -> int:
    """How often maps of `side` places are halved: down to about 4, at most three times."""
    return sum(side >= 6 * 2**i for i in range(3))


FAMILIES.register("convnet")(
    Family(
        spec=ConvnetSpec,
        build=Convnet,
        default_spec=default_spec,
        accepts=lambda inputs: bool(inputs.images) and not inputs.sequences,
    )
)
