"""Depth: how far below the head each parameter lies, for learning rates that fall with it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from fathom.networks.family import Network


class Deep(nn.Module, ABC):
    """A stage that is itself a stack of layers."""

    @abstractmethod
    def depths(self) -> dict[str, int]:
        """Parameter names to how far below the top of the stage they lie, 0 for the top."""


def depths(network: nn.Module) -> dict[int, int]:
    """The `id` of each parameter to the number of stages with parameters above its own.

    A stage that is a stack of layers tells the depth inside of it; other modules than networks of
    ours have none.
    """
    if not isinstance(network, Network):
        return {}
    found: dict[int, int] = {}
    above = 0
    for _, stage in reversed(network.stages()):
        parameters = list(stage.named_parameters())
        inside = stage.depths() if isinstance(stage, Deep) else {}
        for name, parameter in parameters:
            found[id(parameter)] = above + inside.get(name, 0)
        if parameters:
            above += 1 + max(inside.values(), default=0)
    return found
