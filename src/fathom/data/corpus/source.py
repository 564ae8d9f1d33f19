"""TokenSource: windows of a stream of tokens, packed without padding. A batch is a gather."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fathom.core.batch import Batch
from fathom.core.errors import DataError
from fathom.core.language import TOKENS, Documents
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator


class TokenSource:
    """Endless shuffled batches of windows of `context` tokens, with those that follow as targets.

    The stream is cut into windows that touch and do not overlap; each epoch cuts it elsewhere, from
    an offset in [0, context) on, and shuffles them. Offset and order are a pure function of (seed,
    epoch, rank, world_size), and the position is one integer, the number of batches given so far;
    resuming is a jump. Of `world_size` processes each sees its own part of every epoch. A window
    may hold the end of one document and the beginning of the next, with END between them. What does
    not fill the last batch of an epoch is dropped. A stream of fewer windows than a batch is one
    smaller batch, one shorter than a window is one shorter window.

    The order of an epoch is drawn anew when it begins: 8 bytes a window, a tenth of a second for
    10^7 of them, which are 2.6 · 10^9 tokens in windows of 256. Tokens may be memory-mapped: each
    batch reads its own.

    Raises DataError for a stream with nothing to predict, or with fewer windows than processes.
    """

    unit: Literal["examples", "tokens", "steps"] = "tokens"

    def __init__(
        self,
        documents: Documents,
        *,
        batch_size: int,
        context: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        device: str | torch.device = "cpu",
    ) -> None:
        self.tokens: Array = np.asarray(documents.tokens)
        self.seed, self.rank, self.world_size = seed, rank, world_size
        self.device = torch.device(device)
        self.position = 0
        predicted = len(self.tokens) - 1
        if predicted < 1:
            raise DataError("There are no tokens to train on: give more text.")
        self.context = min(context, predicted)
        # As many as there are from the last offset on, so that all epochs are equally long.
        self.count = max(1, (predicted - self.context + 1) // self.context)
        # From any offset below this so many windows fit.
        self.offsets = min(self.context, predicted - self.count * self.context + 1)
        own = self.count // world_size
        if own == 0:
            raise DataError(
                f"The training text is {self.count:,} windows of {self.context:,} tokens, too few "
                f"for {world_size} processes: give more text or a shorter context."
            )
        self.batch_size = min(batch_size, own)
        self.batches_per_epoch = own // self.batch_size
        self._steps = np.arange(self.context + 1)
        self._starts: tuple[int, Array] | None = None

    @property
    def epoch(self) -> float:
        """Passes over the text so far."""
        return self.position / self.batches_per_epoch

    @property
    def tokens_per_batch(self) -> int:
        """The tokens that each batch predicts."""
        return self.batch_size * self.context

    def batches(self, act: Any = None) -> Iterator[Batch]:
        """Batches from the present position on, without end.

        `inputs["tokens"]` and `targets` are (B, context) int64 on the device; `indices` (B,) int64
        are the places in the stream at which the windows start.
        """
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
        """Do nothing: every window is equally due."""

    def starts(self, epoch: int) -> Array:
        """Where the windows of one epoch start, in their order, for this rank: (n,) int64.

        All ranks draw the same permutation and take every world_size-th entry, so that no window is
        seen by two of them.
        """
        if self._starts is None or self._starts[0] != epoch:
            generator = numpy_generator(self.seed, "windows", epoch)
            offset = int(generator.integers(self.offsets))
            order = generator.permutation(self.count)[self.rank :: self.world_size]
            order = order[: self.batches_per_epoch * self.batch_size]
            self._starts = epoch, order * self.context + offset
        return self._starts[1]

    def _batch(self, position: int) -> Batch:
        epoch, place = divmod(position, self.batches_per_epoch)
        first = place * self.batch_size
        starts = self.starts(epoch)[first : first + self.batch_size]
        # (B, context + 1): the inputs, and one more for the last target
        windows = self.tokens[starts[:, None] + self._steps].astype(np.int64)
        block = torch.from_numpy(windows).to(self.device)
        inputs, targets = block[:, :-1].contiguous(), block[:, 1:].contiguous()
        return Batch({TOKENS: inputs}, targets, torch.from_numpy(starts.copy()).to(self.device))
