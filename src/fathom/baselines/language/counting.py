"""How often each run of tokens occurs: n-grams of a stream, counted order by order.

An n-gram of order k is a node: one of order k - 1, its context, and a last token. Nodes of an order
are numbered as their (context, token) are sorted, so that those below one context stand together.
"""

from __future__ import annotations

import time

import numpy as np

from fathom.baselines.language.levels import Level, narrowed
from fathom.core.budget import Budget
from fathom.core.errors import DataError
from fathom.core.language import Documents
from fathom.core.memory import machine_memory
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator

VOID = np.uint32(2**32 - 1)
MOST_TOKENS = 2**31
"""More than that are never counted: nodes are numbered in 32 bits."""
LEAST_TOKENS = 10_000
"""So many are counted however little time there is."""
PROBED = 2**17  # tokens that are counted to see how long it takes
SLOWER = 3.0  # a token of millions takes up to so much longer: counts leave the caches
MEMORY_SHARE = 0.2  # of the machine's, for counting


class Counting:
    """Counts of all n-grams of a stream (N,), up to an order that grows by one with each `extend`.

    An n-gram never goes on past the token that ends a text: END stands last in one, and first in
    the next. A count is how often an n-gram occurs; its continuation count is how many different
    tokens stand before it, and is known of orders below the highest.
    """

    def __init__(self, tokens: Array, vocabulary: int) -> None:
        self.tokens, self.vocabulary = narrowed(tokens, vocabulary - 1), vocabulary
        self.end = int(tokens[0])
        self._nodes = tokens.astype(np.uint32)  # of the n-gram of this order that ends here, (N,)
        seen = np.bincount(tokens[1:], minlength=vocabulary).astype(np.uint32)
        self._counts = [seen]
        self._continuations: list[Array] = []
        self._offsets: list[Array] = []
        self._last: list[Array] = []

    @property
    def order(self) -> int:
        """The highest order that is counted."""
        return len(self._counts)

    def extend(self) -> None:
        """Count the n-grams of one order more."""
        before = self._nodes[:-1]
        if self.order > 1:
            before = np.where(self.tokens[:-1] == self.end, VOID, before)
        places = np.flatnonzero(before != VOID)
        keys = before[places].astype(np.uint64)
        keys *= np.uint64(self.vocabulary)
        keys += self.tokens[places + 1]
        keys, order = _sorted(keys)
        first = np.ones(len(keys), dtype=bool)
        np.not_equal(keys[1:], keys[:-1], out=first[1:])
        starts = np.flatnonzero(first)
        ended = places[order] + 1
        self._add(keys[starts], np.diff(starts, append=len(keys)), self._nodes[ended[starts]])
        self._nodes[:] = VOID
        self._nodes[ended] = np.cumsum(first, dtype=np.uint32) - np.uint32(1)

    def _add(self, keys: Array, counts: Array, shorter: Array) -> None:
        """Nodes (M,) by their keys; `shorter` are the nodes of all but their first tokens."""
        contexts, last = np.divmod(keys, np.uint64(self.vocabulary))
        width = len(self._counts[-1])
        children = np.bincount(contexts.astype(np.int64), minlength=width)
        self._offsets.append(np.concatenate([[0], np.cumsum(children)]).astype(np.uint32))
        self._last.append(narrowed(last, self.vocabulary - 1))
        self._continuations.append(np.bincount(shorter, minlength=width).astype(np.uint32))
        self._counts.append(counts.astype(np.uint32))

    def effective(self, order: int) -> Array:
        """What an n-gram of `order` counts in a model of the present order, (M,) uint32.

        The highest order goes by how often an n-gram occurs, the lower ones by how many different
        tokens stand before it. Before one that begins a text there is none: it goes by how often.
        """
        counts = self._counts[order - 1]
        if order == self.order:
            return counts
        different = self._continuations[order - 1]
        if order == 1:
            return different if self.order > 1 else counts
        return np.where(different > 0, different, counts)

    def levels(self) -> list[Level]:
        """The orders from 2 up, as a model of the present order has them."""
        found = []
        for order in range(2, self.order + 1):
            offsets, last = self._offsets[order - 2], self._last[order - 2]
            found.append(Level.of(offsets, last, self.effective(order)))
        return found


def drawn(documents: Documents, limit: int) -> Array:
    """A stream of `limit` predicted tokens of documents, or of all; END comes before them.

    Documents are drawn at random, the same ones each time; of the last that is drawn only the
    beginning is taken. The others keep their order, so that a large file is read from front to end.
    """
    if limit >= documents.predicted:
        return np.asarray(documents.tokens)
    order = numpy_generator(0, "language", "documents").permutation(len(documents))
    lengths = np.diff(documents.starts)[order]
    whole = int(np.searchsorted(np.cumsum(lengths), limit, side="right"))
    rest = limit - int(lengths[:whole].sum())
    parts = [documents.document(int(i)) for i in np.sort(order[:whole])]
    parts = [documents.tokens[:1], *parts, documents.document(int(order[whole]))[:rest]]
    return np.concatenate([np.asarray(part) for part in parts])


def begun(documents: Documents, vocabulary: int, limit: int) -> Counting:
    """Single tokens counted, of at most `limit` drawn tokens.

    Raises DataError where there are none, ValueError for tokens that are not in the vocabulary.
    """
    if documents.predicted < 1:
        raise DataError("An n-gram model needs texts to learn from; there are none.")
    stream = drawn(documents, limit)
    if int(stream.max()) >= vocabulary:
        raise ValueError(f"tokens must be below {vocabulary}")
    return Counting(stream, vocabulary)


def affordable(
    documents: Documents, vocabulary: int, order: int, budget: Budget | None = None
) -> int:
    """How many tokens memory and the budget allow to count up to `order`, at least a few."""
    total = documents.predicted
    most = int(min(MOST_TOKENS, MEMORY_SHARE * machine_memory() / _bytes_per_token(order)))
    if budget is None or total <= PROBED:
        return max(1, min(total, most))
    started = time.perf_counter()
    counting = begun(documents, vocabulary, PROBED)
    while counting.order < order:
        counting.extend()
    seconds = time.perf_counter() - started
    most = min(most, int(PROBED * budget.remaining / (SLOWER * seconds)))
    return min(total, max(most, LEAST_TOKENS))


def _bytes_per_token(order: int) -> int:
    """What counting holds at its height: nodes and keys of each token, and n-grams of orders."""
    return 64 + 24 * (order - 1)


def _sorted(keys: Array) -> tuple[Array, Array]:
    """Keys (n,) uint64 in rising order, and where each of them stood."""
    if not len(keys):
        return keys, np.zeros(0, dtype=np.int64)
    bits = len(keys).bit_length()
    if int(keys.max()).bit_length() + bits > 64:
        order = np.argsort(keys)
        return keys[order], order
    # A key and its place in one number: sorting values takes half as long as sorting places.
    keys <<= np.uint64(bits)
    keys |= np.arange(len(keys), dtype=np.uint64)
    keys.sort()
    order = (keys & np.uint64(2**bits - 1)).astype(np.int64)
    keys >>= np.uint64(bits)
    return keys, order
