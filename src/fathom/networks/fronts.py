"""Fronts: the first stage of a network of sequences, from a padded batch to steps of one width.

One class for each kind of sequence, chosen by its block; networks behind them need not know which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fathom.core.blocks import (
    PADDING_TOKEN,
    AudioBlock,
    InputSpec,
    SequenceBlock,
    SeriesBlock,
    TextBlock,
)
from fathom.core.errors import PlanError
from fathom.networks import sound
from fathom.networks.steps import Steps

EMBEDDING_STD = 0.1
SERIES_STEPS = 256  # at most about so many flow out of the front of a series


class TextFront(nn.Module):
    """Token codes (B, L) to steps: each code has a vector of its own."""

    def __init__(self, block: TextBlock, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(block.size, width, padding_idx=PADDING_TOKEN)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        with torch.no_grad():
            self.embedding.weight[PADDING_TOKEN] = 0.0

    def forward(self, codes: Tensor) -> Steps:
        """Steps (B, L, width)."""
        return Steps(self.embedding(codes), codes != PADDING_TOKEN)


class SeriesFront(nn.Module):
    """Series (B, L, channels) to steps by a convolution; of long ones each step sees a patch.

    A missing value counts as 0, the mean of its channel; where values were missing in training,
    whether they are there is seen beside them. A patch is `stride` steps and some on either side
    (Nie et al. 2023, arXiv 2211.14730).
    """

    def __init__(self, block: SeriesBlock, width: int, most: int = SERIES_STEPS) -> None:
        super().__init__()
        self.gaps = block.gaps
        self.stride = series_stride(block, most)
        self.convolution = nn.Conv1d(
            block.channels * (2 if block.gaps else 1),
            width,
            2 * self.stride + 1,
            stride=self.stride,
            padding=self.stride,
        )

    def forward(self, series: Tensor) -> Steps:
        """Steps (B, about L / stride, width)."""
        there = ~series.isnan()
        # A step belongs to a series up to the last that has a value, and the first always does.
        mask = there.any(dim=2).flip(1).cummax(dim=1).values.flip(1)
        mask[:, 0] = True
        values = series.nan_to_num()
        if self.gaps:
            values = torch.cat([values, there.to(values.dtype)], dim=2)
        patches: Tensor = self.convolution(values.transpose(1, 2))
        return Steps(patches.transpose(1, 2), mask[:, :: self.stride])


def series_stride(block: SeriesBlock, most: int = SERIES_STEPS) -> int:
    """How many steps of a series a patch stands for, so that there are about `most` patches."""
    return -(-block.length // most)


def front_size(block: SequenceBlock, width: int) -> int:
    """How many weights the front of a sequence has, without biases."""
    if isinstance(block, TextBlock):
        return block.size * width
    if isinstance(block, SeriesBlock):
        channels = block.channels * (2 if block.gaps else 1)
        return channels * (2 * series_stride(block) + 1) * width
    return sound.front_size(block, width)


FRONTS: dict[type[Any], Callable[[Any, int], nn.Module]] = {
    TextBlock: TextFront,
    SeriesBlock: SeriesFront,
    AudioBlock: sound.AudioFront,
}
"""Type of a block to what builds its front from the block and the width of a step."""


class Front(nn.Module):
    """The stage that takes the inputs: it looks at the one sequence there and gives its steps."""

    def __init__(self, inputs: InputSpec, width: int, family: str) -> None:
        super().__init__()
        self.name, block = the_sequence(inputs, family)
        self.layer = FRONTS[type(block)](block, width)

    def forward(self, inputs: dict[str, Tensor]) -> Steps:
        """Steps (B, L, width)."""
        steps: Steps = self.layer(inputs[self.name])
        return steps


def the_sequence(inputs: InputSpec, family: str) -> tuple[str, SequenceBlock]:
    """Name and block of the only input, which must be a sequence; else PlanError."""
    if len(inputs.blocks) == 1 and len(inputs.sequences) == 1:
        return next(iter(inputs.sequences.items()))
    raise PlanError(
        f"The network family {family} needs one column of text, sound or series and nothing else: "
        f"{_instead(inputs, family)}."
    )


def _instead(inputs: InputSpec, family: str) -> str:
    """What to set where a family of sequences does not fit the inputs."""
    if inputs.sequences:
        word = "lstm (or gru, rnn)" if family == "recurrent" else family
        column = next(iter(inputs.sequences))
        return (
            "with other columns beside it leave the network out, or mixed, and "
            f"--set network.fields.{column}.family={word}"
        )
    return "pictures take convnet, vit or mlp" if inputs.images else "a table takes mlp or tabm"


def one_sequence(inputs: InputSpec) -> bool:
    """Whether the inputs are one sequence and nothing else."""
    return len(inputs.blocks) == 1 and len(inputs.sequences) == 1
