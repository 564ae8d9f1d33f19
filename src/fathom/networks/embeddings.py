"""From the blocks of an encoded data set to features that a network can compute with.

Numbers are embedded as in Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular
Deep Learning" (arXiv 2203.05556): a plain number says little to a linear layer, a vector that
tells in which part of its range the number lies says much.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from fathom.core.blocks import (
    CATEGORIES,
    NUMBERS,
    Block,
    CategoriesBlock,
    ImageBlock,
    InputSpec,
    NumbersBlock,
    SequenceBlock,
)
from fathom.networks.fronts import FRONTS, front_size
from fathom.networks.steps import PoolSteps

NumberEmbeddingName = Literal["linear", "piecewise", "periodic"]
STEP_DIM = 8  # numbers of a step for each of a column's embedding
NUMBER_EMBEDDINGS: tuple[str, ...] = get_args(NumberEmbeddingName)


class Presence(nn.Module):
    """Where a number is missing, a learned vector of its column stands in its place."""

    def __init__(self, columns: int, width: int) -> None:
        super().__init__()
        self.missing = nn.Parameter(torch.zeros(columns, width))

    def forward(self, embedded: Tensor, missing: Tensor) -> Tensor:
        """`embedded` (B, F, width) with the rows replaced in which `missing` (B, F) is true."""
        return torch.where(missing[..., None], self.missing.to(embedded.dtype), embedded)


class LinearNumbers(nn.Module):
    """The number itself and whether it is missing: (B, F) to (B, 2 F); nothing is learned."""

    def __init__(self, block: NumbersBlock) -> None:
        super().__init__()
        self.width = 2 * len(block.names)

    def forward(self, numbers: Tensor) -> Tensor:
        """Features (B, 2 F); missing numbers count as 0, the middle of their column."""
        missing = numbers.isnan()
        return torch.cat([numbers.nan_to_num(), missing.to(numbers.dtype)], dim=1)


class PiecewiseNumbers(nn.Module):
    """Piecewise-linear encoding over quantile bins, then a matrix per column: (B, F) to (B, F d).

    Bin t of a column gives 0 below it, 1 above it, and rises linearly inside it. The matrices start
    at zero beside a plain linear term, so that training begins with a smooth function and bends it
    where the data ask for it; beyond the outer edges the linear term goes on alone.
    """

    left: Tensor
    slope: Tensor

    def __init__(self, block: NumbersBlock, embed_dim: int) -> None:
        super().__init__()
        columns = len(block.names)
        self.width = columns * embed_dim
        left, slope = _bins(block.edges)  # (F, T)
        self.register_buffer("left", left, persistent=False)
        self.register_buffer("slope", slope, persistent=False)
        self.linear = nn.Parameter(torch.randn(columns, embed_dim) * embed_dim**-0.5)
        self.bias = nn.Parameter(torch.randn(columns, embed_dim) * embed_dim**-0.5)
        self.bent = nn.Parameter(torch.zeros(columns, left.shape[1], embed_dim))
        self.presence = Presence(columns, embed_dim)

    def forward(self, numbers: Tensor) -> Tensor:
        """Features (B, F d)."""
        missing = numbers.isnan()
        z = numbers.nan_to_num()[..., None]  # (B, F, 1)
        inside = ((z - self.left) * self.slope).clamp(0.0, 1.0)  # (B, F, T)
        bent = torch.einsum("bft,ftd->bfd", inside, self.bent)
        embedded: Tensor = self.presence(z * self.linear + self.bias + bent, missing)
        return embedded.flatten(1)


class PeriodicNumbers(nn.Module):
    """Learned waves, a linear layer shared by all columns, ReLU: (B, F) to (B, F d).

    Known as PLR (lite). The frequencies start as normal numbers of deviation `FREQUENCY`.
    """

    WAVES = 16
    FREQUENCY = 0.3

    def __init__(self, block: NumbersBlock, embed_dim: int) -> None:
        super().__init__()
        columns = len(block.names)
        self.width = columns * embed_dim
        self.frequency = nn.Parameter(torch.randn(columns, self.WAVES) * self.FREQUENCY)
        self.mix = nn.Linear(2 * self.WAVES + 1, embed_dim)
        self.presence = Presence(columns, embed_dim)

    def forward(self, numbers: Tensor) -> Tensor:
        """Features (B, F d)."""
        missing = numbers.isnan()
        z = numbers.nan_to_num()[..., None]  # (B, F, 1)
        angle = 2 * math.pi * z * self.frequency  # (B, F, WAVES)
        waves = torch.cat([z, angle.sin(), angle.cos()], dim=2)
        embedded: Tensor = self.presence(self.mix(waves).relu(), missing)
        return embedded.flatten(1)


class Categories(nn.Module):
    """A learned vector for each code of each column: (B, F) int64 to (B, F d).

    All columns lie in one table, so that a batch is one gather. A code that training never showed
    (unknown, or missing where nothing was missing) starts at zero and says nothing.
    """

    offsets: Tensor

    def __init__(self, block: CategoriesBlock, embed_dim: int) -> None:
        super().__init__()
        self.width = len(block.names) * embed_dim
        sizes = torch.tensor(block.sizes)
        self.register_buffer("offsets", sizes.cumsum(0) - sizes, persistent=False)
        self.table = nn.Embedding(int(sizes.sum()), embed_dim)
        nn.init.normal_(self.table.weight, std=embed_dim**-0.5)
        with torch.no_grad():
            self.table.weight[torch.cat([self.offsets, self.offsets + 1])] = 0.0

    def forward(self, codes: Tensor) -> Tensor:
        """Features (B, F d)."""
        vectors: Tensor = self.table(codes + self.offsets)
        return vectors.flatten(1)


class Pixels(nn.Module):
    """Pictures (B, C, H, W) uint8 to about zero mean and unit deviation in each channel."""

    scale: Tensor
    shift: Tensor

    def __init__(self, block: ImageBlock) -> None:
        super().__init__()
        mean = torch.tensor(block.mean, dtype=torch.float32)
        std = torch.tensor(block.std, dtype=torch.float32).clamp(min=1.0)
        self.register_buffer("scale", (1 / std)[:, None, None], persistent=False)
        self.register_buffer("shift", (-mean / std)[:, None, None], persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Normalised pictures, float32."""
        return torch.addcmul(self.shift, pictures.to(self.scale.dtype), self.scale)


