"""Fronts: the first stage of a network of sequences, from a padded batch to steps of one width.

One class for each kind of sequence, chosen by its block; networks behind them need not know which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fathom.core.blocks import PADDING_TOKEN, InputSpec, SequenceBlock, TextBlock
from fathom.core.errors import PlanError
from fathom.networks.steps import Steps

EMBEDDING_STD = 0.1


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


FRONTS: dict[type[Any], Callable[[Any, int], nn.Module]] = {TextBlock: TextFront}
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
        f"The network family {family} needs one column of text, sound or series and nothing else; "
        "for several columns use family mixed, which has a part for each."
    )


def one_sequence(inputs: InputSpec) -> bool:
    """Whether the inputs are one sequence and nothing else."""
    return len(inputs.blocks) == 1 and len(inputs.sequences) == 1
