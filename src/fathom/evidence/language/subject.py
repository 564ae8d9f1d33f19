"""LanguageSubject: everything that evidence of language may look at, with readings kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.core.budget import Budget
from fathom.core.language import Documents, LanguageModel, drawn, first_of
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.evidence.intervals import Estimate
from fathom.evidence.language.estimates import LN2, Sums, TextMetric
from fathom.evidence.language.frequencies import TokenFrequencies
from fathom.evidence.language.units import PARTS, Units, parted, units_of
from fathom.tasks.language import LanguageModelling

if TYPE_CHECKING:
    from fathom.inference.language import LanguagePredictor, TokenScores

NETWORK, XZ = "network", "xz"
FREQUENCIES = "frequencies"
"""Who has learned how frequent each token is, and nothing else: what a grade is measured by."""
# How many tokens of a split are read where the plan fixes no number.
LIMITS = {"train": 100_000, "validation": 400_000, "calibration": 100_000, "test": 1_000_000}
LEAST = 10_000
"""Tokens of a split that are read, however little time there is."""
# Tokens timed to foresee what reading will cost, after a few that do not count; more where that is
# quickly done, because much text at once takes longer for a token.
WARM_UP = 64
PROBES, LONG = (WARM_UP, 512, 4_096), 0.1
SPARED = 0.6  # of the time that is left, what a kind of evidence plans to use


def _nothing(name: str) -> None:
    """Where nobody asks to be told of readings of the test split."""


@dataclass
class LanguageSubject:
    """A trained network of language, its rivals, and the documents by which they are judged.

    `baselines` are language models by name. `compressed(split)` is what xz makes of the documents
    that `documents(split)` gives, or of `pieces(split)` (see `baselines.language.compressor`).
    `best_baseline` was chosen on validation; it is the name of a baseline, or 'xz'. `log`, `costs`,
    `stages`, `samples` (tokens by split, or sample sizes by kind of evidence), `bound_by` and
    `on_test_access` are as in `evidence.Subject`. `costs` also holds tokens_per_second, measured
    while training, and may hold tokens_trained: how many tokens the network learned from in all.
    """

    network: LanguagePredictor
    baselines: dict[str, LanguageModel]
    best_baseline: str
    splits: Mapping[str, Documents]
    compressed: Callable[[str], Any] | None = None
    task: LanguageModelling = field(default_factory=LanguageModelling)
    log: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: tuple[Path, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    stages: Mapping[str, float] = field(default_factory=dict)
    samples: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    bound_by: str = "time"
    on_test_access: Callable[[str], None] = _nothing
    reader: str = "evidence"
    """The name of the evidence that is measuring now; set by `Measure`."""
    _limits: dict[str, int] = field(default_factory=dict, repr=False)
    _documents: dict[str, Documents] = field(default_factory=dict, repr=False)
    _units: dict[str, Units] = field(default_factory=dict, repr=False)
    _nats: dict[tuple[str, str], Array] = field(default_factory=dict, repr=False)
    _scores: dict[str, TokenScores] = field(default_factory=dict, repr=False)
    _compressed: dict[str, Any] = field(default_factory=dict, repr=False)
    _estimates: dict[tuple[str, ...], Estimate] = field(default_factory=dict, repr=False)
    _rates: dict[str, float] = field(default_factory=dict, repr=False)
    _readings: set[str] = field(default_factory=set, repr=False)
    _frequencies: TokenFrequencies | None = field(default=None, repr=False)

    # ---- what is read ----

    @property
    def models(self) -> dict[str, LanguageModel]:
        """The network first, then every baseline that says how likely a token is."""
        return {NETWORK: self.network, **self.baselines}

    def _model(self, name: str) -> LanguageModel:
        if name != FREQUENCIES:
            return self.models[name]
        if self._frequencies is None:
            vocabulary = self.network.model.network.vocabulary
            self._frequencies = TokenFrequencies(self.splits["train"], vocabulary)
        return self._frequencies

    @property
    def lengths(self) -> Array:
        """The bytes that each token stands for, (V,)."""
        lengths: Array = self.network.model.tokenizer.lengths
        return lengths

    @property
    def passes(self) -> float | None:
        """How often training went through its text; None where that is not known."""
        trained = self.costs.get("tokens_trained")
        if trained is None and {"tokens_per_second", "train_seconds"} <= set(self.costs):
            trained = self.costs["tokens_per_second"] * self.costs["train_seconds"]
        return None if trained is None else trained / max(self.splits["train"].predicted, 1)

    def size(self, split: str) -> int:
        """How many tokens `documents(split)` has at most, without reading it."""
        limit = self._limits.get(split, self.samples.get(split, LIMITS[split]))
        return min(self.splits[split].predicted, limit)

    def documents(self, split: str) -> Documents:
        """The documents of a split that all evidence reads: the first ones, up to its limit.

        The order of held-out documents was drawn when they were split; those of training, in the
        order of the corpus, are drawn here. The last one is cut where it does not fit.
        """
        if split not in self._documents:
            documents = self.splits[split]
            if split == "train":
                documents = drawn(documents, self.size(split), self.generator("documents"))
            self._documents[split] = first_of(documents, self.size(split), self.lengths)
        if split == "test" and self.reader not in self._readings:
            self._readings.add(self.reader)
            self.on_test_access(self.reader)
        return self._documents[split]

    def units(self, split: str) -> Units:
        """What an interval on `documents(split)` goes over."""
        documents = self.documents(split)
        if split not in self._units:
            self._units[split] = units_of(documents, self.lengths)
        return self._units[split]

    def nats(self, name: str, split: str) -> Array:
        """What the model `name` says of `documents(split)`; computed once, (N - 1,) float32."""
        documents = self.documents(split)
        if name == NETWORK:
            return self.scores(split).nats
        if (name, split) not in self._nats:
            self._nats[name, split] = self._model(name).nats(documents)
        return self._nats[name, split]

    def scores(self, split: str) -> TokenScores:
        """All that the network says of `documents(split)`; computed once."""
        documents = self.documents(split)
        if split not in self._scores:
            self._scores[split] = self.network.scores(documents)
        return self._scores[split]

    def written(self, documents: Documents, most_bytes: int) -> list[bytes]:
        """Documents as they were written, the first of them; they come from the tokens.

        They are whole, as far as documents are, and the first one always is among them.
        """
        tokenizer, ends = self.network.model.tokenizer, np.cumsum(documents.sizes)
        count = max(1, int(np.searchsorted(ends, most_bytes, side="right")))
        some = range(min(count, len(documents)))
        return [tokenizer.decode_bytes(documents.document(i)) for i in some]

    def pieces(self, split: str) -> list[bytes]:
        """The text of each of `units(split)`: what a compressor is to be given."""
        decode, units = self.network.model.tokenizer.decode_bytes, self.units(split)
        stream = self.documents(split).tokens[1:]
        bounds = zip(units.starts[:-1], units.starts[1:], strict=True)
        return [decode(stream[start:stop]) for start, stop in bounds]

    def parts(self, split: str) -> Any:
        """What xz makes of `documents(split)`; computed once, None where nobody compresses."""
        self.documents(split)
        if split not in self._compressed and self.compressed is not None:
            self._compressed[split] = self.compressed(split)
        return self._compressed.get(split)

    # ---- what is made of it ----

    def sums(self, name: str, split: str, *, by_parts: bool = False) -> Sums:
        """What the units of a split take under a model; with `by_parts` over the parts of xz."""
        if name == XZ:
            found = self.parts(split)
            sizes = np.maximum(found.bytes, 1).astype(np.float64)
            return Sums(found.bits * LN2, sizes, sizes, PARTS)
        nats, units = self.nats(name, split), self.units(split)
        if by_parts:
            return parted(self.parts(split), self.documents(split), units, nats)
        return Sums(units.sums(nats), units.sizes, units.tokens, units.called)

    def estimate(self, metric: TextMetric, name: str, split: str = "test") -> Estimate:
        """A metric of the model `name` on `documents(split)` with its interval; computed once."""
        key = (metric.name, name, split)
        sums = self.sums(name, split)
        if key not in self._estimates:
            self._estimates[key] = metric.estimate(sums, self.generator(*key))
        return self._estimates[key]

    def gain(self, metric: TextMetric, first: str, second: str, split: str = "test") -> Estimate:
        """What the second needs more than the first of the same units; xz by its parts."""
        key = ("gain", metric.name, first, second, split)
        if key not in self._estimates:
            by_parts = XZ in (first, second)
            ours, theirs = (self.sums(n, split, by_parts=by_parts) for n in (first, second))
            self._estimates[key] = metric.paired(ours, theirs, self.generator(*key))
        return self._estimates[key]

    # ---- what it costs ----

    def token_seconds(self, name: str) -> float:
        """About how long a model takes for a token; the first call times it on validation."""

        def read() -> float:
            split = next(s for s in ("validation", "train") if self.splits[s].predicted)
            model, each = self._model(name), 0.0
            for tokens in PROBES:
                some = first_of(self.splits[split], tokens, self.lengths)
                started = perf_counter()
                model.nats(some)
                taken = perf_counter() - started
                each = taken / some.predicted
                if tokens > WARM_UP and taken > LONG:
                    break
            return each

        return self.rate(name, read)

    def rate(self, name: str, measured: Callable[[], float]) -> float:
        """A time that is measured once."""
        if name not in self._rates:
            self._rates[name] = measured()
        return self._rates[name]

    def reading_seconds(self, name: str, split: str) -> float:
        """About how long it takes to read a split, or the LEAST of it: nothing if it is kept."""
        kept = split in self._scores if name == NETWORK else (name, split) in self._nats
        limit = self._limits.get(split, LEAST)
        return 0.0 if kept else self.token_seconds(name) * min(self.size(split), limit)

    def fit(self, split: str, budget: Budget) -> None:
        """Have so much of a split read as the network gets through in most of the budget.

        That is at least LEAST tokens, and never more than the plan says. What has been read stays.
        """
        if split not in self._documents:
            affordable = int(SPARED * budget.remaining / self.token_seconds(NETWORK))
            self._limits[split] = min(self.size(split), max(LEAST, affordable))

    def affordable(self, name: str, most: int, least: int, tokens: float, budget: Budget) -> int:
        """A sample size: what the plan fixed for a kind of evidence, or as many as time allows.

        Each of the sample costs so many `tokens` of reading by the network.
        """
        if name in self.samples:
            return self.samples[name]
        found = SPARED * budget.remaining / (tokens * self.token_seconds(NETWORK))
        return int(np.clip(found, least, most))

    def generator(self, *names: object) -> np.random.Generator:
        """A generator for one named use within evidence."""
        return numpy_generator(self.seed, "evidence", *names)
