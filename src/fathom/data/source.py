"""ArraySource: a data set resident in memory, or stored in a file. A batch is a gather."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from fathom.core.batch import Batch
from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.ragged import Ragged, work_of
from fathom.core.randomness import torch_generator
from fathom.core.stored import StoredArray

Augmentation = Callable[[Batch, torch.Generator], Batch]


# Rows of uneven length are sorted within so many batches: padding then is a few per cent, and which
# rows stand together still changes from epoch to epoch.
BATCHES_SORTED = 32

Held = Tensor | StoredArray | Ragged


class ArraySource:
    """Endless shuffled batches of n examples, held as tensors or `core.stored.Rows`.

    The order is a pure function of (seed, epoch, rank, world_size), and the position is one
    integer, the number of batches given so far; resuming is a jump. Each epoch drops what does not
    fill its last batch, drawn anew every time; a data set smaller than one batch is one batch. Of
    `world_size` processes each sees its own part of every epoch. `augment(batch, generator)`
    changes a batch with a generator that depends on the position alone. Tensors stay on the device,
    and of the type, that they come in. Of a stored block each batch is read when it is due and put
    on `device`; the batches are the same as of a tensor. Rows of uneven length stand together with
    others of about their length, so that little of a batch is padding.

    Raises DataError for a data set without examples.
    """

    unit: Literal["examples", "tokens", "steps"] = "examples"

    def __init__(
        self,
        inputs: Mapping[str, Held],
        targets: Tensor | None,
        *,
        batch_size: int,
        seed: int,
        augment: Augmentation | None = None,
        rank: int = 0,
        world_size: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        self.inputs = dict(inputs)
        self.targets = targets
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.augment = augment
        self.position = 0
        self.count = len(next(iter(self.inputs.values())))
        tensors = [block for block in self.inputs.values() if isinstance(block, Tensor)]
        self.device = tensors[0].device if tensors else torch.device(device)
        own = self.count // world_size
        if own == 0:
            raise DataError(
                f"There are {self.count} examples to train on, too few for {world_size} "
                f"process{'es' if world_size > 1 else ''}: give more rows."
            )
        self.batch_size = min(batch_size, own)
        self.batches_per_epoch = own // self.batch_size
        self._work = work_of(list(self.inputs.values()))
        self._order: tuple[int, Tensor] | None = None

    @property
    def epoch(self) -> float:
        """Passes over the data so far."""
        return self.position / self.batches_per_epoch

    def batches(self, act: Any = None) -> Iterator[Batch]:
        """Batches from the present position on, without end."""
        while True:
            position = self.position
            self.position += 1  # before the hand-over: a saved position counts the batch in use
            yield self._batch(position)

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a saved position."""
        self.position = int(state["position"])

    def feedback(self, indices: Tensor, priorities: Tensor) -> None:
        """Do nothing: every example is equally due."""

    def order(self, epoch: int) -> Tensor:
        """The examples of one epoch in their order, for this rank: (batches · batch_size,) int64.

        All ranks draw the same permutation and take every world_size-th entry, so that no example
        is seen by two of them.
        """
        if self._order is None or self._order[0] != epoch:
            generator = torch_generator(self.seed, "order", epoch)
            order = torch.randperm(self.count, generator=generator)[self.rank :: self.world_size]
            order = order[: self.batches_per_epoch * self.batch_size]
            if self._work is not None:
                order = by_length(order, self._work, self.batch_size, generator)
            self._order = epoch, order.to(self.device)
        return self._order[1]

    def _batch(self, position: int) -> Batch:
        epoch, place = divmod(position, self.batches_per_epoch)
        start = place * self.batch_size
        indices = self.order(epoch)[start : start + self.batch_size]
        inputs = {name: self._rows(block, indices) for name, block in self.inputs.items()}
        targets = None if self.targets is None else self.targets.index_select(0, indices)
        batch = Batch(inputs, targets, indices)
        if self.augment is None:
            return batch
        names = "augment", position, self.rank
        return self.augment(batch, torch_generator(self.seed, *names, device=str(self.device)))

    def _rows(self, block: Held, indices: Tensor) -> Tensor:
        if isinstance(block, Tensor):
            return block.index_select(0, indices)
        return torch.from_numpy(block[indices.cpu().numpy()]).to(self.device)


def by_length(order: Tensor, work: Array, batch_size: int, generator: torch.Generator) -> Tensor:
    """The same rows (batches · batch_size,) with rows of about equal `work` (n,) in each batch.

    Every BATCHES_SORTED batches of the order are sorted among themselves, rows of equal work as
    they stood; then the batches are shuffled, so that short ones do not come first.
    """
    costs, pool = torch.from_numpy(work)[order], BATCHES_SORTED * batch_size
    pooled = [
        order[start : start + pool][torch.argsort(costs[start : start + pool], stable=True)]
        for start in range(0, len(order), pool)
    ]
    batches = torch.cat(pooled).view(-1, batch_size)
    return batches[torch.randperm(len(batches), generator=generator)].flatten()
