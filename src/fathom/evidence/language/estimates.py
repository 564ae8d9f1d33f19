"""Figures of texts with their intervals: bits for a byte, perplexity, shares of tokens.

Tokens of one document hang together, so that what an interval goes over are documents, or stretches
of them where there are few. All figures are functions of two sums, and of those the documents are
drawn anew; of few documents the linearised figure has Student's t interval, because a bootstrap of
few makes its interval too narrow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log

import numpy as np
from scipy.stats import t as student

from fathom.core.prediction import Array
from fathom.evidence import wording
from fathom.evidence.intervals import (
    LEVEL,
    Estimate,
    bootstrap_rows,
    closed,
    reaching,
    share_unseen,
)

LN2 = log(2.0)
FEW = 50  # units, below which Student's interval is the sounder one
FEWEST_OWNERS = 20  # documents, below which an interval goes over stretches of them
NOT_TOLD = "one piece of text alone gives no interval"

Statistic = Callable[[Array], Array]


@dataclass(frozen=True)
class Sums:
    """What U units of text take: `nats`, `sizes` in bytes and `tokens`, each (U,).

    `called` is what the units are: 'documents', 'stretches'.
    """

    nats: Array
    sizes: Array
    tokens: Array
    called: str

    def __len__(self) -> int:
        return len(self.nats)


@dataclass(frozen=True)
class TextMetric:
    """A figure of -log p: `per_byte` in bits for a byte, otherwise the perplexity of a token.

    Both are the better the smaller they are.
    """

    name: str
    title: str
    per_byte: bool

    def terms(self, sums: Sums) -> Array:
        """What the figure is a function of the means of, (U, 2)."""
        return np.stack([sums.nats, sums.sizes if self.per_byte else sums.tokens], axis=1)

    def of(self, means: Array) -> Array:
        """The figure of means (..., 2)."""
        ratio = means[..., 0] / means[..., 1]
        return ratio / LN2 if self.per_byte else np.exp(ratio)

    def write(self, value: float, signed: bool = False) -> str:
        """A value in words, or with `signed` a difference of two."""
        if self.per_byte:
            return f"{value:{'+' if signed else ''}.3f}"
        return wording.number(value, signed)

    def between(self, estimate: Estimate, signed: bool = False) -> str:
        """'95 % interval 1.32 to 1.36'."""
        return between(estimate, lambda value: self.write(value, signed))

    def estimate(self, sums: Sums, generator: np.random.Generator) -> Estimate:
        """The figure with its interval."""
        return over_units(self.terms(sums), self.of, generator, sums.called)

    def paired(self, first: Sums, second: Sums, generator: np.random.Generator) -> Estimate:
        """What the second needs more than the first of the same units, with its interval.

        Positive where the first is the better one.
        """
        terms = np.concatenate([self.terms(first), self.terms(second)], axis=1)

        def gain(means: Array) -> Array:
            return self.of(means[..., 2:]) - self.of(means[..., :2])

        return over_units(terms, gain, generator, first.called)


BITS = TextMetric("bits_per_byte", "bits for a byte", per_byte=True)
PERPLEXITY = TextMetric("perplexity", "perplexity", per_byte=False)
METRICS = (BITS, PERPLEXITY)
"""The primary one first."""


def over_units(
    terms: Array, statistic: Statistic, generator: np.random.Generator, called: str
) -> Estimate:
    """A function of the means of the terms (U, p) of units, with its interval.

    `statistic` takes means (..., p) to (...). One unit alone has an interval without ends.
    """
    count = len(terms)
    if count < 2:
        return Estimate(float(statistic(terms.mean(axis=0))), -inf, inf, NOT_TOLD)
    found = (
        _linearised(terms, statistic)
        if count < FEW
        else bootstrap_rows(terms, statistic, generator)
    )
    method = f"{found.method.replace('rows', called)}, over {wording.plural(count, called, called)}"
    return found._replace(method=method)


def _linearised(terms: Array, statistic: Statistic) -> Estimate:
    """Student's interval of the statistic's linear part around the means."""
    means, count = terms.mean(axis=0), len(terms)
    value = float(statistic(means))
    steps = np.diag(1e-6 * np.maximum(np.abs(means), 1e-6))
    gradient = (statistic(means + steps) - statistic(means - steps)) / (2 * steps.diagonal())
    deviation = float(np.std((terms - means) @ gradient, ddof=1)) / count**0.5
    spread = float(student.ppf(0.5 + LEVEL / 2, count - 1)) * deviation
    return Estimate(value, value - spread, value + spread, "delta method, Student's interval")


def share_over_units(
    hits: Array, counts: Array, generator: np.random.Generator, called: str
) -> Estimate:
    """A share with its interval: `hits` of `counts`, both (U,), over units; it stays in 0 to 1.

    Where all are hits, or none is, the units leave open as much as the exact bound for so many.
    """
    terms = np.stack([hits, counts], axis=1).astype(np.float64)
    found = over_units(terms, _ratio, generator, called)
    if closed(found) and found.value in (0.0, 1.0):
        return reaching(found.value, np.array([abs(found.value - share_unseen(len(hits)))]))
    if not np.isfinite(found.low):
        return found
    return found._replace(low=max(0.0, found.low), high=min(1.0, found.high))


def _ratio(means: Array) -> Array:
    ratio: Array = means[..., 0] / means[..., 1]
    return ratio


def mean_over_units(values: Array, generator: np.random.Generator, called: str) -> Estimate:
    """The mean of a value of each unit (U,), with its interval."""
    return over_units(values[:, None].astype(np.float64), lambda m: m[..., 0], generator, called)


def mean_by_owner(
    values: Array,
    owner: Array,
    generator: np.random.Generator,
    called: tuple[str, str] = ("documents", "stretches"),
) -> Estimate:
    """The mean of values (n,) that belong to owners (n,), with an interval over the owners.

    Where these are few it goes over the values themselves. `called` names owners and values.
    """
    present, codes = np.unique(owner, return_inverse=True)
    if len(present) < FEWEST_OWNERS:
        return mean_over_units(values, generator, called[1])
    sums = np.bincount(codes, weights=values.astype(np.float64))
    terms = np.stack([sums, np.bincount(codes).astype(np.float64)], axis=1)
    return over_units(terms, _ratio, generator, called[0])


def interval_of(estimate: Estimate) -> tuple[float, float] | None:
    """Both ends; None of an interval without any."""
    return estimate.interval if np.isfinite(estimate.low) else None


def between(estimate: Estimate, write: Callable[[float], str]) -> str:
    """'95 % interval 1.32 to 1.36', or that there is none."""
    if not np.isfinite(estimate.low):
        return NOT_TOLD
    return f"95 % interval {write(estimate.low)} to {write(estimate.high)}"


def between_shares(estimate: Estimate) -> str:
    """'95 % interval 41.2 to 43.0 %'."""
    if not np.isfinite(estimate.low):
        return NOT_TOLD
    low = wording.percent(estimate.low).removesuffix(" %")
    return f"95 % interval {low} to {wording.percent(estimate.high)}"
