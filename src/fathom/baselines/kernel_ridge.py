"""Ridge regression on a Gaussian kernel with landmarks (Nystroem's approximation).

Williams and Seeger, "Using the Nystroem method to speed up kernel machines" (NIPS 2001). With the
kernel K of rows and landmarks and that of the landmarks M, the features are K M^(-1/2). A ridge
regression on them is the one on K whose penalty is weighted by M, so that neither fitting nor
predicting needs M^(-1/2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from fathom.baselines.base import one_blas_thread
from fathom.core.prediction import Array
from fathom.data.parallel import in_order

ROWS_AT_ONCE = 4_096
COLUMNS_AT_ONCE = 500
PREDICTED_AT_ONCE = 512
# What rounding to float32 may do to the products is made up for by so much of their mean diagonal.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Landmarks:
    """`points` (m, k) and the Gaussian's `gamma`: exp(-gamma |x - p|^2)."""

    points: Array
    gamma: float

    def kernel(self, inputs: Array) -> Array:
        """(n, m) of inputs (n, k), computed in their type."""
        points = self.points.astype(inputs.dtype)
        distances = inputs @ (points.T * inputs.dtype.type(-2.0))
        distances += np.einsum("ij,ij->i", inputs, inputs)[:, None]
        distances += np.einsum("ij,ij->i", points, points)
        np.maximum(distances, 0.0, out=distances)
        distances *= inputs.dtype.type(-self.gamma)
        np.exp(distances, out=distances)
        kernel: Array = distances
        return kernel


@dataclass(frozen=True)
class Expansion:
    """A weighted sum of kernels: `coefficients` (m, t), `intercept` (t,), float64."""

    landmarks: Landmarks
    coefficients: Array
    intercept: Array

    def __call__(self, inputs: Array) -> Array:
        """(n, t) float64 of inputs (n, k), computed in float64, some rows at a time."""
        starts = range(0, max(1, len(inputs)), PREDICTED_AT_ONCE)
        parts = (inputs[s : s + PREDICTED_AT_ONCE].astype(np.float64) for s in starts)
        with one_blas_thread():
            return np.concatenate(list(in_order(self._sum, parts)))

    def _sum(self, inputs: Array) -> Array:
        summed: Array = self.landmarks.kernel(inputs) @ self.coefficients + self.intercept
        return summed


@dataclass(frozen=True)
class Products:
    """Centred sums over rows: `gram` (m, m), `moments` (m, t), means (m,), (t,); `own` (m, m) M.

    All float64.
    """

    gram: Array
    moments: Array
    input_mean: Array
    target_mean: Array
    own: Array

    @classmethod
    def of(cls, landmarks: Landmarks, inputs: Array, targets: Array) -> Products:
        """From inputs (n, k) float32 and targets (n, t) float64, a chunk of rows at a time.

        Every sum is made by one thread, so that it does not depend on how many there are.
        """
        size, rows = len(landmarks.points), len(inputs)
        gram, total = np.zeros((size, size)), np.zeros(size)
        moments = np.zeros((size, targets.shape[1]))
        blocks = [slice(s, s + COLUMNS_AT_ONCE) for s in range(0, size, COLUMNS_AT_ONCE)]
        with one_blas_thread():
            own = landmarks.kernel(landmarks.points.astype(np.float64))
            # Rounding to float32 costs less where what is multiplied lies around zero.
            about = own.mean(axis=0)
            for start in range(0, rows, ROWS_AT_ONCE):
                chunk = slice(start, start + ROWS_AT_ONCE)
                kernel = _kernel_in_threads(landmarks, inputs[chunk])
                kernel -= about.astype(np.float32)
                list(in_order(partial(_add_products, gram, kernel), blocks))
                total += kernel.sum(axis=0, dtype=np.float64)
                moments += kernel.T @ targets[chunk].astype(np.float32)
            gram = np.triu(gram) + np.triu(gram, 1).T
            mean, target_mean = total / rows, targets.mean(axis=0)
            gram -= rows * np.outer(mean, mean)
            moments -= rows * np.outer(mean, target_mean)
        return cls(gram, moments, mean + about.astype(np.float32), target_mean, own)

    def solve(self, penalty: float) -> tuple[Array, Array]:
        """Coefficients (m, t) and intercept (t,)."""
        rounding = ROUNDING * (float(np.trace(self.gram)) / len(self.gram) + penalty)
        while True:
            matrix = self.gram + penalty * self.own
            matrix[np.diag_indices_from(matrix)] += rounding
            try:
                with one_blas_thread():
                    factor = cho_factor(matrix, overwrite_a=True, check_finite=False)
                    weights = cho_solve(factor, self.moments, check_finite=False)
                return weights, self.target_mean - self.input_mean @ weights
            except LinAlgError:
                rounding *= 10.0


def _add_products(gram: Array, kernel: Array, block: slice) -> None:
    """Add the upper part of the rows `block` of kernel' kernel."""
    gram[block, block.start :] += kernel[:, block].T @ kernel[:, block.start :]


def _kernel_in_threads(landmarks: Landmarks, inputs: Array) -> Array:
    parts: Sequence[Array] = np.array_split(inputs, max(1, len(inputs) // 512))
    return np.concatenate(list(in_order(landmarks.kernel, parts)))
