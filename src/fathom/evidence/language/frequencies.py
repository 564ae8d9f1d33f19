"""The answer of one who has learned nothing but how frequent each token is: the least to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fathom.core.language import Documents
from fathom.core.prediction import Array

MOST_COUNTED = (
    20_000_000  # tokens, spread evenly over the training text: shares are exact long before
)
ADDED = 0.5  # to every count, so that no token is impossible


class TokenFrequencies:
    """A `LanguageModel` that looks at no context: p of a token is its share of the training."""

    name = "frequencies"

    def __init__(self, train: Documents, vocabulary: int) -> None:
        every = -(-train.predicted // MOST_COUNTED)
        counted = np.asarray(train.tokens[1::every]).astype(np.int64)
        counts = np.bincount(counted, minlength=vocabulary) + ADDED
        self.log_probs = np.log(counts / counts.sum()).astype(np.float32)  # (V,)

    def nats(self, documents: Documents) -> Array:
        """-log p of every predicted token, (N - 1,) float32."""
        said: Array = -self.log_probs[np.asarray(documents.tokens[1:])]
        return said

    def next_log_probs(self, contexts: Sequence[Array]) -> Array:
        """The same log p of each token after each context, (n, V) float32."""
        return np.broadcast_to(self.log_probs, (len(contexts), len(self.log_probs)))
