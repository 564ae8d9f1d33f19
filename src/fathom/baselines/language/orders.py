"""The order of an n-gram model, chosen on validation texts: longer as long as that helps."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from fathom.baselines.language.counting import affordable, begun, drawn
from fathom.baselines.language.kneser_ney import MOST_ORDER, KneserNey
from fathom.core.budget import Budget
from fathom.core.errors import DataError
from fathom.core.language import Documents
from fathom.core.prediction import Array
from fathom.core.progress import Progress

TYPICAL_ORDER = 5  # the order that the time is shared out for, before anything is tried
COUNTING_SHARE = 0.5  # of the budget, for one fit of that order; the rest is for trying
GROWTH = 1.4  # an order takes so much longer than the one before it
LEAST_GAIN = 0.001  # of the bits; what brings less ends the search
MOST_SCORED = 200_000  # validation tokens


@dataclass(frozen=True)
class Tried:
    """One order: `bits` per token on validation, `seconds` it took, `nbytes` of the model."""

    order: int
    bits: float
    seconds: float
    nbytes: int


@dataclass(frozen=True)
class Choice:
    """The best model, and all orders that were tried, in that order.

    `settled` is False where the time budget ended the search, or left tokens out, so that more time
    could have made a better model. `KneserNey.fit` with the model's `order`, and its `counted` as
    the limit, repeats it.
    """

    model: KneserNey
    tried: tuple[Tried, ...]
    settled: bool


def best_order(
    train: Documents,
    validation: Documents,
    *,
    vocabulary: int,
    budget: Budget | None = None,
    progress: Progress | None = None,
) -> Choice:
    """Try orders from 1 up on validation as long as bits fall and time allows.

    How many tokens are counted is settled before; each order goes on where the last one ended, so
    that trying them all costs little more than the longest. Raises DataError without texts.
    """
    if validation.predicted < 1:
        raise DataError("The order of an n-gram model is chosen on validation texts: give some.")
    share = None if budget is None else budget.share(COUNTING_SHARE * budget.remaining)
    limit = affordable(train, vocabulary, TYPICAL_ORDER, share)
    settled = limit == affordable(train, vocabulary, TYPICAL_ORDER)
    started = time.perf_counter()
    counting = begun(train, vocabulary, limit)
    held_out = drawn(validation, MOST_SCORED)
    best = KneserNey.of(counting, train.predicted)
    tried = [_score(best, held_out, started)]
    while counting.order < MOST_ORDER:
        if budget is not None and GROWTH * tried[-1].seconds > budget.remaining:
            settled = False
            break
        if progress is not None:
            progress.advance(counting.order, MOST_ORDER, f"order {counting.order + 1}")
        started = time.perf_counter()
        counting.extend()
        model = KneserNey.of(counting, train.predicted)
        least = tried[-1].bits
        tried.append(_score(model, held_out, started))
        best = model if tried[-1].bits < least else best
        if tried[-1].bits >= (1 - LEAST_GAIN) * least:
            break
    return Choice(best, tuple(tried), settled)


def _score(model: KneserNey, held_out: Array, started: float) -> Tried:
    bits = float(model.nats_of(held_out).mean(dtype=np.float64) / np.log(2))
    return Tried(model.order, bits, time.perf_counter() - started, model.nbytes)
