"""Pictures by hand-made features: edges (HOG), colours and a small copy, then a linear model.

HOG is the histogram of oriented gradients of Dalal and Triggs (2005, doi:10.1109/CVPR.2005.177).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from fathom.baselines.base import Baseline, State, common, counted, known_targets
from fathom.baselines.linear import fit_notes
from fathom.baselines.recipe import Extent
from fathom.baselines.rounds import Data, Weights, fit_rounds, sample_order
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema, TaskName
from fathom.core.stored import Rows

ORIENTATIONS = 9
CELLS = 7
COLOUR_BINS = 8
COPY_SIDE = 8
PENALTIES = (100.0, 1000.0, 10.0)
MOST_CELLS = 200_000_000
PIXELS_PER_CHUNK = 400_000


def describe(pictures: Rows, positions: Array | None = None) -> Array:
    """Features (n, D) float32 of pictures (n, C, H, W) uint8, every picture by itself.

    With `positions` (m,) of those alone, in that order. Only few pictures are in memory at a time.
    """
    size = max(1, PIXELS_PER_CHUNK // int(np.prod(pictures.shape[1:])))
    rows = np.arange(len(pictures)) if positions is None else positions
    starts = range(0, max(1, len(rows)), size)
    return np.concatenate([_describe(pictures[rows[s : s + size]]) for s in starts])


def _describe(pictures: Array) -> Array:
    scaled = pictures.astype(np.float32) / 255.0
    return np.concatenate([hog(scaled), colours(pictures, scaled), small_copy(scaled)], axis=1)


def hog(pictures: Array) -> Array:
    """Histograms of oriented gradients (n, D) of pictures (n, C, H, W) float32 in 0..1.

    Nine unsigned orientations; about seven square cells along the shorter side; blocks of 2 x 2
    cells, each normalised by L2-Hys. Of several channels the one with the steepest gradient counts
    at each pixel. Votes are shared linearly between neighbouring orientations and cells.
    """
    magnitude, angle = _gradients(np.sqrt(pictures))
    height, width = magnitude.shape[1:]
    side = max(2, min(height, width) // CELLS)
    down, across = _cell_weights(height, side), _cell_weights(width, side).T
    position = angle * (ORIENTATIONS / np.pi)
    cells = []
    for orientation in range(ORIENTATIONS):
        # The distance around the half circle, in bins; within one bin a share is voted.
        distance = np.abs(position - (orientation + 0.5))
        distance = np.minimum(distance, ORIENTATIONS - distance)
        votes = magnitude * np.maximum(1.0 - distance, 0.0)
        cells.append(down @ (votes @ across))  # (n, rows, columns)
    return _normalised_blocks(np.stack(cells, axis=-1))


def _gradients(pictures: Array) -> tuple[Array, Array]:
    """Steepest gradient's magnitude and unsigned angle in [0, pi), both (n, H, W)."""
    right, down = np.zeros_like(pictures), np.zeros_like(pictures)
    right[..., 1:-1] = pictures[..., 2:] - pictures[..., :-2]
    down[..., 1:-1, :] = pictures[..., 2:, :] - pictures[..., :-2, :]
    squared = right**2 + down**2  # (n, C, H, W)
    if pictures.shape[1] > 1:
        steepest = squared.argmax(axis=1, keepdims=True)
        right, down, squared = (
            np.take_along_axis(a, steepest, axis=1) for a in (right, down, squared)
        )
    angle = np.arctan2(down[:, 0], right[:, 0])
    return np.sqrt(squared[:, 0]), np.where(angle < 0, angle + np.float32(np.pi), angle)


