"""What every family of networks has in common: a chain of stages, and checks of its spec."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from msgspec import Struct
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from fathom.core.blocks import ImageBlock, InputSpec
from fathom.core.errors import PlanError, nearest
from fathom.core.output import OutputSpec
from fathom.core.registry import Registry

MOST_DEPTH = 1_000
# Training keeps about six numbers for each weight: itself, its gradient, two of the optimizer's,
# its average, and its best value so far.
BYTES_PER_WEIGHT = 24
MOST_WEIGHTS = min(2**31, psutil.virtual_memory().total // BYTES_PER_WEIGHT)


class Network(nn.Module, ABC):
    """A chain of named stages. The first takes the inputs, each other one tensor, first axis B.

    That `forward` is nothing but the stages in order makes every layer open to evidence: a hook on
    each stage sees all that flows through the network.
    """

    @abstractmethod
    def stages(self) -> list[tuple[str, nn.Module]]:
        """The named stages in order of computation; together they hold every parameter."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Outputs (B, output.size) float32: a logit per class, or a number in units of scale."""
        flow: Any = inputs
        for _, stage in self.stages():
            flow = stage(flow)
        outputs: Tensor = flow
        return outputs


class Head(nn.Module):
    """The last stage: features (B, width) to outputs (B, size), in float32 whatever the precision.

    Its weights start a tenth as large as usual, so that the first outputs claim little.
    """

    def __init__(self, width: int, size: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, size)
        nn.init.normal_(self.linear.weight, std=0.1 * width**-0.5)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Outputs (B, size) float32."""
        # In bfloat16 a number would come out rounded to three digits.
        with torch.autocast(features.device.type, enabled=False):
            outputs: Tensor = self.linear(self.dropout(features.float()))
        return outputs


class MembersHead(nn.Module):
    """The last stage of k networks in one: features (B, k, width) to outputs, each member its own.

    While training the outputs are (B, k, size) as they come, and each member learns by itself. In
    evaluation mode they are (B, size), what the members say together: the mean of numbers; for
    classes the logarithm of the mean probability, so that a softmax of it gives that mean; for
    labels its logit. In float32 whatever the precision.
    """

    def __init__(self, members: int, width: int, output: OutputSpec) -> None:
        super().__init__()
        self.form = output.form
        self.weight = nn.Parameter(torch.randn(members, width, output.size) * 0.1 * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(members, output.size))

    def forward(self, features: Tensor) -> Tensor:
        """Outputs float32, (B, k, size) in training and (B, size) in evaluation mode."""
        with torch.autocast(features.device.type, enabled=False):
            outputs = torch.einsum("bkw,kws->bks", features.float(), self.weight) + self.bias
        return outputs if self.training else together(outputs, self.form)


def together(outputs: Tensor, form: str) -> Tensor:
    """What the members of an ensemble say together: outputs (B, k, size) to (B, size)."""
    if form == "number":
        return outputs.mean(dim=1)
    if form == "labels":  # the logit of a mean of sigmoids; what all k are divided by cancels out
        return logsigmoid(outputs).logsumexp(dim=1) - logsigmoid(-outputs).logsumexp(dim=1)
    return outputs.log_softmax(dim=-1).logsumexp(dim=1) - math.log(outputs.shape[1])


Reasons = dict[str, str]
"""Why a field of a spec has its value: field name to a sentence."""


@dataclass(frozen=True)
class Family:
    """A registered family: its spec, how a network is built, what suits a data set best."""

    spec: type[Struct]
    build: Callable[[Any, InputSpec, OutputSpec], Network]
    default_spec: Callable[[InputSpec, OutputSpec, int], tuple[Any, Reasons]]
    accepts: Callable[[InputSpec], bool]


FAMILIES: Registry[Family] = Registry("network family")


def check_at_least(value: float, minimum: float, key: str) -> None:
    """Raise PlanError where a number of a spec is below `minimum`."""
    if value < minimum:
        raise PlanError(f"{key} is {value}, but it must be at least {minimum}.")


def check_at_most(value: float, maximum: float, key: str) -> None:
    """Raise PlanError where a number of a spec is above `maximum`."""
    if value > maximum:
        raise PlanError(f"{key} is {value}, but it may be at most {maximum}.")


def check_weights(count: int, keys: str) -> None:
    """Raise PlanError, before anything is made, where a network would have too many weights.

    `keys` are the plan keys that the number comes from.
    """
    if count > MOST_WEIGHTS:
        raise PlanError(
            f"The network would have about {count:,} weights, more than the {MOST_WEIGHTS:,} that "
            f"this machine has room for: lower {keys}."
        )


def check_fraction(value: float, key: str) -> None:
    """Raise PlanError where a share is not in [0, 1)."""
    if not 0 <= value < 1:
        raise PlanError(f"{key} is {value}, but it must be at least 0 and below 1.")


def check_choice(value: str, known: Collection[str], key: str) -> None:
    """Raise PlanError, naming the nearest, where a word of a spec is not known."""
    if value not in known:
        listed = ", ".join(known)
        raise PlanError(f"{key} is {value!r}; known: {listed}.{nearest(value, known)}")


def first_picture(inputs: InputSpec, family: str) -> ImageBlock:
    """The first column of pictures, which the others are brought to the size of.

    Raises PlanError where there is none, or something that such a network would not see.
    """
    if not inputs.images and inputs.sequences:
        raise PlanError(
            f"The network family {family} needs a picture column, and there is none: text, sound "
            "and series take convnet, transformer, lstm, gru, rnn or mlp; beside others, mixed."
        )
    if not inputs.images:
        raise PlanError(f"The network family {family} needs a picture column; use family mlp.")
    if inputs.sequences:
        unseen = next(iter(inputs.sequences))
        raise PlanError(
            f"The network family {family} would not see the column {unseen!r}, which is no "
            "picture: leave the network out, or mixed, and "
            f"--set network.fields.{next(iter(inputs.images))}.family={family}."
        )
    return next(iter(inputs.images.values()))
