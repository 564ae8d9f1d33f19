"""The metrics of several labels at once, with intervals over rows, whose labels hang together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fathom.core.prediction import Array, LabelsPrediction, Prediction
from fathom.evidence.intervals import auc_parts, class_weights
from fathom.evidence.scores import (
    Accuracy,
    Area,
    Metric,
    SaidMetric,
    TermMetric,
    mean_f1,
    surprises,
)


@dataclass(frozen=True)
class MacroAuc(Area):
    """The mean over the labels of the area under each one's ROC curve."""

    def fewest(self, targets: Array) -> int:
        """The rows that tell least of a label: that have it, or lack it, of those that vary."""
        have = targets.sum(axis=0, dtype=np.int64)
        rarer = np.minimum(have, len(targets) - have)
        return int(rarer[rarer > 0].min())

    def parts(self, prediction: Prediction, targets: Array) -> tuple[float, Array]:
        """The value, and each row's influence on it, (n,)."""
        probs, truth = label_probs(prediction), targets.astype(bool)
        varied = np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))
        value, influence = 0.0, np.zeros(len(targets))
        for k in varied:
            part = auc_parts(probs[:, k], truth[:, k])
            value += part.value
            # Corrected for degrees of freedom label by label, which with one label is DeLong's.
            influence += part.influence * np.sqrt(class_weights(truth[:, k])) / len(varied)
        return value / len(varied), influence

    def undefined(self, targets: Array) -> str:
        """Labels that all rows have, or none, cannot be ranked."""
        if not (targets.any(axis=0) & ~targets.all(axis=0)).any():
            return "No label holds for some of the examples and not for others: nothing to rank."
        return ""


@dataclass(frozen=True)
class MicroAuc(MacroAuc):
    """The area under the ROC curve of all pairs of row and label together."""

    def fewest(self, targets: Array) -> int:
        """The rows that have a label, or that lack one, whichever are fewer."""
        return int(min(targets.any(axis=1).sum(), (targets == 0).any(axis=1).sum()))

    def parts(self, prediction: Prediction, targets: Array) -> tuple[float, Array]:
        """The value, and each row's influence on it, (n,)."""
        pairs = auc_parts(label_probs(prediction).ravel(), targets.astype(bool).ravel())
        return pairs.value, pairs.influence.reshape(targets.shape).mean(axis=1)


def label_probs(prediction: Prediction) -> Array:
    """The probabilities (n, K). Raises TypeError for another form of prediction."""
    return _labels(prediction).probs


def _labels(prediction: Prediction) -> LabelsPrediction:
    if not isinstance(prediction, LabelsPrediction):
        raise TypeError("this metric scores label predictions")
    return prediction


def _holds(prediction: Prediction) -> Array:
    return _labels(prediction).holds


def _label_terms(prediction: Prediction, targets: Array) -> Array:
    """Hits, truths and what was said, a column for each label, (n, 3 K)."""
    said, truth = _holds(prediction), targets.astype(bool)
    terms: Array = np.hstack([said & truth, truth, said]).astype(np.float64)
    return terms


def _macro_f1(means: Array) -> Array:
    hits, truths, said = np.split(means, 3, axis=-1)
    return mean_f1(hits, truths, said)


def _pooled_terms(prediction: Prediction, targets: Array) -> Array:
    said, truth = _holds(prediction), targets.astype(bool)
    counts = [part.sum(axis=1) for part in (said & truth, truth, said)]
    terms: Array = np.column_stack(counts).astype(np.float64)
    return terms


def _micro_f1(means: Array) -> Array:
    either = means[..., 1] + means[..., 2]
    score = np.zeros_like(either)
    np.divide(2 * means[..., 0], either, out=score, where=either > 0)
    return score


def _wrong(prediction: Prediction, targets: Array) -> Array:
    wrong: Array = (_holds(prediction) != targets.astype(bool)).mean(axis=1, keepdims=True)
    return wrong


LABEL_METRICS: tuple[Metric, ...] = (
    Accuracy("exact_match", "exact-match rate", as_percent=True),
    SaidMetric("macro_f1", "macro F1", terms=_label_terms, of=_macro_f1),
    SaidMetric("micro_f1", "micro F1", terms=_pooled_terms, of=_micro_f1),
    MacroAuc("macro_roc_auc", "macro ROC AUC"),
    MicroAuc("micro_roc_auc", "micro ROC AUC"),
    SaidMetric("hamming_loss", "share of wrong labels", as_percent=True, terms=_wrong),
    TermMetric("log_loss", "log loss", terms=surprises),
)
