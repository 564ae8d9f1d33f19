"""Language modelling: to say at every place of a text which token comes next."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.core.batch import Batch
from fathom.core.language import TOKENS
from fathom.core.task import Loss, Phase

LANGUAGE: Literal["language"] = "language"


class LanguageModelling:
    """Cross entropy of the next token, the mean over all places of a batch.

    What it is judged by is bits per byte, which unlike the loss per token does not depend on how a
    text is cut into tokens.
    """

    name: str = LANGUAGE
    primary: str = "bits_per_byte"

    def modules(self) -> dict[str, nn.Module]:
        """None beyond the network."""
        return {}

    def phases(self, network: nn.Module) -> list[Phase]:
        """One: every parameter of the network moves down the cross entropy."""
        return [Phase(LANGUAGE, dict(network.named_parameters()), self._loss)]

    def _loss(self, network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        if batch.targets is None:
            raise ValueError("a batch without targets cannot be learned from")
        logits: Tensor = network(batch.inputs[TOKENS])
        return Loss(F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten()), {})

    def after_step(self, network: nn.Module, step: int) -> None:
        """Nothing follows a step."""

    def act(self, network: nn.Module) -> None:
        """A corpus asks for no actions."""
