"""What a model says of examples: one frozen class for each form of output. NumPy only.

All of them answer the same questions (see `Prediction`), so that what stands around them, such as
calibration, evidence and files of predictions, need not ask which form it has before it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from fathom.core.lists import json_list

Array = NDArray[Any]
TINY = float(np.finfo(np.float64).tiny)
FLOOR = float(np.finfo(np.float64).eps)
"""The least probability that a log loss reckons with."""


@dataclass(frozen=True)
class Claims:
    """What a prediction claims with which confidence, and what came of it: m claims on n rows.

    `confidence` (m,) is the probability that was stated, `right` (m,) whether it came true; `rows`
    (m,) tells whose claim it is, None where each row makes one.
    """

    confidence: Array
    right: Array
    rows: Array | None = None


class Prediction(ABC):
    """Predictions for n rows, in their order."""

    mistakes: ClassVar[bool] = True
    """Whether an answer is right or wrong; a number is only more or less far off."""
    worst_order: ClassVar[str]
    """What `worst_first` goes by, in words."""

    @abstractmethod
    def __len__(self) -> int:
        """How many rows."""

    @property
    @abstractmethod
    def raw(self) -> Array:
        """The numbers that everything else follows from, first axis n."""

    @abstractmethod
    def with_raw(self, raw: Array) -> Self:
        """The same kind of prediction with other numbers."""

    @abstractmethod
    def worst_first(self, targets: Array) -> Array:
        """Positions of the wrong answers, the most blatant first; of numbers all, by error."""

    @abstractmethod
    def merit(self, targets: Array) -> Array:
        """How well each row is answered, (n,), higher being better: the mean log-probability of its
        truth; of numbers, minus the squared error.
        """

    @abstractmethod
    def said(self, position: int) -> Any:
        """The answer for one row: a name, names, or a number."""

    @abstractmethod
    def truth(self, target: Any) -> Any:
        """A target as `said` would say it."""

    @abstractmethod
    def columns(self) -> Mapping[str, Array]:
        """Columns (n,) of a file of predictions: `prediction` first, then how sure it is."""

    def right(self, targets: Array) -> Array | None:
        """Which rows are answered rightly, (n,) Boolean; None of numbers, which are only near."""
        return None

    @property
    def certainty(self) -> Array | None:
        """How sure each row's answer is, (n,); None where the form does not say."""
        return None

    def confidence(self, position: int) -> float | None:
        """How sure the answer for one row is; None where the form does not say."""
        return None

    def logits(self) -> Array | None:
        """Numbers (n, K) that a temperature divides; None where none applies."""
        return None

    def claims(self, targets: Array) -> Claims | None:
        """What was claimed with which probability; None where nothing is."""
        return None

    @property
    def finite(self) -> bool:
        """Whether all of it is finite."""
        return bool(np.isfinite(self.raw).all())

    def take(self, rows: Array) -> Self:
        """The prediction for some rows."""
        return self.with_raw(self.raw[rows])

    @staticmethod
    def joined(parts: Sequence[Prediction]) -> Prediction:
        """The parts of one model's prediction, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return parts[0].with_raw(np.concatenate([part.raw for part in parts]))


@dataclass(frozen=True)
class NamedPrediction(Prediction):
    """Probabilities `probs` (n, K) float64, whose columns `labels` names."""

    labels: tuple[str, ...]
    probs: Array

    def __len__(self) -> int:
        return len(self.probs)

    @property
    def raw(self) -> Array:
        """The probabilities (n, K)."""
        return self.probs

    def with_raw(self, raw: Array) -> Self:
        """Other probabilities of the same labels."""
        return type(self)(self.labels, raw)


@dataclass(frozen=True)
class ClassPrediction(NamedPrediction):
    """Class probabilities: each row of `probs` sums to 1."""

    worst_order: ClassVar[str] = "wrong answers by falling confidence"

    @property
    def codes(self) -> Array:
        """The most probable class of each row, (n,) int64."""
        codes: Array = self.probs.argmax(axis=1)
        return codes

    @property
    def certainty(self) -> Array:
        """How sure each row's answer is: its largest probability, (n,)."""
        certainty: Array = self.probs.max(axis=1)
        return certainty

    @property
    def names(self) -> Array:
        """The most probable class of each row by name, (n,) object."""
        return np.asarray(self.labels, dtype=object)[self.codes]

    def right(self, targets: Array) -> Array:
        """Which rows are answered rightly, (n,) Boolean."""
        right: Array = self.codes == targets
        return right

    def of_truth(self, targets: Array) -> Array:
        """The probability that each row's class was given, (n, 1)."""
        given: Array = self.probs[np.arange(len(targets)), targets][:, None]
        return given

    def merit(self, targets: Array) -> Array:
        """The log-probability of the class."""
        return -surprise(self.of_truth(targets))

    def worst_first(self, targets: Array) -> Array:
        """Wrong answers by falling confidence."""
        wrong = np.flatnonzero(~self.right(targets))
        ordered: Array = wrong[np.argsort(-self.certainty[wrong], kind="stable")]
        return ordered

    def said(self, position: int) -> str:
        """The most probable class by name."""
        return self.labels[int(self.probs[position].argmax())]

    def truth(self, target: Any) -> str:
        """The class of a code by name."""
        return self.labels[int(target)]

    def confidence(self, position: int) -> float:
        """The largest probability."""
        return float(self.probs[position].max())

    def columns(self) -> Mapping[str, Array]:
        """The class, the probability of each, and the largest of these."""
        each = {f"probability_{k}": self.probs[:, i] for i, k in enumerate(self.labels)}
        return {"prediction": self.names, **each, "confidence": self.certainty}

    def logits(self) -> Array:
        """Log-probabilities (n, K)."""
        logits: Array = np.log(np.maximum(self.probs, TINY))
        return logits

    def claims(self, targets: Array) -> Claims:
        """Of each row its most probable class."""
        return Claims(self.certainty, self.right(targets))


