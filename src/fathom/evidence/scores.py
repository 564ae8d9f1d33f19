"""Metrics as evidence needs them: a value with its interval, and paired differences of two models.

The values are those of `tasks.metrics` (a test holds them together); here each metric also knows
what it is a function of, from which its interval follows: counts of a confusion matrix, means of
row terms, or ranks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from fathom.core.prediction import (
    Array,
    ClassPrediction,
    NumberPrediction,
    Prediction,
)
from fathom.core.quantities import percent_digits
from fathom.evidence import wording
from fathom.evidence.intervals import (
    UNSEEN,
    Estimate,
    at_an_end,
    auc_interval,
    auc_parts,
    auc_variance,
    bootstrap_cells,
    bootstrap_rows,
    class_weights,
    closed,
    difference,
    normal,
    paired_shares,
    reaching,
    share_unseen,
    shares_unseen,
    wilson,
)
from fathom.tasks import HIGHER_IS_BETTER


@dataclass(frozen=True)
class Metric(ABC):
    """`title` is how a sentence calls it; `as_percent` how its value is written."""

    name: str
    title: str
    as_percent: bool = False

    @abstractmethod
    def estimate(
        self, prediction: Prediction, targets: Array, generator: np.random.Generator
    ) -> Estimate:
        """The value on n rows with its 95 % interval."""

    @abstractmethod
    def paired(
        self,
        first: Prediction,
        second: Prediction,
        targets: Array,
        generator: np.random.Generator,
    ) -> Estimate:
        """First model's value minus the second's, over the same rows, with its interval."""

    def undefined(self, targets: Array) -> str:
        """Why these targets do not define the metric; empty where they do."""
        return "" if len(targets) else "There are no examples to measure on."

    @property
    def higher_is_better(self) -> bool:
        """Whether more of it is better."""
        return HIGHER_IS_BETTER[self.name]

    def write(self, value: float, signed: bool = False) -> str:
        """A value in words, or with `signed` a difference of two."""
        if self.as_percent:
            return wording.points(value) if signed else wording.percent(value)
        if not signed and 0.9995 <= value < 1:
            return f"{value:.5f}"  # an area of 0.99997 is not 1.00
        return wording.number(value, signed)

    def between(self, estimate: Estimate, signed: bool = False) -> str:
        """'95 % interval 96.1 to 99.1 %'."""
        if self.as_percent:
            low = percent_digits(estimate.low, signed)
            return f"95 % interval {low} to {self.write(estimate.high, signed)}"
        low, high = (self.write(v, signed) for v in estimate.interval)
        return f"95 % interval {low} to {high}"


@dataclass(frozen=True)
class Accuracy(Metric):
    """The share of rows whose class, or all of whose labels, were said rightly."""

    def estimate(
        self, prediction: Prediction, targets: Array, generator: np.random.Generator
    ) -> Estimate:
        """Wilson's interval."""
        right = _right(prediction, targets)
        return wilson(int(right.sum()), len(targets))

    def paired(
        self,
        first: Prediction,
        second: Prediction,
        targets: Array,
        generator: np.random.Generator,
    ) -> Estimate:
        """Agresti and Min's interval."""
        return paired_shares(_right(first, targets), _right(second, targets))


class Bounded(Metric):
    """A figure from 0 to 1 by what is said; at its ends see `intervals`."""

    @abstractmethod
    def reach(self, prediction: Prediction, targets: Array) -> Array:
        """What it would be with all the mistakes, and all the right answers, that rows may hide."""

    def opened(self, found: Estimate, prediction: Prediction, targets: Array) -> Estimate:
        """An interval as it was found, or what the rows leave open where it has no width."""
        return reaching(found.value, self.reach(prediction, targets)) if at_an_end(found) else found

    def opened_gain(
        self, found: Estimate, first: Prediction, second: Prediction, targets: Array, alike: bool
    ) -> Estimate:
        """The same of a gain; `alike` where the two say the same of every row."""
        if not closed(found):
            return found
        generator = np.random.default_rng(0)  # of intervals without width all draws are the same
        one, other = (self.estimate(p, targets, generator) for p in (first, second))
        if UNSEEN in (one.method, other.method):
            return difference(one, other)._replace(method=UNSEEN)
        if not alike:
            return found
        spread = float(np.abs(self.reach(first, targets) - one.value).max())
        return reaching(found.value, np.array([-spread, spread]))


