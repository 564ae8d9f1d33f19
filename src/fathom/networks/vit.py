"""The family `vit`: a Vision Transformer, for pictures (Dosovitskiy et al. 2021, arXiv 2010.11929).

It sees a picture as a sequence of patches that attend to each other. With little data it needs help
to see that neighbours belong together: the default stem is convolutional (Xiao et al. 2021, arXiv
2106.14881), positions are sines and cosines that need no learning (Beyer et al. 2022, arXiv
2205.01580), and residual branches start small (Touvron et al. 2021, arXiv 2103.17239).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from msgspec import Struct
from torch import Tensor, nn

from fathom.core.blocks import ImageBlock, InputSpec
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.networks.attention import EXPANSION, Block
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

StemName = Literal["convolution", "patch"]
PositionsName = Literal["sincos", "learned"]
PoolName = Literal["mean", "token"]
EMBED_DIM = 8
HEAD_WIDTH = 32
MOST_TOKENS = 4096
MANY = 200_000
"""Training pictures from which on the default network is twice as wide."""


class VitSpec(
    Struct, frozen=True, tag="vit", tag_field="family", forbid_unknown_fields=True, kw_only=True
):
    """`depth` pre-norm blocks of attention and perceptron over patches of `patch` pixels a side.

    Each patch is a vector of `width` numbers, attended to by `num_heads` heads. `stem`: one
    convolution as large as the patch, or two overlapping ones. `pool`: the mean over patches, or a
    learned token that attends to them. `layer_scale` is what residual branches start at, 0 for
    none; `stochastic_depth` the chance that an example skips the last branch, less for earlier ones
    (Huang et al. 2016, arXiv 1603.09382). `dropout` acts before the head. Raises PlanError for
    values that make no network.
    """

    patch: int = 4
    width: int = 96
    depth: int = 4
    num_heads: int = 3
    stem: StemName = "convolution"
    positions: PositionsName = "sincos"
    pool: PoolName = "mean"
    layer_scale: float = 0.1
    stochastic_depth: float = 0.0
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.patch, 1, "network.patch")
        check_at_least(self.width, 8, "network.width")
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.num_heads, 1, "network.num_heads")
        check_at_least(self.layer_scale, 0, "network.layer_scale")
        check_fraction(self.stochastic_depth, "network.stochastic_depth")
        check_fraction(self.dropout, "network.dropout")
        check_choice(self.stem, get_args(StemName), "network.stem")
        check_choice(self.positions, get_args(PositionsName), "network.positions")
        check_choice(self.pool, get_args(PoolName), "network.pool")
        if self.width % self.num_heads:
            raise PlanError(
                f"network.width is {self.width}, which network.num_heads ({self.num_heads}) does "
                "not divide."
            )
        if self.positions == "sincos" and self.width % 4:
            raise PlanError(
                f"network.width is {self.width}: it must be a multiple of 4, or set "
                "network.positions=learned."
            )


class Stem(nn.Module):
    """Pictures to a sequence of patches with their positions; scalar columns are added to each.

    Several pictures of one example are brought to the first one's size and stacked.
    """

    def __init__(self, spec: VitSpec, inputs: InputSpec) -> None:
        super().__init__()
        self.names = list(inputs.images)
        self.pixels = nn.ModuleList(Pixels(block) for block in inputs.images.values())
        channels = sum(block.channels for block in inputs.images.values())
        self.layers = _patches(spec, channels)
        first = first_picture(inputs, "vit")
        self.grid = _grid(spec, first)
        self.learned = (
            nn.Parameter(0.02 * torch.randn(1, spec.width, *self.grid))
            if spec.positions == "learned"
            else None
        )
        scalars = without_images(inputs)
        self.embedding = Features(scalars, "piecewise", EMBED_DIM) if scalars.blocks else None
        self.columns = nn.Linear(self.embedding.width, spec.width) if self.embedding else None
        self.token = (
            nn.Parameter(0.02 * torch.randn(1, 1, spec.width)) if spec.pool == "token" else None
        )

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Patches (B, N, width), the token that pools them first, where there is one."""
        pictures = [m(inputs[n]) for n, m in zip(self.names, self.pixels, strict=True)]
        size = pictures[0].shape[2:]
        same = [p if p.shape[2:] == size else F.interpolate(p, size=size) for p in pictures]
        maps: Tensor = self.layers(torch.cat(same, dim=1) if len(same) > 1 else same[0])
        maps = maps + self._positions(maps)
        patches = maps.flatten(2).transpose(1, 2)  # (B, N, width)
        if self.embedding is not None and self.columns is not None:
            patches = patches + self.columns(self.embedding(inputs))[:, None]
        if self.token is not None:
            token = self.token.to(patches.dtype).expand(len(patches), -1, -1)
            patches = torch.cat([token, patches], dim=1)
        return patches

    def _positions(self, maps: Tensor) -> Tensor:
        """Positions (1, width, H, W) of maps (B, width, H, W); a smaller picture is stretched."""
        size = (maps.shape[2], maps.shape[3])
        if self.learned is None:
            return sincos(maps.shape[1], size, self.grid, maps.device).to(maps.dtype)
        if size == self.grid:
            return self.learned.to(maps.dtype)
        return F.interpolate(self.learned, size, mode="bilinear").to(maps.dtype)


