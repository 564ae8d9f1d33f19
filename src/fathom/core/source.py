"""Source: where batches come from, a data set or an environment to act in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

from torch import Tensor

from fathom.core.batch import Batch

Act = Callable[[dict[str, Tensor], Tensor | None], dict[str, Tensor]]
"""`act(observations, uniform)`: actions and what else the task wants to remember of them."""


class Source(Protocol):
    """An endless stream of batches whose position can be saved and restored exactly.

    A data-set source's order is a pure function of (seed, epoch, rank, world size) and its state is
    one integer. An interactive source is handed `act` by the trainer and saves what it needs as
    tensors and JSON.
    """

    unit: Literal["examples", "tokens", "steps"]

    @property
    def epoch(self) -> float:
        """Passes over the data so far; 0 for a source that has no end to pass."""

    def batches(self, act: Any = None) -> Iterator[Batch]:
        """Batches from the present position on, without end."""

    def state_dict(self) -> dict[str, Any]:
        """The position: a dictionary of tensors and JSON values."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position; the next batch is the one that would have come then."""

    def feedback(self, indices: Tensor, priorities: Tensor) -> None:
        """What was learned about examples just seen (prioritised replay); may do nothing."""
