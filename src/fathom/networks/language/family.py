"""What networks of language have in common: tokens in, logits of the next token out, a memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from torch import Tensor, nn

from fathom.core.registry import Registry
from fathom.networks.family import check_at_least, check_at_most

MOST_CONTEXT = 2**20
"""Tokens: what is made for each place, before there are weights, stays below a gigabyte."""


class Memory(ABC):
    """What a network keeps of the tokens that it has read, so that none is read twice.

    `length` tokens have been read, of at most `room`; a recurrent network has room without end.
    """

    length: int
    room: int | None

    @abstractmethod
    def take(self, rows: Tensor) -> Memory:
        """The memory of some rows (n,) int64 of the batch, each as a copy: texts that go on from
        one beginning, or those that are not over yet.
        """


class LanguageNetwork(nn.Module, ABC):
    """Reads tokens (B, T) and says at every place how likely each token is to come next.

    `context` is how many tokens it was made to read at once, `head` the last layer, which makes
    `vocabulary` logits.
    """

    head: nn.Module
    vocabulary: int
    context: int

    @abstractmethod
    def forward(self, tokens: Tensor, memory: Memory | None = None) -> Tensor:
        """Logits (B, T, vocabulary) float32 of tokens (B, T) int64.

        With a `memory` of this network's the tokens go on where it ends, and it is changed to hold
        them too. Raises ValueError for more tokens than there is room for.
        """

    @abstractmethod
    def remember(self, rows: int, room: int) -> Memory:
        """An empty memory for `rows` texts of at most `room` tokens, where the network is."""


@dataclass(frozen=True)
class LanguageFamily:
    """A registered family: its spec, how a network is built, and its weights before they are made.

    `size(spec, vocabulary)` counts the weights, `per_token` those that one token is multiplied
    with: the embedding is looked up.
    """

    spec: type[Struct]
    build: Callable[[Any, int], LanguageNetwork]
    size: Callable[[Any, int], int]
    per_token: Callable[[Any, int], int]


LANGUAGE_FAMILIES: Registry[LanguageFamily] = Registry("network of language")


def check_context(context: int) -> None:
    """Raise PlanError where a network would read no token at once, or more than memory takes."""
    check_at_least(context, 1, "network.context")
    check_at_most(context, MOST_CONTEXT, "network.context")
