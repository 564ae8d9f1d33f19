"""What models say of rows of tokens that evidence has made: cut out of texts, or put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from fathom.core.language import Documents, LanguageModel
from fathom.core.prediction import Array
from fathom.inference.reading import TOKENS_AT_ONCE, VALUES_AT_ONCE

if TYPE_CHECKING:
    from fathom.inference.language import LanguagePredictor


@dataclass(frozen=True)
class Judged:
    """Of n rows of L + 1 tokens, what is said of all but the first: `nats` (n, L) float32 is
    -log p, `right` (n, L) whether the token is the likeliest one.
    """

    nats: Array
    right: Array


def judged(network: LanguagePredictor, rows: Array) -> Judged:
    """What the network says of rows (n, L + 1), each read at once from its first token on.

    L is at most the network's context.
    """
    model = network.model
    count, length = rows.shape[0], rows.shape[1] - 1
    nats = np.empty((count, length), dtype=np.float32)
    right = np.empty((count, length), dtype=bool)
    together = _together(network, length)
    with torch.inference_mode(), model.autocast():
        for start in range(0, count, together):
            some = slice(start, min(start + together, count))
            tokens = torch.from_numpy(rows[some].astype(np.int64)).to(model.device)
            logits = model.network(tokens[:, :-1]) / model.trust.temperature
            said = logits.log_softmax(dim=2)
            targets = tokens[:, 1:, None]
            nats[some] = -said.gather(2, targets)[:, :, 0].float().cpu().numpy()
            right[some] = (said.argmax(dim=2, keepdim=True) == targets)[:, :, 0].cpu().numpy()
    return Judged(nats, right)


def _together(network: LanguagePredictor, length: int) -> int:
    """How many rows are read at once: as many as parts of documents would be."""
    kind = torch.device(network.model.device).type
    values = VALUES_AT_ONCE.get(kind, VALUES_AT_ONCE["cpu"]) // network.model.network.vocabulary
    most = min(max(values, 256), TOKENS_AT_ONCE.get(kind, TOKENS_AT_ONCE["cpu"]))
    return max(1, most // max(length, 1))


def likeliest(model: LanguageModel, contexts: Sequence[Array]) -> Array:
    """The likeliest next token after each context, (n,), by any model."""
    found: Array = model.next_log_probs(contexts).argmax(axis=1)
    return found


def cut(tokens: Array, begins: Array, length: int) -> Array:
    """Rows (n, length) of a stream, each from where it begins."""
    places = np.asarray(begins)[:, None] + np.arange(length)
    rows: Array = np.asarray(tokens[places.ravel()]).reshape(places.shape)
    return rows


def places_within(
    documents: Documents, length: int, most: int, generator: np.random.Generator
) -> Array:
    """Where up to `most` stretches of `length` tokens begin that lie within documents, (n,).

    They do not overlap, hold no END, and are drawn at random.
    """
    counts = np.diff(documents.starts) - 1  # without END
    room = counts // length
    owner = np.repeat(np.arange(len(counts)), room)
    if not len(owner):
        return np.empty(0, dtype=np.int64)
    place = np.arange(len(owner)) - np.repeat(np.cumsum(room) - room, room)
    picked = np.sort(generator.permutation(len(owner))[:most])
    # Somewhere within what a document has left, so that not all begin at multiples of the length.
    shift = (generator.random(len(counts)) * (counts - room * length + 1)).astype(np.int64)
    begins: Array = documents.starts[:-1][owner] + place * length + shift[owner]
    return begins[picked]
