"""The words of language modelling: documents as tokens, and what models say of them. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from fathom.core.prediction import Array

TOKENS = "tokens"
"""The block of a batch's inputs: (B, T) int64; its targets (B, T) are the tokens that follow."""


@dataclass(frozen=True)
class Documents:
    """D documents as one stream of tokens, in memory or memory-mapped.

    `tokens` (N,) uint16 or uint32 begins with the token that ends a text, and so does every
    document end with it: END document END document END. Document i is
    `tokens[starts[i] : starts[i + 1]]`, its END included, and what stands before it is always an
    END; `starts` (D + 1,) int64 begins with 1 and ends with N. `sizes` (D,) int64 are lengths of
    documents in bytes of UTF-8, `names` say for a person where each stands ('tales/wolf.txt',
    'posts.jsonl, line 12').
    """

    tokens: Array
    starts: Array
    sizes: Array
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def predicted(self) -> int:
        """How many tokens there are to be predicted: all but the very first."""
        return int(self.starts[-1] - self.starts[0])

    def document(self, i: int) -> Array:
        """The tokens of document i, its END last."""
        tokens: Array = self.tokens[self.starts[i] : self.starts[i + 1]]
        return tokens

    def take(self, positions: Array) -> Documents:
        """The documents at `positions` (integers), in that order, in memory."""
        end = self.tokens[:1]
        parts = [np.asarray(self.document(int(i))) for i in positions]
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        return Documents(
            np.concatenate([np.asarray(end), *parts]),
            np.concatenate([[1], 1 + np.cumsum(lengths)]).astype(np.int64),
            self.sizes[positions],
            [self.names[int(i)] for i in positions],
        )


@runtime_checkable
class LanguageModel(Protocol):
    """Says how likely each token is after those before it; a network or an n-gram model."""

    @property
    def name(self) -> str:
        """How records call it."""

    def nats(self, documents: Documents) -> Array:
        """-log p of every predicted token, (N - 1,) float32, in the order of `tokens[1:]`.

        No document sees another one: the first token of each is predicted from END alone.
        """

    def next_log_probs(self, contexts: Sequence[Array]) -> Array:
        """The log p of each token of the vocabulary after each context, (n, V) float32.

        A context is at least one token; one that begins a text begins with END.
        """


def drawn(documents: Documents, tokens: int, generator: np.random.Generator) -> Documents:
    """Documents at random that make up so many tokens, or a few more; all where there are less."""
    if documents.predicted <= tokens:
        return documents
    order = generator.permutation(len(documents))
    sums = np.cumsum(np.diff(documents.starts)[order])
    return documents.take(order[: 1 + int(np.searchsorted(sums, tokens))])


def first_of(documents: Documents, tokens: int, lengths: Array) -> Documents:
    """The first documents, up to so many tokens; the last of them is cut where it does not fit.

    `lengths` (V,) are the bytes that tokens stand for, which say how long a cut document is; that
    one has no END, as it does not end there.
    """
    if documents.predicted <= tokens:
        return documents
    stop = 1 + tokens
    count = int(np.searchsorted(documents.starts[:-1], stop))  # those that begin before it
    starts = np.append(documents.starts[:count], stop)
    sizes = np.array(documents.sizes[:count])
    if stop < documents.starts[count]:
        last = np.asarray(documents.tokens[starts[-2] : stop], dtype=np.int64)
        sizes[-1] = int(lengths[last].sum())
    names = [documents.names[i] for i in range(count)]
    return Documents(documents.tokens[:stop], starts, sizes, names)
