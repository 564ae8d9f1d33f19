"""Does it learn from its prompt? Three tasks whose answers stand in what the network has just read.

A stretch of text that comes again (induction, Olsson et al. 2022, arXiv 2209.11895), pairs of words
that are asked for, and rare words of real documents at their second and later occurrence. In each
the n-gram model, which forgets what is a few tokens back, shows what comes without any learning.
"""

from __future__ import annotations

from fathom.core.budget import Budget
from fathom.core.record import Record
from fathom.evidence.language import rare_words, recall, repetition
from fathom.evidence.language.subject import NETWORK, LanguageSubject
from fathom.evidence.measure import evidence

IDS = (repetition.ID, recall.ID, rare_words.ID)


def _seconds(subject: LanguageSubject) -> float:
    context = subject.network.model.network.context
    made = repetition.FEWEST * context + recall.FEWEST * recall.tokens(context)
    reading = subject.reading_seconds(NETWORK, "test") + made * subject.token_seconds(NETWORK)
    return 0.2 + reading + rare_words.seconds(subject)


@evidence("in_context", "in_context", IDS, _seconds, weight=1.5)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`in_context.repetition`, `in_context.recall` and `in_context.rare_words`."""
    subject.fit("test", budget)
    return [
        repetition.record(subject, budget.share(0.4 * budget.remaining)),
        recall.record(subject, budget.share(0.6 * budget.remaining)),
        rare_words.record(subject),
    ]
