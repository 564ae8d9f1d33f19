"""Metrics by name, each computed by scikit-learn. NumPy only.

A metric that a split cannot answer (a ROC AUC where only one class occurs, R² of a single row) is
NaN: never a warning, never an invented number.
"""

from __future__ import annotations

import numpy as np
from sklearn import metrics as sk

from fathom.core.prediction import Array, surprise

HIGHER_IS_BETTER: dict[str, bool] = {
    "accuracy": True,
    "balanced_accuracy": True,
    "macro_f1": True,
    "roc_auc": True,
    "log_loss": False,
    "macro_roc_auc": True,
    "micro_roc_auc": True,
    "micro_f1": True,
    "exact_match": True,
    "hamming_loss": False,
    "rmse": False,
    "mae": False,
    "r2": True,
}


def roc_auc(probs: Array, targets: Array) -> float:
    """Area under the ROC curve; NaN where fewer than two classes occur.

    `probs` (n, K), `targets` (n,) codes. Two classes: by the probability of the second. More: the
    mean over the classes that occur, each against the rest (macro one-vs-rest).
    """
    present = np.unique(targets)
    if len(present) < 2:
        return float("nan")
    classes = present if probs.shape[1] > 2 else present[-1:]
    return float(np.mean([sk.roc_auc_score(targets == k, probs[:, k]) for k in classes]))


def log_loss(probs: Array, targets: Array) -> float:
    """Mean negative log-probability of the true class; probabilities are clipped at 2.2e-16."""
    return float(sk.log_loss(targets, probs, labels=np.arange(probs.shape[1])))


def classification_metrics(probs: Array, targets: Array) -> dict[str, float]:
    """Every classification metric of probabilities (n, K) against class codes (n,)."""
    said = probs.argmax(axis=1)
    present = np.unique(targets)
    # Balanced accuracy is the mean recall over the classes that occur; asked for by that name,
    # scikit-learn would warn of predicted classes that do not occur.
    recall = sk.recall_score(targets, said, labels=present, average="macro", zero_division=0.0)
    return {
        "accuracy": float(sk.accuracy_score(targets, said)),
        "balanced_accuracy": float(recall),
        "macro_f1": float(sk.f1_score(targets, said, average="macro", zero_division=0.0)),
        "roc_auc": roc_auc(probs, targets),
        "log_loss": log_loss(probs, targets),
    }


def multilabel_metrics(probs: Array, targets: Array) -> dict[str, float]:
    """Every metric of label probabilities (n, K) against labels (n, K) of 0 and 1.

    Macro means are over the labels that say something: the ROC AUC over those that some rows have
    and some lack, F1 over those that occur or are said. A label is said from one half on.
    """
    said, truth = probs >= 0.5, targets.astype(bool)
    areas = [
        sk.roc_auc_score(truth[:, k], probs[:, k])
        for k in range(probs.shape[1])
        if 0 < truth[:, k].sum() < len(truth)
    ]
    pooled = 0 < truth.sum() < truth.size
    counted = (said | truth).any(axis=0)
    by_label = sk.f1_score(truth, said, average=None, zero_division=0.0)
    return {
        "exact_match": float((said == truth).all(axis=1).mean()),
        "macro_f1": float(by_label[counted].mean()) if counted.any() else 0.0,
        "micro_f1": float(sk.f1_score(truth, said, average="micro", zero_division=0.0)),
        "macro_roc_auc": float(np.mean(areas)) if areas else float("nan"),
        "micro_roc_auc": float(sk.roc_auc_score(truth.ravel(), probs.ravel()))
        if pooled
        else float("nan"),
        "hamming_loss": float((said != truth).mean()),
        "log_loss": float(surprise(np.where(truth, probs, 1.0 - probs)).mean()),
    }


def regression_metrics(values: Array, targets: Array) -> dict[str, float]:
    """Every regression metric of predicted numbers (n,) against true ones (n,), in own units."""
    enough = len(targets) > 1
    return {
        "rmse": float(sk.root_mean_squared_error(targets, values)),
        "mae": float(sk.mean_absolute_error(targets, values)),
        "r2": float(sk.r2_score(targets, values)) if enough else float("nan"),
    }