@dataclass(frozen=True)
class CountMetric(Bounded):
    """A function of the confusion matrix. `of` (hits, truths, said), each (..., K), gives (...)."""

    of: Callable[[Array, Array, Array], Array] = lambda hits, truths, said: hits

    def estimate(
        self, prediction: Prediction, targets: Array, generator: np.random.Generator
    ) -> Estimate:
        """Bootstrap of the counts."""
        size = _size(prediction)
        cells = np.column_stack([targets, _codes(prediction)])
        found = bootstrap_cells(cells, lambda k, c: self._value(k, c, 1, size), generator)
        return self.opened(found, prediction, targets)

    def paired(
        self,
        first: Prediction,
        second: Prediction,
        targets: Array,
        generator: np.random.Generator,
    ) -> Estimate:
        """Bootstrap of the counts of (truth, first, second) together."""
        size = _size(first)
        cells = np.column_stack([targets, _codes(first), _codes(second)])

        def statistic(kinds: Array, counts: Array) -> Array:
            return self._value(kinds, counts, 1, size) - self._value(kinds, counts, 2, size)

        found = bootstrap_cells(cells, statistic, generator)
        alike = bool((_codes(first) == _codes(second)).all())
        return self.opened_gain(found, first, second, targets, alike)

    def reach(self, prediction: Prediction, targets: Array) -> Array:
        """With mistakes taken for the rarest other class, and with right answers."""
        size = _size(prediction)
        pairs = np.bincount(targets * size + _codes(prediction), minlength=size * size)
        confusion = pairs.reshape(size, size)
        truths = confusion.sum(axis=1)
        moved = shares_unseen(truths)
        hits, said = confusion.diagonal() * (1 - moved), (1 - moved) @ confusion
        rarest, second = np.argsort(np.where(truths, truths, np.inf), kind="stable")[:2]
        taken_for = np.where(np.arange(size) == rarest, second, rarest)
        wrongly = moved * truths @ np.eye(size)[taken_for]
        worse = self.of(hits, truths, said + wrongly)
        better = self.of(hits + moved * truths, truths, said + moved * truths)
        return np.concatenate([worse, better])

    def _value(self, kinds: Array, counts: Array, column: int, size: int) -> Array:
        truth, said = kinds[:, 0], kinds[:, column]
        hits = _sums(np.where(truth == said, counts, 0), truth, size)
        return self.of(hits, _sums(counts, truth, size), _sums(counts, said, size))


def _sums(counts: Array, codes: Array, size: int) -> Array:
    """Counts (..., U) of distinct rows added up by class code (U,): (..., size)."""
    rows = np.arange(len(codes))
    member = csr_array((np.ones(len(codes)), (rows, codes)), shape=(len(codes), size))
    sums: Array = np.asarray(counts @ member)
    return sums


@dataclass(frozen=True)
class Area(Metric):
    """An area under a ROC curve, or the mean of several."""

    @abstractmethod
    def parts(self, prediction: Prediction, targets: Array) -> tuple[float, Array]:
        """The value, and each row's influence on it, (n,)."""

    @abstractmethod
    def fewest(self, targets: Array) -> int:
        """The rows that tell least: those of the smaller of two sides."""

    def weights(self, targets: Array) -> Array:
        """What each row's influence counts in the variance, (n,)."""
        return np.ones(len(targets))

    def estimate(
        self, prediction: Prediction, targets: Array, generator: np.random.Generator
    ) -> Estimate:
        """DeLong's variance, on the logit scale."""
        value, influence = self.parts(prediction, targets)
        variance = auc_variance(influence, self.weights(targets))
        smaller = self.fewest(targets)
        return auc_interval(value, variance, smaller, len(targets) - smaller)

    def paired(
        self,
        first: Prediction,
        second: Prediction,
        targets: Array,
        generator: np.random.Generator,
    ) -> Estimate:
        """DeLong's variance of the difference of correlated areas."""
        (a, from_a), (b, from_b) = self.parts(first, targets), self.parts(second, targets)
        variance = auc_variance(from_a - from_b, self.weights(targets))
        if variance <= 0 and {a, b} & {0.0, 1.0}:
            ends = (self.estimate(p, targets, generator) for p in (first, second))
            return difference(*ends)
        return normal(a - b, variance, "DeLong's interval for correlated areas")


