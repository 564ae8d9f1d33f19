"""Series by random convolutions, then ridge regression; the scalar columns stand beside.

See `random_convolutions.py` and `ridge.py`. Each round has more convolutions than the one before,
as far as time goes; the last is kept.
"""

from __future__ import annotations

import time
from typing import Any, Self

import numpy as np
from scipy import sparse

from fathom.baselines.base import (
    Baseline,
    State,
    categories_of,
    class_labels,
    common,
    counted,
    known_targets,
    numbers_of,
    ragged_of,
    spread_classes,
)
from fathom.baselines.linear import ScalarEncoder
from fathom.baselines.random_convolutions import Convolutions
from fathom.baselines.recipe import Extent
from fathom.baselines.ridge import Ridge
from fathom.baselines.rounds import sample_order
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema, TaskName

TITLE = "The ridge regression on random convolutions"
FEATURES = (84 * 8, 84 * 30, 84 * 119)  # of the rounds
MOST_ROWS = (40_000, 20_000, 2_500)  # training rows, above which a round is none or sees a part
MOST_VALUES = 50_000_000  # of the series that are learned from


class Series(Baseline):
    """Ridge regression on random convolutions of series. `limit` counts rounds."""

    name = "series"

    def __init__(
        self,
        convolutions: dict[str, Convolutions],
        encoder: ScalarEncoder,
        ridge: Ridge,
        classes: Array,
        labels: tuple[str, ...],
        **common: Any,
    ) -> None:
        super().__init__(labels, **common)
        self.convolutions, self.encoder, self.ridge = convolutions, encoder, ridge
        self.classes = classes

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
        """Fit round after round; the penalty is chosen by leaving out each training row in turn."""
        labels = class_labels(schema, task_name)
        targets = known_targets(train, labels)
        order = sample_order(targets, labels, numpy_generator(seed, "series", "rows"))
        order = order[: _affordable(train, schema, order)]
        names = [field.name for field in schema.of_kind("series")]
        plan = [f for f, most in zip(FEATURES, MOST_ROWS, strict=True) if len(order) <= most]
        rounds, wanted, stopped = 0, counted(limit), False
        fitted: tuple[dict[str, Convolutions], ScalarEncoder, Ridge] | None = None
        some = train.take(order)
        seconds = 0.0
        for before, features in zip((FEATURES[0], *plan), plan, strict=False):
            expected = 1.5 * seconds * features / before
            stopped = wanted is None and rounds > 0 and expected > budget.remaining
            if stopped or rounds == wanted:
                break
            started = time.perf_counter()
            fitted = _fitted(some, names, features, labels, seed)
            seconds = time.perf_counter() - started
            rounds += 1
        assert fitted is not None
        assert some.targets is not None
        return cls(
            *fitted,
            np.unique(some.targets) if labels else np.zeros(0, dtype=np.int64),
            labels,
            limit=rounds,
            notes=_notes(rounds, len(plan), len(order), len(train), stopped=stopped),
            settled=not stopped,
        )

    def raw(self, examples: Examples) -> Array:
        """Numbers or log-odds (n, 1), or logits (n, K)."""
        answers = self.ridge(_inputs(examples, self.convolutions, self.encoder))
        return spread_classes(answers, self.classes, len(self.labels)) if self.labels else answers

    def state(self) -> State:
        """Kernels, coefficients and the encoder as arrays."""
        arrays = {f"scalars.{name}": array for name, array in self.encoder.arrays().items()}
        arrays |= {f"ridge.{name}": array for name, array in vars(self.ridge).items()}
        arrays["classes"] = self.classes
        for position, found in enumerate(self.convolutions.values()):
            arrays |= {f"kernels.{position}.{name}": array for name, array in vars(found).items()}
        return arrays, {**self.config(), "series": list(self.convolutions)}

    @classmethod
    def from_state(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """Series from `state`."""
        names = ("mean", "scale", "missing", "sizes")
        encoder = ScalarEncoder(*(arrays[f"scalars.{name}"] for name in names))
        parts = ("mean", "scale", "coefficients", "intercept")
        ridge = Ridge(*(arrays[f"ridge.{name}"] for name in parts))
        fields = ("dilations", "counts", "mixes", "thresholds")
        convolutions = {
            column: Convolutions(*(arrays[f"kernels.{position}.{name}"] for name in fields))
            for position, column in enumerate(config["series"])
        }
        return cls(convolutions, encoder, ridge, arrays["classes"], **common(config))


def _fitted(
    examples: Examples, names: list[str], features: int, labels: tuple[str, ...], seed: int
) -> tuple[dict[str, Convolutions], ScalarEncoder, Ridge]:
    generator = numpy_generator(seed, "series", "kernels", features)
    convolutions = {
        name: Convolutions.learn(ragged_of(examples, name), features // len(names), generator)
        for name in names
    }
    encoder = ScalarEncoder.learn(numbers_of(examples), categories_of(examples))
    assert examples.targets is not None
    # Few columns beside thousands of convolutions have as much to say as all of those.
    wide = sum(found.width for found in convolutions.values())
    weights = np.ones(wide + encoder.width)
    weights[wide:] = np.sqrt(wide / max(1, encoder.width))
    inputs = _inputs(examples, convolutions, encoder)
    ridge = Ridge.fit(inputs, examples.targets, labels, weights)
    return convolutions, encoder, ridge


def _inputs(
    examples: Examples, convolutions: dict[str, Convolutions], encoder: ScalarEncoder
) -> Array:
    parts: list[Array] = [found(ragged_of(examples, name)) for name, found in convolutions.items()]
    if encoder.width:
        scalars = encoder.encode(numbers_of(examples), categories_of(examples))
        parts.append(scalars.toarray() if sparse.issparse(scalars) else scalars)
    return np.concatenate(parts, axis=1).astype(np.float32)


def _affordable(train: Examples, schema: Schema, order: Array) -> int:
    """How many rows in this order have at most MOST_VALUES values and are at most MOST_ROWS."""
    blocks = [ragged_of(train, field.name) for field in schema.of_kind("series")]
    values = np.sum([b.lengths[order] * b.values.shape[1] for b in blocks], axis=0)
    rows = int(np.searchsorted(np.cumsum(values), MOST_VALUES, side="right"))
    return max(1, min(rows, MOST_ROWS[0]))


def _notes(done: int, planned: int, rows: int, total: int, *, stopped: bool) -> tuple[str, ...]:
    notes = []
    if stopped:
        notes.append(
            f"{TITLE} was stopped by the time budget after {done} of {planned} rounds, with "
            f"{FEATURES[done - 1]:,} convolutions; with more time it could be better."
        )
    if rows < total:
        notes.append(f"{TITLE} was fitted on {rows:,} of {total:,} rows, drawn at random.")
    return tuple(notes)
