"""Ridge regression with its penalty chosen by leaving out each row in turn.

Where one row is left out, the residual is the fitted one divided by what the row leaves to others
(Allen 1974), so that all rows take one decomposition. Classes are least squares on +1 and -1; the
answers for rows that were left out tell what makes them log-odds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import minimize_scalar

from fathom.baselines.base import loss, one_blas_thread, spread_classes
from fathom.core.prediction import Array

PENALTIES = tuple(float(p) for p in np.logspace(-1, 5, 13))
LARGEST_SCALE = 10.0
LEAST_EIGENVALUE = 1e-10  # of the largest one


@dataclass(frozen=True)
class Ridge:
    """`coefficients` (p, t), `intercept` (t,): what is answered to inputs of mean `mean` (p,) and
    spread `scale`.
    """

    mean: Array
    scale: Array
    coefficients: Array
    intercept: Array

    @classmethod
    def fit(cls, inputs: Array, targets: Array, labels: tuple[str, ...], weights: Array) -> Ridge:
        """From inputs (n, p) and targets (n,): numbers, or codes of classes, two of which occur.

        `weights` (p,) say how wide each input is made: a wide one is held back less.
        """
        mean, scale = inputs.mean(axis=0, dtype=np.float64), inputs.std(axis=0, dtype=np.float64)
        scale[~(scale > 1e-9)] = np.inf  # what never changes says nothing
        scale /= weights
        z = ((inputs - mean) / scale).astype(np.float64)
        classes = np.unique(targets) if labels else np.zeros(0, dtype=np.int64)
        wanted = columns_of(targets, classes)
        about = wanted.mean(axis=0)
        with one_blas_thread():
            vectors, values, back = _decomposed(z)
            along = vectors.T @ (wanted - about)
            found = []
            for penalty in PENALTIES:
                left_out = _left_out(vectors, values, along, wanted, penalty)
                factor, error = log_odds(left_out, targets, classes, labels)
                found.append((error, penalty, factor))
            _, penalty, factor = min(found)
            coefficients = back @ (along / (values + penalty)[:, None])
        return cls(mean, scale, coefficients * factor, about * factor)

    def __call__(self, inputs: Array) -> Array:
        """Answers (n, t) float64."""
        with one_blas_thread():
            answers: Array = (inputs - self.mean) / self.scale @ self.coefficients + self.intercept
        return answers


def columns_of(targets: Array, classes: Array) -> Array:
    """What least squares fit, (n, t): numbers; +1 for the second of two classes; +1 for each."""
    if not len(classes):
        return np.asarray(targets, dtype=np.float64)[:, None]
    wanted = classes[1:] if len(classes) == 2 else classes
    columns: Array = np.where(targets[:, None] == wanted, 1.0, -1.0)
    return columns


def log_odds(
    raw: Array, targets: Array, classes: Array, labels: tuple[str, ...]
) -> tuple[float, float]:
    """The factor that makes answers log-odds, and the mean log loss with it.

    For numbers 1 and the mean squared error.
    """
    if not labels:
        return 1.0, loss(raw, targets, ())

    def error(logarithm: float) -> float:
        spread = spread_classes(raw * np.exp(logarithm), classes, len(labels))
        return loss(spread, targets, labels)

    best = minimize_scalar(
        error, bounds=(-2.0, np.log(LARGEST_SCALE)), method="bounded", options={"xatol": 0.01}
    )
    return float(np.exp(best.x)), float(best.fun)


def _decomposed(inputs: Array) -> tuple[Array, Array, Array]:
    """Left vectors (n, r) and squared singular values (r,) of centred inputs (n, p), and the matrix
    (p, r) that leads from what lies along the vectors, over value and penalty, to coefficients.
    """
    rows, columns = inputs.shape
    if rows <= columns:
        values, vectors = eigh(inputs @ inputs.T)
        kept = values > LEAST_EIGENVALUE * max(float(values[-1]), 1e-300)
        values, vectors = values[kept], vectors[:, kept]
        return vectors, values, inputs.T @ vectors
    values, right = eigh(inputs.T @ inputs)
    kept = values > LEAST_EIGENVALUE * max(float(values[-1]), 1e-300)
    values, right = values[kept], right[:, kept]
    roots = np.sqrt(values)
    return inputs @ (right / roots), values, right * roots


def _left_out(vectors: Array, values: Array, along: Array, wanted: Array, penalty: float) -> Array:
    """What is answered to each row by a fit on the others, (n, t)."""
    shrunk = values / (values + penalty)
    fitted = wanted.mean(axis=0) + vectors @ (along * shrunk[:, None])
    own = np.einsum("nr,nr,r->n", vectors, vectors, shrunk, optimize=True) + 1 / len(wanted)
    others = np.maximum(1.0 - own, 1e-8)[:, None]
    answers: Array = wanted - (wanted - fitted) / others
    return answers