@dataclass(frozen=True)
class RocAuc(Area):
    """Area under the ROC curve; over more than two classes the mean of each against the rest."""

    def parts(self, prediction: Prediction, targets: Array) -> tuple[float, Array]:
        """The mean over the classes that occur, and each row's influence on it, (n,)."""
        probs, present = _probs(prediction), np.unique(targets)
        classes = present if probs.shape[1] > 2 else present[-1:]
        value, influence = 0.0, np.zeros(len(targets))
        for k in classes:
            part = auc_parts(probs[:, k], targets == k)
            value += part.value
            influence += part.influence / len(classes)
        return value / len(classes), influence  # divided once, so that ones make exactly one

    def fewest(self, targets: Array) -> int:
        """Those of the smaller class; of several the rows of one on average."""
        counts = np.unique(targets, return_counts=True)[1]
        return int(counts.min()) if len(counts) == 2 else len(targets) // len(counts)

    def weights(self, targets: Array) -> Array:
        """Corrected for degrees of freedom within each class."""
        return class_weights(targets)

    def undefined(self, targets: Array) -> str:
        """One class alone cannot be ranked against another."""
        if len(np.unique(targets)) < 2:
            return "Only one class occurs, so that there is nothing to rank."
        return ""


@dataclass(frozen=True)
class TermMetric(Metric):
    """A function of means of row terms: `terms` gives (n, p), `of` (..., p) gives (...)."""

    terms: Callable[[Prediction, Array], Array] = lambda prediction, targets: targets[:, None]
    of: Callable[[Array], Array] = lambda means: means[..., 0]
    least: int = 1

    def estimate(
        self, prediction: Prediction, targets: Array, generator: np.random.Generator
    ) -> Estimate:
        """Bootstrap of rows, or the delta method where they are many."""
        return bootstrap_rows(self.terms(prediction, targets), self.of, generator)

    def paired(
        self,
        first: Prediction,
        second: Prediction,
        targets: Array,
        generator: np.random.Generator,
    ) -> Estimate:
        """The same rows are drawn for both."""
        terms = np.hstack([self.terms(first, targets), self.terms(second, targets)])
        half = terms.shape[1] // 2
        return bootstrap_rows(
            terms, lambda m: self.of(m[..., :half]) - self.of(m[..., half:]), generator
        )

    def undefined(self, targets: Array) -> str:
        """Too few rows, or a target that does not vary."""
        if len(targets) < self.least:
            return f"It takes at least {self.least} examples; there are {len(targets)}."
        if self.least > 1 and np.ptp(targets) == 0:
            return "The target is the same everywhere here, so that there is nothing to explain."
        return ""


@dataclass(frozen=True)
class SaidMetric(TermMetric, Bounded):
    """One of what is said of several labels at once, from 0 to 1."""

    def estimate(
        self, prediction: Prediction, targets: Array, generator: np.random.Generator
    ) -> Estimate:
        """As of any terms; what the rows leave open at an end of the scale."""
        return self.opened(super().estimate(prediction, targets, generator), prediction, targets)

    def paired(
        self,
        first: Prediction,
        second: Prediction,
        targets: Array,
        generator: np.random.Generator,
    ) -> Estimate:
        """The same rows are drawn for both; what they leave open where nothing differs."""
        found = super().paired(first, second, targets, generator)
        alike = bool(((first.raw >= 0.5) == (second.raw >= 0.5)).all())
        return self.opened_gain(found, first, second, targets, alike)

    def reach(self, prediction: Prediction, targets: Array) -> Array:
        """With every label of some rows told wrongly, or rightly."""
        share, means = share_unseen(len(targets)), self.terms(prediction, targets).mean(axis=0)
        answers = (prediction.with_raw(1.0 - targets), prediction.with_raw(1.0 * targets))
        others = [self.terms(answer, targets).mean(axis=0) for answer in answers]
        return np.array([self.of((1 - share) * means + share * other) for other in others])


