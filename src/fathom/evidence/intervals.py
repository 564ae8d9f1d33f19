"""95 % intervals: Wilson, DeLong, bootstrap by counts and by row terms, paired ones too. NumPy.

A bootstrap cannot draw a mistake that no row shows, so that at an end of the scale, where all rows
are right or none is, its interval has no width and claims a certainty that nobody measured. There
the end that is open is what follows from the rows that were not seen: with a share p of mistakes n
rows show none with the probability (1 - p)^n, and the shares for which that is 2.5 % or more are
Clopper and Pearson's interval (1934, doi:10.1093/biomet/26.4.404) of 0 in n, up to 1 - 0.025^(1/n);
see also Hanley and Lippman-Hand (1983, doi:10.1001/jama.1983.03330370053031). Of classes each has a
share of its own, and the product of (1 - p_k)^(n_k) is 2.5 % or more; the bound is the metric with
such mistakes where they cost most. Gains go by the bounds of both models where one is at an end,
and by the share of rows on which they may differ where both answer every row alike. Means of
numbers without a bound (log loss, errors) have no such end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, norm, rankdata

from fathom.core.prediction import Array

LEVEL = 0.95
Z = float(norm.ppf(0.5 + LEVEL / 2))
DRAWS = 2_000
CELLS = 10_000_000  # numbers drawn in one bootstrap at most: about half a second of one core
NARROW = 8  # terms of a row, up to which picking rows out is cheap
ROWS = 20_000  # above this the delta method replaces the bootstrap of rows: they agree by then


class Estimate(NamedTuple):
    """A value, its 95 % interval, and in words how the interval was made."""

    value: float
    low: float
    high: float
    method: str

    @property
    def interval(self) -> tuple[float, float]:
        """The two ends."""
        return self.low, self.high

    def negated(self) -> Estimate:
        """The same with the other sign."""
        return Estimate(-self.value, -self.high, -self.low, self.method)


def wilson(successes: int, n: int) -> Estimate:
    """Interval of a share (Wilson 1927): sound for few rows and near 0 and 1."""
    ends = binomtest(successes, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(successes / n, float(ends.low), float(ends.high), "Wilson interval")


def paired_shares(first: Array, second: Array) -> Estimate:
    """Difference of two shares over the same rows; `first`, `second` (n,) Boolean.

    The adjusted Wald interval of Agresti and Min (2005): half a row is added to each cell of the
    table of two by two, so that it does not shrink to nothing where the two agree on all rows.
    """
    n = len(first)
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    b, c, total = only_first + 0.5, only_second + 0.5, n + 2.0
    spread = Z * float(np.sqrt(b + c - (b - c) ** 2 / total)) / total
    middle = (b - c) / total
    value = (only_first - only_second) / n
    method = "adjusted Wald interval for paired shares (Agresti and Min)"
    return Estimate(value, max(-1.0, middle - spread), min(1.0, middle + spread), method)


UNSEEN = "exact bound by the rows that show none (Clopper and Pearson)"


def closed(estimate: Estimate) -> bool:
    """Whether an interval has no width, but for rounding."""
    return estimate.high - estimate.low < 1e-12


def at_an_end(estimate: Estimate) -> bool:
    """Whether a figure from 0 to 1 is at an end of its scale with an interval of no width."""
    return closed(estimate) and min(abs(estimate.value), abs(1 - estimate.value)) < 1e-12


def reaching(value: float, others: Array) -> Estimate:
    """The interval from a value to the furthest that it may be, by what rows do not show."""
    low, high = min(value, float(others.min())), max(value, float(others.max()))
    return Estimate(value, low, high, UNSEEN)


def share_unseen(n: int) -> float:
    """The largest share of something that n rows may show none of: 1 - 0.025^(1/n)."""
    return 1.0 - float(((1 - LEVEL) / 2) ** (1 / n))


def shares_unseen(counts: Array) -> Array:
    """The same for rows of classes, `counts` (K,): K + 1 ways to share it out, (K + 1, K).

    Each class alone, and last the way that makes the mean of the shares largest: under the product
    of q_k^(n_k) = 0.025 the sum of q_k = 1 - p_k is least where q_k is min(1, c n_k).
    """
    there = np.flatnonzero(counts)
    ordered = there[np.argsort(counts[there], kind="stable")]
    n = counts[ordered].astype(np.float64)
    scale = np.exp((np.log((1 - LEVEL) / 2) - np.cumsum(n * np.log(n))) / np.cumsum(n))
    enough = scale[:-1] * n[1:] >= 1  # the next class, and those beyond, take no part
    first = int(enough.argmax()) if enough.any() else len(n) - 1
    shares = np.zeros((len(counts) + 1, len(counts)))
    shares[there, there] = 1 - ((1 - LEVEL) / 2) ** (1 / counts[there])
    shares[-1, ordered] = 1 - np.minimum(1.0, scale[first] * n)
    return shares


def percentile(value: float, draws: Array, method: str) -> Estimate:
    """The middle 95 % of bootstrap draws; draws in which nothing is defined (NaN) are left out."""
    low, high = np.nanquantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Estimate(value, min(float(low), value), max(float(high), value), method)


def draws_for(n: int) -> int:
    """How many bootstrap draws of n numbers are affordable, 200 to 2,000."""
    return int(np.clip(CELLS // max(n, 1), 200, DRAWS))


def bootstrap_rows(
    terms: Array, statistic: Callable[[Array], Array], generator: np.random.Generator
) -> Estimate:
    """Interval of a function of the means of row terms. `terms` (n, p); `statistic` (..., p)→(...).

    Up to ROWS rows are resampled; above, the delta method with a numerical gradient takes over.
    """
    n = len(terms)
    value = float(statistic(terms.mean(axis=0)))
    if n > ROWS:
        return _delta(terms, statistic, value)
    wide = terms.shape[1] > NARROW
    draws = draws_for(n * terms.shape[1] // NARROW if wide else n)
    means = np.empty((draws, terms.shape[1]))
    for start in range(0, draws, 50):
        picked = generator.integers(0, n, size=(min(50, draws - start), n))
        # Many terms are added up by how often each row was picked, not picked out row by row.
        drawn = times_picked(picked) @ terms / n if wide else terms[picked].mean(axis=1)
        means[start : start + 50] = drawn
    return percentile(value, statistic(means), f"percentile bootstrap of rows, {draws:,} draws")


def times_picked(picked: Array) -> Array:
    """How often each of n rows occurs in draws (d, n) of n rows: (d, n) float64."""
    draws, n = picked.shape
    places = picked + n * np.arange(draws)[:, None]
    return np.bincount(places.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float64)


def _delta(terms: Array, statistic: Callable[[Array], Array], value: float) -> Estimate:
    means = terms.mean(axis=0)
    steps = np.diag(1e-6 * np.maximum(np.abs(means), 1e-6))
    rise = statistic(means + steps) - statistic(means - steps)
    gradient = rise / (2 * steps.diagonal())
    spread = Z * float(np.std((terms - means) @ gradient, ddof=1)) / float(np.sqrt(len(terms)))
    return Estimate(value, value - spread, value + spread, "delta method, normal interval")


def bootstrap_cells(
    cells: Array, statistic: Callable[[Array, Array], Array], generator: np.random.Generator
) -> Estimate:
    """Interval of a statistic of counts. `cells` (n, c) integers: truth and what was said.

    `statistic(kinds, counts)` takes the distinct rows (U, c) and how often each occurs (..., U).

    A statistic that depends on rows only through these counts is resampled exactly by drawing the
    counts from a multinomial: choosing n rows with replacement puts each choice into cell u with
    the probability count_u / n, independently, and that is a multinomial's definition. So a draw
    costs the number of distinct cells, not the number of rows.
    """
    kinds, counts = np.unique(cells, axis=0, return_counts=True)
    n = int(counts.sum())
    draws = draws_for(len(counts))
    sampled = generator.multinomial(n, counts / n, size=draws)
    value = float(statistic(kinds, counts))
    method = f"percentile bootstrap of the confusion counts, {draws:,} draws"
    return percentile(value, statistic(kinds, sampled), method)


class AucParts(NamedTuple):
    """An area under the ROC curve with each row's influence on it, (n,), mean zero."""

    value: float
    influence: Array


