"""Reductions: what trees cannot ask about, of each kind of column, as a few numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from fathom.baselines.base import ragged_of
from fathom.baselines.picture_cache import held_once
from fathom.baselines.picture_reduction import FOR_TREES, Reduction
from fathom.baselines.series_reduction import SeriesReduction
from fathom.baselines.sound_features import describe_columns, rates_of
from fathom.baselines.text_reduction import TextReduction
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Field, Schema

MOST_LEARNED = 20_000  # examples whose texts the axes are learned from
MOST_SERIES = 2_000  # the same of series
# What it costs to learn from a value and to describe it, on one core: of a text a byte, of a series
# a step of a channel, of a sound a sample, of a picture a pixel of a channel.
SECONDS = {"text": 3e-6, "series": 5e-6, "audio": 1e-7, "image": 2e-7}


class OfKind(Protocol):
    """All columns of one kind as numbers."""

    @classmethod
    def learned(cls, fields: Sequence[Field], train: Examples, rows: Array, seed: int) -> Self:
        """From the training examples at `rows`."""

    def described(self, examples: Examples, rows: Array) -> Array:
        """Numbers (m, k) float32 of the examples at `rows` (m,), every row's by itself."""

    def state(self) -> tuple[dict[str, Array], Any]:
        """Arrays by name, and what beside them is needed to read it back."""

    @classmethod
    def of(cls, arrays: dict[str, Array], config: Any) -> Self:
        """From `state`."""


@dataclass(frozen=True)
class OfTexts:
    """Components of words, as in latent semantic analysis."""

    reduction: TextReduction

    @classmethod
    def learned(cls, fields: Sequence[Field], train: Examples, rows: Array, seed: int) -> Self:
        """See `OfKind`."""
        some = train.take(_some(rows, MOST_LEARNED, seed, "texts"))
        return cls(TextReduction.learn([field.name for field in fields], some, seed))

    def described(self, examples: Examples, rows: Array) -> Array:
        """See `OfKind`."""
        words = Examples({}, None, examples.rows, examples.written)
        return self.reduction.apply(words.take(rows))

    def state(self) -> tuple[dict[str, Array], Any]:
        """See `OfKind`."""
        return self.reduction.arrays(), self.reduction.described()

    @classmethod
    def of(cls, arrays: dict[str, Array], config: Any) -> Self:
        """See `OfKind`."""
        return cls(TextReduction.of(arrays, config))


@dataclass(frozen=True)
class OfSeries:
    """Components of random convolutions."""

    reduction: SeriesReduction

    @classmethod
    def learned(cls, fields: Sequence[Field], train: Examples, rows: Array, seed: int) -> Self:
        """See `OfKind`."""
        some = train.take(_some(rows, MOST_SERIES, seed, "series"))
        return cls(SeriesReduction.learn([field.name for field in fields], some, seed))

    def described(self, examples: Examples, rows: Array) -> Array:
        """See `OfKind`."""
        return self.reduction.apply(_columns(examples, self.reduction.columns, rows))

    def state(self) -> tuple[dict[str, Array], Any]:
        """See `OfKind`."""
        return self.reduction.arrays(), self.reduction.described()

    @classmethod
    def of(cls, arrays: dict[str, Array], config: Any) -> Self:
        """See `OfKind`."""
        return cls(SeriesReduction.of(arrays, config))


@dataclass(frozen=True)
class OfSounds:
    """Statistics of MFCCs; `rates` are the samples a second of each column."""

    rates: dict[str, int]

    @classmethod
    def learned(cls, fields: Sequence[Field], train: Examples, rows: Array, seed: int) -> Self:
        """See `OfKind`."""
        return cls(rates_of(fields))

    def described(self, examples: Examples, rows: Array) -> Array:
        """See `OfKind`."""
        return np.concatenate(
            describe_columns(_columns(examples, self.rates, rows), self.rates), axis=1
        )

    def state(self) -> tuple[dict[str, Array], Any]:
        """See `OfKind`."""
        return {}, self.rates

    @classmethod
    def of(cls, arrays: dict[str, Array], config: Any) -> Self:
        """See `OfKind`."""
        return cls({str(name): int(rate) for name, rate in config.items()})