def _right(prediction: Prediction, targets: Array) -> Array:
    right = prediction.right(targets)
    if right is None:
        raise TypeError("this metric scores predictions that are right or wrong")
    return right


def _codes(prediction: Prediction) -> Array:
    codes: Array = _probs(prediction).argmax(axis=1)
    return codes


def _size(prediction: Prediction) -> int:
    return int(_probs(prediction).shape[1])


def _probs(prediction: Prediction) -> Array:
    if not isinstance(prediction, ClassPrediction):
        raise TypeError("this metric scores class predictions")
    return prediction.probs


def _errors(prediction: Prediction, targets: Array) -> Array:
    if not isinstance(prediction, NumberPrediction):
        raise TypeError("this metric scores predicted numbers")
    errors: Array = prediction.values - targets
    return errors


def _mean_where(values: Array, counted: Array) -> Array:
    total: Array = np.where(counted, values, 0.0).sum(axis=-1)
    means: Array = total / np.maximum(counted.sum(axis=-1), 1)
    return means


def _balanced(hits: Array, truths: Array, said: Array) -> Array:
    return _mean_where(hits / np.maximum(truths, 1), truths > 0)


def mean_f1(hits: Array, truths: Array, said: Array) -> Array:
    """The mean F1 over the last axis, of those that occur or are said; counts or shares of rows."""
    either = truths + said
    score = np.zeros(np.shape(either))
    np.divide(2 * hits, either, out=score, where=either > 0)
    return _mean_where(score, either > 0)


def surprises(prediction: Prediction, targets: Array) -> Array:
    """Minus the log-probability of each row's truth, (n, 1)."""
    return -prediction.merit(targets)[:, None]


def _r2_terms(prediction: Prediction, targets: Array) -> Array:
    apart = targets - targets.mean()  # about their mean, so that the variance does not cancel
    terms: Array = np.column_stack([_errors(prediction, targets) ** 2, apart, apart**2])
    return terms


def _r2(means: Array) -> Array:
    variance = means[..., 2] - means[..., 1] ** 2
    ratio = np.full_like(variance, np.nan)  # a draw of one row alone explains nothing
    np.divide(means[..., 0], variance, out=ratio, where=variance > 0)
    explained: Array = 1 - ratio
    return explained


CLASS_METRICS: tuple[Metric, ...] = (
    Accuracy("accuracy", "accuracy", as_percent=True),
    CountMetric("balanced_accuracy", "balanced accuracy", as_percent=True, of=_balanced),
    CountMetric("macro_f1", "macro F1", of=mean_f1),
    RocAuc("roc_auc", "ROC AUC"),
    TermMetric("log_loss", "log loss", terms=surprises),
)
NUMBER_METRICS: tuple[Metric, ...] = (
    TermMetric(
        "rmse",
        "root mean squared error",
        terms=lambda p, t: _errors(p, t)[:, None] ** 2,
        of=lambda means: np.sqrt(means[..., 0]),
    ),
    TermMetric("mae", "mean absolute error", terms=lambda p, t: np.abs(_errors(p, t))[:, None]),
    TermMetric("r2", "R²", terms=_r2_terms, of=_r2, least=2),
)


def scoring_seconds(n: int, classes: int) -> float:
    """About how long all metrics of one model take: sorting by every class, and the bootstraps."""
    return 0.05 + n * (3e-6 + 8e-7 * max(classes, 1))
