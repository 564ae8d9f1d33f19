"""Subject: everything that evidence may look at, in one place, with predictions kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fathom.core.examples import Examples
from fathom.core.prediction import Array, Prediction
from fathom.core.predictor import Predictor
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema
from fathom.core.task import SupervisedTask
from fathom.evidence.intervals import Estimate
from fathom.evidence.scores import Metric

if TYPE_CHECKING:
    from fathom.data.table import Table
    from fathom.inference import LoadedModel, NetworkPredictor

NETWORK = "network"
SCRATCH = "from scratch"
UNSEEN = "unseen"  # the part of the test split whose inputs do not stand in the training data

# How many examples of a split are looked at where the plan fixes no number. Intervals shrink with
# the root of n: beyond these they are narrower than anybody acts upon.
LIMITS = {"train": 5_000, "validation": 20_000, "calibration": 20_000, "test": 100_000}
CHUNK = 8_192
# Examples timed to foresee what predicting a split will cost, after a few that do not count: the
# first call of anything pays for what later ones find ready.
PROBE, WARM_UP = 256, 8


def _nothing(name: str) -> None:
    """Where nobody asks to be told of readings of the test split."""


@dataclass
class Subject:
    """A trained network, its rivals, and the data by which they are judged.

    `splits` holds train, validation, calibration and test, encoded; `Examples.rows` are positions
    in `table`, the raw rows, and `locate` names such a row for a person. `best_baseline` was chosen
    on validation. `log` holds the lines of log.jsonl, `costs` what the pipeline has measured
    (train_seconds, total_seconds_so_far, peak_memory_bytes, threads), `stages`
    the seconds of each stage of the run so far, `samples` the sample sizes
    that the plan fixed: by split, or by kind of evidence. `straddlers` are positions in the test
    split (m,) int64 whose inputs stand in the training data too; `near_straddlers` are those
    of them that stand there in nearly, not exactly, the same form. `bound_by` says what set the
    length of training: 'time' (the budget), 'data' (more steps would not help) or 'steps' (the
    user). `refit(subset, changes)` trains anew.
    `scratch` is a network of the same data without a pretrained start, where the network had one.
    `on_test_access` is told which evidence reads the test split.
    """

    model: LoadedModel
    network: NetworkPredictor
    baselines: dict[str, Predictor]
    best_baseline: str
    splits: Mapping[str, Examples]
    table: Table
    locate: Callable[[int], str]
    schema: Schema
    task: SupervisedTask
    log: list[dict[str, Any]] = field(default_factory=list)
    checkpoints: tuple[Path, ...] = ()
    costs: Mapping[str, float] = field(default_factory=dict)
    stages: Mapping[str, float] = field(default_factory=dict)
    samples: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    straddlers: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    near_straddlers: Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    bound_by: str = "time"
    refit: Callable[[Any, Any], Predictor | None] | None = None
    scratch: Predictor | None = None
    on_test_access: Callable[[str], None] = _nothing
    reader: str = "evidence"
    """The name of the evidence that is measuring now; set by `Measure`."""
    _examples: dict[str, Examples] = field(default_factory=dict, repr=False)
    _predictions: dict[tuple[str, str], Prediction] = field(default_factory=dict, repr=False)
    _estimates: dict[tuple[str, ...], Estimate] = field(default_factory=dict, repr=False)
    _rates: dict[str, float] = field(default_factory=dict, repr=False)
    _readings: set[str] = field(default_factory=set, repr=False)

    @property
    def models(self) -> dict[str, Predictor]:
        """The network first, then every baseline."""
        return {NETWORK: self.network, **self.baselines}

    def _model(self, name: str) -> Predictor:
        """The model of a name, the one from scratch too."""
        if name == SCRATCH and self.scratch is not None:
            return self.scratch
        return self.models[name]

    def examples(self, split: str) -> Examples:
        """The examples of a split that all evidence uses: all, or a sample fixed by the seed."""
        if split not in self._examples:
            limit = self.samples.get(split, LIMITS[split])
            generator = numpy_generator(self.seed, "evidence", split)
            self._examples[split] = self.splits[split].sample(limit, generator)
        if split == "test" and self.reader not in self._readings:
            self._readings.add(self.reader)
            self.on_test_access(self.reader)
        return self._examples[split]

    def size(self, split: str) -> int:
        """How many examples `examples(split)` has, without reading it."""
        return min(len(self.splits[split]), self.samples.get(split, LIMITS[split]))

    def _new_rows(self) -> Array:
        """Which of the test examples are no straddlers, (n,) Boolean."""
        known = self.splits["test"].rows[self.straddlers]
        new: Array = ~np.isin(self.examples("test").rows, known)
        return new

    def targets(self, split: str) -> Array:
        """The true targets of `examples(split)`, or of the test examples that are UNSEEN."""
        if split == UNSEEN:
            return self.targets("test")[self._new_rows()]
        targets = self.examples(split).targets
        if targets is None:
            raise ValueError(f"the split {split!r} has no targets")
        return targets

    def predict(self, name: str, split: str) -> Prediction:
        """What the model `name` says of what `targets(split)` are of; computed once, in chunks."""
        if split == UNSEEN:
            return self.predict(name, "test").take(self._new_rows())
        examples = self.examples(split)
        if (name, split) not in self._predictions:
            model = self._model(name)
            starts = range(0, max(len(examples), 1), CHUNK)
            parts = [
                model.predict(examples.take(np.arange(s, min(s + CHUNK, len(examples)))))
                for s in starts
            ]
            self._predictions[name, split] = Prediction.joined(parts)
        return self._predictions[name, split]

    def predict_uncalibrated(self, split: str) -> Prediction:
        """What the network says at a temperature of 1; computed from its outputs anew."""
        if self.model.trust.temperature == 1.0:
            return self.predict(NETWORK, split)
        return self.task.predict(self.network.logits(self.examples(split)))

    def estimate(self, metric: Metric, name: str, split: str) -> Estimate:
        """A metric of the model `name` with its interval, by `targets(split)`; computed once."""
        targets, key = self.targets(split), (metric.name, name, split)
        if key not in self._estimates:
            generator = self.generator(*key)
            self._estimates[key] = metric.estimate(self.predict(name, split), targets, generator)
        return self._estimates[key]

    def gain(self, metric: Metric, first: str, second: str, split: str = "test") -> Estimate:
        """First model minus the second on the same rows, positive where the first is better."""
        key = (metric.name, first, second, split)
        if key not in self._estimates:
            predictions = self.predict(first, split), self.predict(second, split)
            generator = self.generator("gain", *key)
            estimate = metric.paired(*predictions, self.targets(split), generator)
            self._estimates[key] = estimate if metric.higher_is_better else estimate.negated()
        return self._estimates[key]

    def prediction_seconds(self, name: str, split: str, kept: bool = True) -> float:
        """About how long `predict(name, split)` will take: nothing where it is kept already.

        With `kept` false, how long it would take to compute it once more.
        The first call for a model times it on a few validation examples.
        """
        if kept and (name, split) in self._predictions:
            return 0.0
        if name not in self._rates:
            some = self.splits["validation"]
            # Where these are few they are asked again: what a call costs is not what a row costs.
            some = some.take(np.arange(PROBE) % len(some))
            model = self._model(name)
            model.predict(some.take(np.arange(min(WARM_UP, len(some)))))
            started = perf_counter()
            model.predict(some)
            self._rates[name] = (perf_counter() - started) / max(len(some), 1)
        return self.size(split) * self._rates[name]

    def sample_size(self, name: str, default: int) -> int:
        """The sample size that the plan fixed for a kind of evidence, or `default`."""
        return self.samples.get(name, default)

    def generator(self, *names: object) -> np.random.Generator:
        """A generator for one named use within evidence."""
        return numpy_generator(self.seed, "evidence", *names)
