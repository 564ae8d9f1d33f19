"""Reading: documents in windows that a network of language can take at once, and what it says.

Windows overlap by half, so that no token but a document's first ones is judged with less than half
of the context before it. Documents do not see each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fathom.core.language import Documents
from fathom.core.prediction import Array

# Logits of so many numbers at once stay near the processor, or fill a GPU without filling its
# memory; and a batch has no more tokens than this.
VALUES_AT_ONCE = {"cpu": 2**24, "cuda": 2**28}
TOKENS_AT_ONCE = {"cpu": 2**13, "cuda": 2**17}


@dataclass(frozen=True)
class Windows:
    """W stretches of a stream of tokens.

    `begins` (W,) are where the inputs of each begin, `lengths` (W,) how many there are; the targets
    stand one further. Of these the first `known` (W,) were judged by the window before.
    """

    begins: Array
    lengths: Array
    known: Array

    def __len__(self) -> int:
        return len(self.begins)

    def take(self, some: Array) -> Windows:
        """Some of them."""
        return Windows(self.begins[some], self.lengths[some], self.known[some])


def windows_of(documents: Documents, context: int, stride: int | None = None) -> Windows:
    """The windows of documents, at most `context` tokens each, one `stride` after the other.

    Half of `context` by default; with a stride of `context` they do not overlap.
    """
    step = max(1, context // 2) if stride is None else stride
    counts = np.diff(documents.starts)  # tokens to be predicted, at least the END of each
    more = np.maximum(0, -(-(counts - context) // step))
    owner = np.repeat(np.arange(len(counts)), more + 1)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(more + 1) - (more + 1), more + 1)
    offsets = place * step
    begins = documents.starts[:-1][owner] - 1 + offsets
    lengths = np.minimum(context, counts[owner] - offsets)
    known = np.where(place > 0, context - step, 0)
    return Windows(begins, lengths, known)


@dataclass(frozen=True)
class Part:
    """Some windows as one batch: `tokens` and `targets` (B, T) int64, filled up with END.

    `counted` (B, T) says which places are to be judged, `positions` where their targets stand in
    the stream, (number of them,), row after row.
    """

    tokens: Tensor
    targets: Tensor
    counted: Tensor
    positions: Array


def parts_of(
    documents: Documents, windows: Windows, *, vocabulary: int, device: str
) -> Iterator[Part]:
    """Batches of windows of about equal length, the longest first."""
    kind = torch.device(device).type
    most = VALUES_AT_ONCE.get(kind, VALUES_AT_ONCE["cpu"]) // max(vocabulary, 1)
    most = min(max(most, 256), TOKENS_AT_ONCE.get(kind, TOKENS_AT_ONCE["cpu"]))
    order = np.argsort(-windows.lengths, kind="stable")
    start = 0
    while start < len(order):
        rows = max(1, most // max(1, int(windows.lengths[order[start]])))
        yield _part(documents, windows.take(order[start : start + rows]), device)
        start += rows


def _part(documents: Documents, windows: Windows, device: str) -> Part:
    longest = int(windows.lengths.max())
    places = np.arange(longest + 1)
    inside = places[None] <= windows.lengths[:, None]
    where = np.where(inside, windows.begins[:, None] + places, 0)  # the stream begins with END
    read = np.asarray(documents.tokens[where.ravel()], dtype=np.int64).reshape(where.shape)
    counted = (places[None, :-1] >= windows.known[:, None]) & inside[:, 1:]
    return Part(
        torch.from_numpy(read[:, :-1].copy()).to(device),
        torch.from_numpy(read[:, 1:].copy()).to(device),
        torch.from_numpy(counted).to(device),
        where[:, 1:][counted],
    )
