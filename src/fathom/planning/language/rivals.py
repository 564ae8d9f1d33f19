"""Rivals of a network of language: n-grams with Kneser-Ney smoothing, and the compressor xz."""

from __future__ import annotations

from dataclasses import dataclass

from fathom.baselines.language import Choice, KneserNey, best_order
from fathom.core.budget import Budget
from fathom.core.progress import Progress
from fathom.planning.language.plan import NgramPlan
from fathom.planning.language.prepare import Prepared

# A weak baseline is a lie, so it gets a real share of the time.
NGRAM_SHARE = 0.15


@dataclass(frozen=True)
class Rivals:
    """The fitted n-gram model, and why it is of its order."""

    ngrams: KneserNey
    why: str = ""

    @property
    def plan(self) -> NgramPlan:
        """What a repeat needs to fit the same."""
        return NgramPlan(self.ngrams.order, self.ngrams.counted)


def fit_ngrams(
    prepared: Prepared, *, budget: Budget | None, plan: NgramPlan | None, progress: Progress
) -> Rivals:
    """Fit n-grams of the order that is best on validation, or of the plan's.

    Without a budget no clock ends the search, and memory alone bounds what is counted.
    """
    progress.stage("fitting baselines")
    train, validation = prepared.splits["train"], prepared.splits["validation"]
    size, why = prepared.tokenizer.size, ""
    if plan is not None:
        model = KneserNey.fit(
            train, vocabulary=size, order=plan.order, limit=plan.limit, progress=progress
        )
    else:
        share = None if budget is None else budget.share(NGRAM_SHARE * budget.seconds)
        choice = best_order(train, validation, vocabulary=size, budget=share, progress=progress)
        model, why = choice.model, _why(choice)
        model.settled = choice.settled
    progress.advance(1, 1, f"n-grams of order {model.order}")
    return Rivals(model, why)


def _why(choice: Choice) -> str:
    tried = ", ".join(f"{tried.order}: {tried.bits:.3f}" for tried in choice.tried)
    ended = "" if choice.settled else "; the time for it ended the search"
    return f"Bits per token on validation by order: {tried}{ended}."