@dataclass(frozen=True)
class LabelsPrediction(NamedPrediction):
    """Label probabilities, each by itself. A label is said where it has one half or more."""

    worst_order: ClassVar[str] = "rows with a wrong label, by how improbable the truth was held"

    @property
    def holds(self) -> Array:
        """Which labels are said, (n, K) Boolean."""
        holds: Array = self.probs >= 0.5
        return holds

    @property
    def certainty(self) -> Array:
        """How sure each row's answer is: that of its least certain label, (n,)."""
        certainty: Array = np.maximum(self.probs, 1.0 - self.probs).min(axis=1)
        return certainty

    def right(self, targets: Array) -> Array:
        """Rows of which every label is told rightly, (n,) Boolean."""
        right: Array = (self.holds == targets.astype(bool)).all(axis=1)
        return right

    def of_truth(self, targets: Array) -> Array:
        """The probability that was given to each label's holding, or not holding, (n, K)."""
        given: Array = np.where(targets > 0, self.probs, 1.0 - self.probs)
        return given

    def merit(self, targets: Array) -> Array:
        """The mean log-probability of what is true of each label."""
        return -surprise(self.of_truth(targets))

    def worst_first(self, targets: Array) -> Array:
        """Rows with a wrong label, by how improbable the whole truth was held to be."""
        wrong = np.flatnonzero(~self.right(targets))
        surprise = -np.log(np.maximum(self.of_truth(targets)[wrong], TINY)).sum(axis=1)
        ordered: Array = wrong[np.argsort(-surprise, kind="stable")]
        return ordered

    def said(self, position: int) -> str:
        """The labels that are said, or 'none of the labels'."""
        return self.truth(self.holds[position])

    def truth(self, target: Any) -> str:
        """The labels of a row of 0 and 1 (K,), or 'none of the labels'."""
        return ", ".join(self._names(target)) or "none of the labels"

    def columns(self) -> Mapping[str, Array]:
        """The set as a JSON list, which no label's text can spoil, and each label's probability."""
        sets = np.array([json_list(sorted(self._names(row))) for row in self.holds], dtype=object)
        each = {f"probability_{k}": self.probs[:, i] for i, k in enumerate(self.labels)}
        return {"prediction": sets, **each}

    def logits(self) -> Array:
        """Log-odds (n, K)."""
        log_odds: Array = np.log(np.maximum(self.probs, TINY)) - np.log(
            np.maximum(1.0 - self.probs, TINY)
        )
        return log_odds

    def claims(self, targets: Array) -> Claims:
        """Of each row that each label holds, with the probability of it."""
        rows = np.repeat(np.arange(len(self)), len(self.labels))
        right = targets.astype(bool).ravel()
        return Claims(self.probs.ravel(), right, rows)

    def _names(self, row: Array) -> list[str]:
        return [self.labels[k] for k in np.flatnonzero(row)]


@dataclass(frozen=True)
class NumberPrediction(Prediction):
    """Numbers in the target's own units: `values` (n,) float64."""

    mistakes: ClassVar[bool] = False
    worst_order: ClassVar[str] = "predictions by falling error"
    values: Array

    def __len__(self) -> int:
        return len(self.values)

    @property
    def raw(self) -> Array:
        """The values (n,)."""
        return self.values

    def with_raw(self, raw: Array) -> Self:
        """Other values."""
        return type(self)(raw)

    def worst_first(self, targets: Array) -> Array:
        """All rows by falling error."""
        by_error: Array = np.argsort(-np.abs(self.values - targets), kind="stable")
        return by_error

    def merit(self, targets: Array) -> Array:
        """Minus the squared error."""
        merit: Array = -((self.values - targets) ** 2)
        return merit

    def said(self, position: int) -> float:
        """The value."""
        return float(self.values[position])

    def truth(self, target: Any) -> float:
        """The true value."""
        return float(target)

    def columns(self) -> Mapping[str, Array]:
        """The value."""
        return {"prediction": self.values}


def surprise(given: Array) -> Array:
    """Minus the log of probabilities (n, m) that were given to the truth, the mean of a row, (n,).

    Clipped at 2.2e-16, as scikit-learn's log loss is.
    """
    mean: Array = -np.log(np.clip(given, FLOOR, 1.0)).mean(axis=1)
    return mean
