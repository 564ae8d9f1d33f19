"""Successive halving: the better half of the trials goes on (Jamieson and Talwalkar 2016).

In its asynchronous form (Li et al. 2020): a trial is compared with those that came as far before
it, and nobody waits for the others.
"""

from __future__ import annotations

from collections.abc import Iterable

# A trial is compared after so many of its 8 validations; behind the last it comes to its end.
RUNGS = (1, 2, 4)
HALVING = 2


def behind(score: float, others: Iterable[float]) -> bool:
    """Whether a score is not in the better half of itself and `others`; the best never is."""
    ranked = sorted([score, *others], reverse=True)
    return score < ranked[max(len(ranked) // HALVING, 1) - 1]