def sincos(
    width: int, size: tuple[int, int], grid: tuple[int, int], device: torch.device
) -> Tensor:
    """Sines and cosines of row and column, (1, width, H, W), at 1 to 1/10,000 radians a place.

    A picture of `size` places is laid over the `grid` that the network was made for.
    """
    quarter = width // 4
    rates = 10_000.0 ** (-torch.arange(quarter, device=device) / max(quarter - 1, 1))
    parts = []
    for axis in (0, 1):
        places = (torch.arange(size[axis], device=device) + 0.5) * grid[axis] / size[axis]
        angles = rates[:, None] * places  # (width / 4, side)
        both = torch.cat([angles.sin(), angles.cos()])  # (width / 2, side)
        parts.append(both[:, :, None] if axis == 0 else both[:, None, :])
    return torch.cat([part.expand(-1, *size) for part in parts])[None]


class Pool(nn.Module):
    """One vector of all patches: their mean, or the token that stands first."""

    def __init__(self, spec: VitSpec) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(spec.width)
        self.token = spec.pool == "token"

    def forward(self, patches: Tensor) -> Tensor:
        """Features (B, width)."""
        features: Tensor = self.norm(patches)
        return features[:, 0] if self.token else features.mean(dim=1)


class Vit(Network):
    """Stem, blocks, pooling, head."""

    def __init__(self, spec: VitSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        self.stem = Stem(spec, inputs)
        last = max(spec.depth - 1, 1)
        self.blocks = nn.ModuleList(
            Block(
                spec.width,
                spec.num_heads,
                layer_scale=spec.layer_scale,
                skipped=spec.stochastic_depth * i / last,
            )
            for i in range(spec.depth)
        )
        self.pool = Pool(spec)
        self.head = Head(spec.width, output.size, spec.dropout)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Stem, blocks, pooling, head."""
        blocks = [(f"block {i}", block) for i, block in enumerate(self.blocks, 1)]
        return [("stem", self.stem), *blocks, ("pooling", self.pool), ("head", self.head)]


def _patches(spec: VitSpec, channels: int) -> nn.Sequential:
    """From stacked pictures to a map (B, width, H, W) with one place for each patch."""
    if spec.stem == "patch":
        return nn.Sequential(nn.Conv2d(channels, spec.width, spec.patch, spec.patch))
    first, second = _strides(spec)
    middle = _middle(spec)
    return nn.Sequential(
        nn.Conv2d(channels, middle, 3, first, 1, bias=False),
        nn.BatchNorm2d(middle),
        nn.ReLU(),
        nn.Conv2d(middle, spec.width, max(3, second), second, 1),
    )


def _strides(spec: VitSpec) -> tuple[int, int]:
    """How far the two convolutions of the stem go: together about a patch."""
    first = 1 if spec.patch == 1 else 2 if spec.patch < 8 else 4
    return first, max(1, spec.patch // first)


def _middle(spec: VitSpec) -> int:
    return max(8, spec.width // 2)


def _grid(spec: VitSpec, block: ImageBlock) -> tuple[int, int]:
    """Places that a full picture has, down and across."""

    def places(side: int) -> int:
        if spec.stem == "patch":
            return side // spec.patch
        first, second = _strides(spec)
        inner = (side - 1) // first + 1
        return (inner + 2 - max(3, second)) // second + 1

    return places(block.height), places(block.width)


def _check_size(spec: VitSpec, inputs: InputSpec, output: OutputSpec) -> None:
    first = first_picture(inputs, "vit")
    tokens = math.prod(_grid(spec, first))
    size = f"pictures of {first.width}x{first.height}"
    if spec.patch > min(first.height, first.width) or tokens < 1:
        raise PlanError(f"network.patch is {spec.patch}, too large for {size}.")
    if tokens > MOST_TOKENS:
        raise PlanError(
            f"network.patch is {spec.patch}: {size} would be {tokens:,} patches, more than the "
            f"{MOST_TOKENS:,} that can attend to each other here; use larger patches."
        )
    embedded, features = features_size(without_images(inputs), EMBED_DIM)
    channels = sum(block.channels for block in inputs.images.values())
    count = embedded + spec.width * (features + output.size)
    count += spec.depth * spec.width**2 * (4 + 2 * EXPANSION)
    if spec.stem == "patch":
        count += channels * spec.width * spec.patch**2
    else:
        second = max(3, _strides(spec)[1])
        count += _middle(spec) * (9 * channels + second**2 * spec.width)
    if spec.positions == "learned":
        count += spec.width * tokens
    check_weights(count, "network.width or network.depth")


def default_spec(inputs: InputSpec, output: OutputSpec, rows: int) -> tuple[VitSpec, Reasons]:
    """What suits pictures of this size and `rows` training examples, and why.

    Raises PlanError where there are no pictures.
    """
    block = first_picture(inputs, "vit")
    side = min(block.height, block.width)
    patch = min(side, 2 if side < 16 else 4 if side < 48 else 8 if side < 160 else 16)
    width = 96 if rows < MANY else 192
    reasons = {
        "patch": f"Pictures of {block.width}x{block.height} pixels become about "
        f"{-(-side // patch)} patches a side: attention to more of them costs too much.",
        "width": f"{width} numbers for each patch suit {rows:,} training pictures.",
        "stem": "Two overlapping convolutions see neighbours, which attention first has to learn.",
    }
    spec = VitSpec(patch=patch, width=width, num_heads=width // HEAD_WIDTH)
    return spec, reasons


FAMILIES.register("vit")(
    Family(
        spec=VitSpec,
        build=Vit,
        default_spec=default_spec,
        accepts=lambda inputs: bool(inputs.images) and not inputs.sequences,
    )
)