def _cell_weights(length: int, side: int) -> Array:
    """How much each pixel along a side votes in each cell: triangles, (cells, length) float32."""
    cells = max(1, length // side)
    centres = (np.arange(cells) + 0.5) * (length / cells)
    pixels = np.arange(length) + 0.5
    distance = np.abs(pixels[None, :] - centres[:, None]) / (length / cells)
    return np.maximum(1.0 - distance, 0.0).astype(np.float32)


def _normalised_blocks(cells: Array) -> Array:
    """Blocks of 2 x 2 cells (n, rows, columns, 9), L2-Hys normalised, flattened to (n, D)."""
    pad = [(0, 0), *((0, max(0, 2 - n)) for n in cells.shape[1:3]), (0, 0)]
    cells = np.pad(cells, pad)
    corners = [cells[:, :-1, :-1], cells[:, :-1, 1:], cells[:, 1:, :-1], cells[:, 1:, 1:]]
    blocks = np.concatenate(corners, axis=-1)
    blocks = np.minimum(_unit(blocks), 0.2)
    flat: Array = _unit(blocks).reshape(len(cells), int(np.prod(blocks.shape[1:])))
    return flat


def _unit(blocks: Array) -> Array:
    norm: Array = np.sqrt(np.einsum("...d,...d->...", blocks, blocks) + 1e-4)
    return blocks / norm[..., None]


def colours(pictures: Array, scaled: Array) -> Array:
    """Mean, deviation and a histogram of 8 bins for each channel, (n, 10 C) float32."""
    count, channels, height, width = pictures.shape
    bins = (pictures >> 5).reshape(count * channels, height * width)
    keys = bins + COLOUR_BINS * np.arange(count * channels)[:, None]
    histogram = np.bincount(keys.ravel(), minlength=COLOUR_BINS * count * channels)
    shares = histogram.reshape(count, COLOUR_BINS * channels).astype(np.float32) / (height * width)
    return np.concatenate([scaled.mean(axis=(2, 3)), scaled.std(axis=(2, 3)), shares], axis=1)


def small_copy(pictures: Array) -> Array:
    """Each channel averaged down to at most 8 x 8, (n, D) float32."""
    height, width = pictures.shape[2:]
    down = _cell_weights(height, max(1, height // COPY_SIDE))
    across = _cell_weights(width, max(1, width // COPY_SIDE)).T
    small = (down / down.sum(axis=1, keepdims=True)) @ (pictures @ (across / across.sum(axis=0)))
    flat: Array = small.reshape(len(pictures), int(np.prod(small.shape[1:])))
    return flat


def _describe_all(examples: Examples, positions: Array | None = None) -> Array:
    """Features of every picture column, side by side; of all examples, or of some."""
    blocks = [block for block in examples.inputs.values() if block.ndim == 4]
    return np.concatenate([describe(block, positions) for block in blocks], axis=1)


class _GrowingFeatures:
    """Standardised features of the first n rows in `order`, computed when first asked for."""

    def __init__(self, examples: Examples, order: Array) -> None:
        self._examples = examples
        self._order = order
        first = _describe_all(examples, order[:1])
        self._all = np.empty((len(order), first.shape[1]), dtype=np.float32)
        self._ready = 0
        self.mean = np.zeros(first.shape[1], dtype=np.float32)
        self.scale = np.ones(first.shape[1], dtype=np.float32)

    def __call__(self, count: int) -> Array:
        """Features (count, D) float32."""
        if count > self._ready:
            fresh = slice(self._ready, count)
            self._all[fresh] = _describe_all(self._examples, self._order[fresh])
            if self._ready == 0:  # the first sample settles the scale for good
                self.mean = self._all[fresh].mean(axis=0)
                self.scale = self._all[fresh].std(axis=0) + np.float32(0.01)
            self._all[fresh] = self.standardise(self._all[fresh])
            self._ready = count
        return self._all[:count]

    def standardise(self, features: Array) -> Array:
        """(features - mean) / scale."""
        return (features - self.mean) / self.scale


class Pictures(Baseline):
    """Logistic or ridge regression on hand-made features. `limit` counts solver rounds."""

    name = "pictures"

    def __init__(
        self,
        weights: Weights,
        mean: Array,
        scale: Array,
        labels: tuple[str, ...],
        *,
        penalty: float,
        **common: Any,
    ) -> None:
        super().__init__(labels, **common)
        self.penalty = penalty
        self.weights = weights
        self.mean = mean
        self.scale = scale

    @classmethod
    def fit(
        cls,
        train: Examples,
        schema: Schema,
        task_name: TaskName,
        *,
        seed: int,
        budget: Budget,
        limit: Extent | None = None,
        validation: Examples | None = None,
    ) -> Self:
        """Fit, with the strength of the L2 penalty chosen on validation where time allows."""
        labels = schema.labels if task_name == "classification" else ()
        targets = known_targets(train, labels)
        order = sample_order(targets, labels, numpy_generator(seed, "pictures", "rows"))
        width = _describe_all(train, np.arange(1)).shape[1]
        order = order[: MOST_CELLS // width]
        features = _GrowingFeatures(train, order)
        features(min(len(order), 2_000))
        held_out = None
        if validation is not None and validation.targets is not None and len(validation):
            chosen = validation.sample(10_000, numpy_generator(seed, "pictures", "validation"))
            inputs = features.standardise(_describe_all(chosen))
            held_out = (inputs, known_targets(chosen, ()))
        data = Data(features, targets[order], held_out, labels)
        fit = fit_rounds(data, PENALTIES, budget, counted(limit))
        notes = fit_notes("The linear model on picture features", fit, len(train))
        return cls(
            fit.weights,
            features.mean,
            features.scale,
            labels,
            penalty=fit.penalty,
            limit=fit.rounds,
            notes=notes,
            settled=not fit.stopped,
        )

    def raw(self, examples: Examples) -> Array:
        """The weighted sums of features, (n, 1) or (n, K)."""
        features = (_describe_all(examples) - self.mean) / self.scale
        return self.weights.apply(features)

    def state(self) -> State:
        """Weights and the features' scale as arrays."""
        arrays = {
            "coefficients": self.weights.coefficients,
            "intercept": self.weights.intercept,
            "mean": self.mean,
            "scale": self.scale,
        }
        return arrays, {**self.config(), "penalty": self.penalty}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Pictures from `state`."""
        weights = Weights(arrays["coefficients"], arrays["intercept"])
        return cls(
            weights,
            arrays["mean"],
            arrays["scale"],
            penalty=config["penalty"],
            **common(config),
        )
