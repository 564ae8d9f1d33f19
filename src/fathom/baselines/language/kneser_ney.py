"""Interpolated modified Kneser-Ney: how often a token followed the few before it, smoothed.

Chen and Goodman 1999 (doi 10.1006/csla.1999.0128), after Kneser and Ney 1995. What is taken from
the counts of an order, three discounts, goes to the order below, whose counts are of how many
different tokens stood before an n-gram. The lowest is uniform: every token has a chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from fathom.baselines.language.counting import Counting, affordable, begun
from fathom.baselines.language.levels import (
    CLASSES,
    UNKNOWN,
    Level,
    estimate_discounts,
    narrowed,
    pruned,
)
from fathom.core.budget import Budget
from fathom.core.language import Documents
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.core.quantities import prefixed

TITLE = "The n-gram model"
MOST_ORDER = 12
MOST_BYTES = 128 * 10**6
"""What a model may take as it is stored."""
AT_ONCE = 2**18  # tokens that are scored together
CELLS_AT_ONCE = 2**22  # probabilities of next tokens that are computed together
FIELDS = ("offsets", "tokens", "counts", "totals")


class KneserNey:
    """An n-gram model; a `LanguageModel`.

    `unigrams` (V,) are the counts of single tokens, `levels` the longer n-grams; `discounts`
    (order, 4) are what is taken from counts of 0, 1, 2 and more. `end` is the token that ends a
    text, before which no context reaches. `counted` is how many training tokens were counted;
    handed to `fit` as its limit, with the same order, it gives the same model. `notes` are
    sentences about the fit that a reader should know. `settled` is False where more time could have
    made a better model.
    """

    name = "kneser_ney"

    def __init__(
        self,
        unigrams: Array,
        levels: Sequence[Level],
        discounts: Array,
        *,
        end: int,
        counted: int,
        notes: tuple[str, ...] = (),
        settled: bool = True,
    ) -> None:
        self.unigrams, self.levels, self.discounts = unigrams, list(levels), discounts
        self.end, self.counted, self.notes, self.settled = end, counted, notes, settled
        self._single = _single(unigrams, discounts[0])  # probabilities (V,) float64
        self._rest = [level.rest(d) for level, d in zip(self.levels, discounts[1:], strict=True)]

    @property
    def order(self) -> int:
        """How many tokens the longest n-gram has."""
        return 1 + len(self.levels)

    @property
    def vocabulary(self) -> int:
        """How many tokens there are."""
        return len(self.unigrams)

    @property
    def nbytes(self) -> int:
        """The bytes of its state."""
        stored = self.unigrams.nbytes + self.discounts.nbytes
        return int(stored + sum(level.nbytes for level in self.levels))

    @classmethod
    def fit(
        cls,
        documents: Documents,
        *,
        vocabulary: int,
        order: int,
        budget: Budget | None = None,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Count the n-grams up to `order` in documents with tokens below `vocabulary`.

        Where memory or the budget do not suffice for all tokens, documents are drawn; a `limit`
        says how many tokens are counted, whatever the clock says. Raises DataError where there is
        nothing to count, ValueError for an order or a limit that cannot be.
        """
        _check(order, limit)
        if limit is None:
            limit = affordable(documents, vocabulary, order, budget)
        counting = begun(documents, vocabulary, limit)
        while counting.order < order:
            if progress is not None:
                progress.advance(counting.order, order, f"order {counting.order + 1}")
            counting.extend()
        return cls.of(counting, documents.predicted)

    @classmethod
    def of(cls, counting: Counting, total: int, most_bytes: int = MOST_BYTES) -> Self:
        """The model of what was counted so far, among `total` tokens; pruned to so many bytes."""
        orders = range(1, counting.order + 1)
        discounts = np.stack([estimate_discounts(counting.effective(order)) for order in orders])
        unigrams = narrowed(counting.effective(1))
        room = most_bytes - unigrams.nbytes - discounts.nbytes
        levels, left_out = pruned(counting.levels(), room)
        counted = len(counting.tokens) - 1
        notes = _notes(counted, total, left_out, most_bytes)
        return cls(unigrams, levels, discounts, end=counting.end, counted=counted, notes=notes)

    def nats(self, documents: Documents) -> Array:
        """-log p of every predicted token, (N - 1,) float32; see `LanguageModel`.

        Raises ValueError for tokens that are not in the vocabulary, or where END is another one.
        """
        return self.nats_of(documents.tokens)

    def nats_of(self, stream: Array) -> Array:
        """`nats` of a stream of tokens (N,) that begins with END, as documents have it."""
        if int(stream[0]) != self.end:
            raise ValueError(f"texts end with token {int(stream[0])}, not with {self.end}")
        found = np.empty(len(stream) - 1, dtype=np.float32)
        for start in range(1, len(stream), AT_ONCE):
            stop = min(start + AT_ONCE, len(stream))
            seen = max(0, start - max(1, self.order - 1))
            window = self._known(np.asarray(stream[seen:stop]))
            found[start - 1 : stop - 1] = -np.log(self._probs(window)[start - seen - 1 :])
        return found

    def next_log_probs(self, contexts: Sequence[Array]) -> Array:
        """The log p of each token after each context, (n, V) float32; see `LanguageModel`.

        Raises ValueError for an empty context, or one with tokens that are not in the vocabulary.
        """
        if any(len(context) == 0 for context in contexts):
            raise ValueError("a context is at least one token")
        found = np.empty((len(contexts), self.vocabulary), dtype=np.float32)
        rows = max(1, CELLS_AT_ONCE // self.vocabulary)
        for start in range(0, len(contexts), rows):
            some = contexts[start : start + rows]
            found[start : start + rows] = np.log(self._next_probs(some))
        return found

    def _probs(self, window: Array) -> Array:
        """The p of each token of a window (n,) but the first, after those before it; (n - 1,)."""
        breaks = window == self.end
        breaks[0] = True
        probs = self._single[window[1:]]
        for k, (contexts, grams) in enumerate(self._walk(window, breaks)):
            self._interpolate(k, contexts[:-1], grams[1:], probs)
        return probs

    def _interpolate(self, k: int, contexts: Array, grams: Array, probs: Array) -> None:
        """From probabilities of an order those of the next higher one, in place; all (n,)."""
        level, discounts = self.levels[k], self.discounts[k + 1]
        known = np.flatnonzero(contexts != UNKNOWN)
        probs[known] *= self._rest[k][contexts[known]]
        seen = np.flatnonzero(grams != UNKNOWN)
        counts = level.counts[grams[seen]]
        shares = counts - discounts[np.minimum(counts, CLASSES)]
        probs[seen] += shares / level.totals[contexts[seen]]

    def _walk(self, window: Array, breaks: Array) -> Iterator[tuple[Array, Array]]:
        """For each order k from 2 up, of all places of a window (n,): contexts and n-grams, (n,).

        A context is the n-gram of order k - 1 that ends at a place and is followed by the next, an
        n-gram is the one of order k that ends there. No context reaches past a place that `breaks`.
        """
        contexts = window.astype(np.int64)
        for level in self.levels:
            grams = np.full(len(window), UNKNOWN, dtype=np.int64)
            grams[1:] = level.find(contexts[:-1], window[1:])
            yield contexts, grams
            contexts = np.where(breaks, UNKNOWN, grams)

    def _next_probs(self, contexts: Sequence[Array]) -> Array:
        """The p of each token after each context, (n, V) float64."""
        recent = [np.asarray(context)[-max(1, self.order - 1) :] for context in contexts]
        window = self._known(np.concatenate(recent))
        ends = np.cumsum([len(tokens) for tokens in recent]) - 1
        breaks = window == self.end
        breaks[np.append(0, ends[:-1] + 1)] = True
        nodes = [before[ends] for before, _ in self._walk(window, breaks)]
        # From the longest contexts down: what an order says counts as far as those above leave it.
        left = np.ones(len(contexts))
        spread = []
        for k in reversed(range(len(self.levels))):
            spread.append((*self._seen_after(k, nodes[k]), left.copy()))
            known = nodes[k] != UNKNOWN
            left[known] *= self._rest[k][nodes[k][known]]
        probs = left[:, None] * self._single
        for rows, tokens, shares, weights in spread:
            probs[rows, tokens] += weights[rows] * shares
        return probs

    def _seen_after(self, k: int, contexts: Array) -> tuple[Array, Array, Array]:
        """All n-grams of contexts (n,): of which, their last tokens and their shares, each (m,)."""
        level, discounts = self.levels[k], self.discounts[k + 1]
        low, high = level.ranges(contexts)
        sizes = high - low
        rows = np.repeat(np.arange(len(contexts)), sizes)
        grams = np.arange(len(rows)) + np.repeat(low - (np.cumsum(sizes) - sizes), sizes)
        counts = level.counts[grams]
        shares = counts - discounts[np.minimum(counts, CLASSES)]
        return rows, level.tokens[grams], shares / level.totals[contexts[rows]]

    def _known(self, tokens: Array) -> Array:
        if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.vocabulary:
            raise ValueError(f"tokens must be below {self.vocabulary}")
        return tokens

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Everything that `from_state` needs: arrays, and JSON values."""
        arrays = {"unigrams": self.unigrams, "discounts": self.discounts}
        for order, level in enumerate(self.levels, 2):
            arrays |= {f"{name}.{order}": getattr(level, name) for name in FIELDS}
        config = {"order": self.order, "end": self.end, "counted": self.counted}
        return arrays, {**config, "notes": list(self.notes), "settled": self.settled}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """The model that `state` described; it predicts exactly the same.

        Raises ValueError where the arrays do not fit together.
        """
        try:
            order, end, counted = (int(config[name]) for name in ("order", "end", "counted"))
            notes, settled = tuple(map(str, config["notes"])), bool(config["settled"])
            unigrams, discounts = arrays["unigrams"], arrays["discounts"]
            levels = [
                Level(*(arrays[f"{name}.{k}"] for name in FIELDS)) for k in range(2, order + 1)
            ]
        except (KeyError, TypeError) as error:
            raise ValueError(f"an n-gram model is not complete: {error}") from error
        _check_lowest(unigrams, discounts, order, end)
        contexts = len(unigrams)
        for level in levels:
            level.check(contexts, len(unigrams))
            contexts = len(level)
        return cls(
            unigrams,
            levels,
            discounts,
            end=end,
            counted=counted,
            notes=notes,
            settled=settled,
        )


def _check(order: int, limit: int | None) -> None:
    if not 1 <= order <= MOST_ORDER:
        raise ValueError(f"an n-gram model's order is 1 to {MOST_ORDER}, not {order}")
    if limit is not None and limit < 1:
        raise ValueError(f"an n-gram model counts at least one token, not {limit}")


def _check_lowest(unigrams: Array, discounts: Array, order: int, end: int) -> None:
    sound = order >= 1 and unigrams.ndim == 1 and unigrams.dtype.kind == "u"
    sound = sound and 0 <= end < len(unigrams) and bool(unigrams.any())
    sound = sound and discounts.shape == (order, CLASSES + 1) and discounts.dtype == np.float64
    if sound:  # a discount takes something, and never more than there is
        taken = discounts[:, 1:]
        sound = bool(np.all((taken > 0) & (taken <= np.arange(1, CLASSES + 1))))
        sound = sound and not discounts[:, 0].any()
    if not sound:
        raise ValueError("the arrays of an n-gram model do not fit together")


def _single(unigrams: Array, discounts: Array) -> Array:
    """The p of each token by itself, (V,) float64: what discounts take is shared evenly by all."""
    total = float(unigrams.sum(dtype=np.int64))
    shares = (unigrams - discounts[np.minimum(unigrams, CLASSES)]) / total
    probs: Array = shares + (1.0 - shares.sum()) / len(unigrams)
    return probs


def _notes(counted: int, total: int, left_out: int, most_bytes: int) -> tuple[str, ...]:
    notes = []
    if counted < total:
        notes.append(
            f"{TITLE} was fitted on {counted:,} of {total:,} tokens, of texts drawn at random."
        )
    if left_out:
        notes.append(
            f"{TITLE} was pruned to {prefixed(most_bytes, 'B')}: its rarest {left_out:,} n-grams "
            "were left out."
        )
    return tuple(notes)