class FlatPixels(nn.Module):
    """Normalised pictures laid out as one row of numbers: (B, C, H, W) to (B, C H W)."""

    def __init__(self, block: ImageBlock) -> None:
        super().__init__()
        self.width = block.channels * block.height * block.width
        self.pixels = Pixels(block)

    def forward(self, pictures: Tensor) -> Tensor:
        """Features (B, C H W)."""
        normalised: Tensor = self.pixels(pictures)
        return normalised.flatten(1)


class PooledSequence(nn.Module):
    """A text, a series or sound as one vector: its steps, each seen by itself, pooled."""

    def __init__(self, block: SequenceBlock, embed_dim: int) -> None:
        super().__init__()
        self.front = FRONTS[type(block)](block, STEP_DIM * embed_dim)
        self.pool = PoolSteps()
        self.width = 2 * STEP_DIM * embed_dim

    def forward(self, sequences: Tensor) -> Tensor:
        """(B, width)."""
        pooled: Tensor = self.pool(self.front(sequences))
        return pooled


class Features(nn.Module):
    """All blocks of the inputs side by side: a dictionary of tensors to (B, width) float."""

    def __init__(
        self, inputs: InputSpec, number_embedding: NumberEmbeddingName, embed_dim: int
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict()
        # ModuleDict refuses some names (a dot, a method's name), and a column may be called so.
        self.names = list(inputs.blocks)
        self.width = 0
        for position, block in enumerate(inputs.blocks.values()):
            module = _embedding(block, number_embedding, embed_dim)
            self.blocks[str(position)] = module
            self.width += module.width

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Features (B, width)."""
        modules = self.blocks.values()
        parts = [module(inputs[name]) for name, module in zip(self.names, modules, strict=True)]
        return torch.cat([part.flatten(1) for part in parts], dim=1)


def features_size(inputs: InputSpec, embed_dim: int) -> tuple[int, int]:
    """At most so many weights embed the inputs, and so many features come of them."""
    weights = features = 0
    for block in inputs.blocks.values():
        if isinstance(block, ImageBlock):
            features += block.channels * block.height * block.width
            continue
        if isinstance(block, SequenceBlock):
            features += 2 * STEP_DIM * embed_dim
            weights += front_size(block, STEP_DIM * embed_dim)
            continue
        features += len(block.names) * max(embed_dim, 2)
        if isinstance(block, CategoriesBlock):
            weights += sum(block.sizes) * embed_dim
        else:
            weights += sum(len(edges) + 3 for edges in block.edges) * embed_dim
    return weights, features


def without_images(inputs: InputSpec) -> InputSpec:
    """The blocks of numbers and categories alone."""
    scalar = {name: inputs.blocks[name] for name in (NUMBERS, CATEGORIES) if name in inputs.blocks}
    return InputSpec(scalar)


_Embedding = (
    LinearNumbers | PiecewiseNumbers | PeriodicNumbers | Categories | FlatPixels | PooledSequence
)


def _embedding(
    block: Block,
    number_embedding: NumberEmbeddingName,
    embed_dim: int,
) -> _Embedding:
    if isinstance(block, ImageBlock):
        return FlatPixels(block)
    if isinstance(block, SequenceBlock):
        return PooledSequence(block, embed_dim)
    if isinstance(block, CategoriesBlock):
        return Categories(block, embed_dim)
    if number_embedding == "linear":
        return LinearNumbers(block)
    if number_embedding == "periodic":
        return PeriodicNumbers(block, embed_dim)
    return PiecewiseNumbers(block, embed_dim)


def _bins(edges: tuple[tuple[float, ...], ...]) -> tuple[Tensor, Tensor]:
    """Left ends and slopes of each column's bins, (F, T), short columns padded.

    A padding bin has slope 0 and gives 0. A column with fewer than two edges has no bin.
    """
    shape = (len(edges), max([len(e) - 1 for e in edges] + [1]))
    left, slope = torch.zeros(shape), torch.zeros(shape)
    for column, values in enumerate(edges):
        points = torch.tensor(values, dtype=torch.float64)
        count = max(len(values) - 1, 0)
        left[column, :count] = points[:-1].float()
        slope[column, :count] = (1 / points.diff()).float()
    return left, slope