@dataclass(frozen=True)
class OfPictures:
    """The first components of picture features, those of the other baselines of pictures."""

    reduction: Reduction

    @classmethod
    def learned(cls, fields: Sequence[Field], train: Examples, rows: Array, seed: int) -> Self:
        """See `OfKind`."""
        return cls(Reduction.shared(train, seed).first(FOR_TREES))

    def described(self, examples: Examples, rows: Array) -> Array:
        """See `OfKind`."""
        return self.reduction.apply(examples, rows)

    def state(self) -> tuple[dict[str, Array], Any]:
        """See `OfKind`."""
        return {f"reduction.{name}": found for name, found in self.reduction.arrays().items()}, None

    @classmethod
    def of(cls, arrays: dict[str, Array], config: Any) -> Self:
        """See `OfKind`."""
        return cls(Reduction.of(arrays))


KINDS: dict[str, type[OfKind]] = {
    "text": OfTexts,
    "image": OfPictures,
    "audio": OfSounds,
    "series": OfSeries,
}


@dataclass(frozen=True)
class Reductions:
    """One for each kind of column that trees cannot ask about."""

    kinds: dict[str, OfKind]

    @classmethod
    def learn(cls, schema: Schema, train: Examples, rows: Array, seed: int) -> Reductions:
        """From the training examples at `rows`; of several labels all have the same."""

        def make() -> Reductions:
            found = {kind: schema.of_kind(kind) for kind in KINDS}  # type: ignore[arg-type]
            return cls({k: KINDS[k].learned(f, train, rows, seed) for k, f in found.items() if f})

        held = (*train.inputs.values(), *train.written.values())
        return held_once(("reductions", train.rows[rows].tobytes(), seed), held, make)

    def described(self, examples: Examples, rows: Array) -> Array:
        """Numbers (m, k) float32 of the examples at `rows` (m,), one kind after the other."""
        found = [reduction.described(examples, rows) for reduction in self.kinds.values()]
        return np.concatenate(found, axis=1)

    def state(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Arrays by name, and what beside them is needed to read it back."""
        arrays: dict[str, Array] = {}
        config: dict[str, Any] = {}
        for kind, reduction in self.kinds.items():
            own, config[kind] = reduction.state()
            arrays |= {f"{kind}.{name}": array for name, array in own.items()}
        return arrays, config

    @classmethod
    def of(cls, arrays: dict[str, Array], config: dict[str, Any]) -> Self:
        """From `state`."""
        kinds = {}
        for kind, said in config.items():
            start = f"{kind}."
            own = {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}
            kinds[kind] = KINDS[kind].of(own, said)
        return cls(kinds)


def costs(schema: Schema, examples: Examples) -> Array:
    """The seconds on one core that it takes to learn from each row and to describe it, (n,)."""
    seconds = np.zeros(len(examples))
    for kind, each in SECONDS.items():
        for field in schema.of_kind(kind):  # type: ignore[arg-type]
            seconds += each * _values(examples, field.name, kind)
    return seconds


def _values(examples: Examples, name: str, kind: str) -> Array | float:
    if kind == "image":
        return float(np.prod(examples.inputs[name].shape[1:]))
    block = examples.written[name] if kind == "text" else ragged_of(examples, name)
    return block.lengths * float(np.prod(block.values.shape[1:]))


def _columns(examples: Examples, names: Iterable[str], rows: Array) -> Examples:
    """Some columns alone of the examples at `rows`: to take the others would be dear."""
    return Examples({name: examples.inputs[name] for name in names}, None, examples.rows).take(rows)


def _some(rows: Array, most: int, seed: int, what: str) -> Array:
    if len(rows) <= most:
        return rows
    return np.sort(numpy_generator(seed, "reductions", what).choice(rows, most, replace=False))