def auc_parts(scores: Array, positive: Array) -> AucParts:
    """Area under the ROC curve and DeLong's structural components in O(n log n).

    `scores` (n,), `positive` (n,) Boolean with both values present. DeLong et al. 1988; the form by
    midranks is Sun and Xu 2014. Each component is scaled by n over its class's size, so that
    variances of any weighted sum of areas are variances of a mean of rows.
    """
    n, n_positive = len(scores), int(positive.sum())
    n_negative = n - n_positive
    ranks = rankdata(scores)
    within = np.empty(n)
    within[positive] = rankdata(scores[positive])
    within[~positive] = rankdata(scores[~positive])
    beaten = ranks - within  # how many of the other class lie below, ties counted half
    value = float(beaten[positive].sum() / (n_positive * n_negative))
    influence = np.empty(n)
    influence[positive] = (beaten[positive] / n_negative - value) * (n / n_positive)
    influence[~positive] = (1 - beaten[~positive] / n_positive - value) * (n / n_negative)
    return AucParts(value, influence)


def auc_variance(influence: Array, weights: Array) -> float:
    """DeLong's variance of areas. `influence` (n,), `weights` (n,) correct for degrees of freedom.

    With `weights` of m/(m-1) for the m rows of each class this is DeLong's estimate exactly.
    """
    return float(np.sum(influence**2 * weights)) / len(influence) ** 2


def class_weights(targets: Array) -> Array:
    """m/(m-1) for each row, m being the size of its class; 1 for a class of one row."""
    _, codes, counts = np.unique(targets, return_inverse=True, return_counts=True)
    factors: Array = np.where(counts > 1, counts / np.maximum(counts - 1, 1), 1.0)[codes]
    return factors


def auc_interval(value: float, variance: float, smaller: int, larger: int) -> Estimate:
    """Interval of an area: DeLong's variance on the logit scale, so that it stays within 0 to 1.

    Where the classes are separated without a fault that variance is 0, which claims certainty; the
    score interval of Newcombe (2006, method 5) for class sizes `smaller`, `larger` serves instead.
    """
    if variance <= 0 and 0 < value < 1:
        return Estimate(value, value, value, "exact: every example is ranked alike")
    if not 0 < value < 1:
        return Estimate(value, *_newcombe(value, smaller, larger), "Newcombe's score interval")
    spread = Z * np.sqrt(variance) / (value * (1 - value))
    middle = np.log(value / (1 - value))
    low, high = 1 / (1 + np.exp(-(middle + np.array([-spread, spread]))))
    return Estimate(value, float(low), float(high), "DeLong's interval on the logit scale")


def _newcombe(value: float, smaller: int, larger: int) -> tuple[float, float]:
    half = (smaller + larger) / 2 - 1

    def excess(area: float) -> float:
        shape = 1 + half * (1 - area) / (2 - area) + half * area / (1 + area)
        return float((value - area) ** 2 - Z**2 * area * (1 - area) * shape / (smaller * larger))

    tiny = 1e-9
    low = brentq(excess, tiny, value - tiny) if value > 2 * tiny else 0.0
    high = brentq(excess, value + tiny, 1 - tiny) if value < 1 - 2 * tiny else 1.0
    return float(low), float(high)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """First minus second for two independent samples (Zou and Donner 2008, MOVER)."""
    value = first.value - second.value
    down = np.hypot(first.value - first.low, second.high - second.value)
    up = np.hypot(first.high - first.value, second.value - second.low)
    method = "difference of two independent samples from their intervals (MOVER)"
    return Estimate(value, value - float(down), value + float(up), method)


def normal(value: float, variance: float, method: str) -> Estimate:
    """A normal interval."""
    spread = Z * float(np.sqrt(max(variance, 0.0)))
    return Estimate(value, value - spread, value + spread, method)
