"""Findings: the records, asked the questions that page, card and summary all ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fathom.core.record import Record
from fathom.report import words
from fathom.report.story import Story

HEADLINES = {
    "network": "Use the network.",
    "baseline": "Do not use the network.",
    "level": "Too close to call.",
}
# By a verdict's value; of two that are level the simpler one is.
RECOMMENDED = {"network": "network", "baseline": "baseline", "level": "baseline"}
NOTHING_LEARNED = "Nothing was learned."
NO_VERDICT = "No verdict could be reached."
_LONGEST_HEADLINE = 48


@dataclass(frozen=True)
class Comparison:
    """One metric: the network, the best baseline and the gain; each None where not measured."""

    metric: str
    network: Record | None
    baseline: Record | None
    gain: Record | None

    @property
    def title(self) -> str:
        """The metric's name in words."""
        return words.metric_title(self.metric)

    @property
    def higher_is_better(self) -> bool | None:
        """Whether more of it is better; None where that is unknown."""
        record = self.network or self.baseline
        return record.higher_is_better if record else None


class Findings:
    """A run's records, and what they say together."""

    def __init__(self, records: Sequence[Record], story: Story) -> None:
        self.records = tuple(records)
        self.story = story
        self._by_id = {record.id: record for record in records}

    def get(self, id: str) -> Record | None:
        """The record with this id if it was measured and has a value."""
        record = self._by_id.get(id)
        return record if record is not None and measured(record) else None

    def group(self, name: str) -> list[Record]:
        """Measured records of a group, in their order."""
        return [r for r in self.records if r.group == name and r.status == "measured"]

    def unmeasured(self, *groups: str) -> list[Record]:
        """Records of these groups that were skipped or do not apply; of all without a group."""
        return [
            r for r in self.records if r.status != "measured" and (not groups or r.group in groups)
        ]

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group that occurs, in the order of its first record."""
        return tuple(dict.fromkeys(record.group for record in self.records))

    @property
    def verdict(self) -> Record | None:
        """The verdict, also where it could not be reached."""
        return self._by_id.get("verdict")

    @property
    def headline(self) -> tuple[str, str]:
        """The verdict in a few words, and the sentences that follow them."""
        verdict = self.verdict
        if verdict is None:
            return NO_VERDICT, "Nothing was measured that would decide between models."
        first, rest = words.first_sentence(verdict.sentence)
        if verdict.status != "measured":
            return NO_VERDICT, words.sentence_case(verdict.reason or verdict.sentence)
        if len(first) <= _LONGEST_HEADLINE and rest:
            return first, rest
        if verdict.grade == "poor":
            return NOTHING_LEARNED, verdict.sentence
        return HEADLINES.get(str(verdict.value), NO_VERDICT), verdict.sentence

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that network or baseline was measured by, the primary one first."""
        scored = [r.id for r in self.records if r.group in {"performance", "baseline"}]
        names = dict.fromkeys(words.metric_of(id) for id in scored if "." in id)
        measured_names = [n for n in names if any(r.id.endswith(f".{n}") for r in self._scored)]
        return tuple(sorted(measured_names, key=lambda name: name != self.primary))

    @property
    def _scored(self) -> list[Record]:
        return [r for r in self.group("performance") + self.group("baseline") if measured(r)]

    @property
    def primary(self) -> str:
        """The metric that chose between models."""
        if self.story.primary:
            return self.story.primary
        with_figure = [r for r in self.group("gain") if r.figure is not None]
        for record in [*with_figure, *self.group("gain"), *self.group("performance")]:
            return words.metric_of(record.id)
        return ""

    @property
    def baselines(self) -> tuple[str, ...]:
        """The names of the baselines that were measured."""
        names = [r.id.split(".")[1] for r in self.group("baseline") if r.id.count(".") == 2]
        return tuple(dict.fromkeys(names))

    @property
    def best_baseline(self) -> str:
        """The baseline that was best on validation; without a story, the best by its records."""
        if self.story.best_baseline in self.baselines:
            return self.story.best_baseline
        scored = [(name, self.get(f"baseline.{name}.{self.primary}")) for name in self.baselines]
        known = [(name, r) for name, r in scored if r is not None]
        if not known:
            return ""
        best = max(known, key=lambda pair: _signed(pair[1]))
        return best[0]

    @property
    def default_title(self) -> str:
        """The model that a run predicts with unless told otherwise, in words."""
        chosen = self.story.default_model
        return words.model_phrase(self._model(chosen)) if chosen else ""

    @property
    def writes(self) -> bool:
        """Whether this is a network of language."""
        return self.primary == "bits_per_byte"

    @property
    def recommended(self) -> str:
        """The model that the verdict recommends; empty where it recommends none."""
        verdict = self.verdict
        if verdict is None or verdict.grade in {"poor", "unknown"}:
            return ""
        if self.best_baseline in words.NO_PREDICTORS and verdict.value != "network":
            return ""
        return RECOMMENDED.get(str(verdict.value), "")

    @property
    def predict_command(self) -> str:
        """How to predict with the recommended model; it is named where it is not the default.

        Only a network writes texts: the command that has it do so has no choice.
        """
        command = self.story.predict_command
        if self.writes:
            return command
        named = command and self._differs and "--model" not in command
        return f"{command} --model {self.recommended}" if named else command

    @property
    def default_note(self) -> str:
        """Why the verdict recommends another model than the default; empty where it does not."""
        if not self._differs or self.verdict is None:
            return ""
        chosen = words.model_phrase(self._model(self.recommended))
        on_test = {"level": f"the two are level, and {chosen} is the simpler one"}.get(
            str(self.verdict.value), f"{chosen} is the better one"
        )
        return (
            f"The default is {self.default_title}, the better one on validation data; on test data "
            f"{on_test}."
        )

    @property
    def _differs(self) -> bool:
        return bool(self.recommended) and self.story.default_model not in {"", self.recommended}

    def _model(self, name: str) -> str:
        """The name of the model behind 'network' or 'baseline'."""
        return self.best_baseline if name == "baseline" and self.best_baseline else name

    @property
    def seen_before(self) -> str:
        """A warning where test examples stand in the training data too; empty where none do."""
        id = f"performance.{self.primary}"
        record, unseen = self.get(id), self._by_id.get(id + words.UNSEEN)
        if unseen is None or record is None:
            return ""
        if unseen.status != "measured":
            return unseen.reason
        known = (record.n or 0) - (unseen.n or 0)
        return (
            f"{known:,} of {record.n or 0:,} test examples also stand in the training data; "
            f"without them: {words.metric_title(self.primary)} {words.record_value(unseen)}"
        )

    def compare(self, metric: str) -> Comparison:
        """Network, best baseline and gain by one metric."""
        return Comparison(
            metric,
            self.get(f"performance.{metric}"),
            self.get(f"baseline.{self.best_baseline}.{metric}"),
            self.get(f"gain.{metric}"),
        )

    def models(self, metric: str) -> list[tuple[str, Record]]:
        """Network and baselines with their records of one metric, those that were measured."""
        network = [("network", self.get(f"performance.{metric}"))]
        others = [(name, self.get(f"baseline.{name}.{metric}")) for name in self.baselines]
        return [(name, record) for name, record in network + others if record is not None]

    @property
    def weaknesses(self) -> list[Record]:
        """What was measured and found poor; a poor baseline is no weakness of the network."""
        found = [r for r in self.records if r.status == "measured" and r.grade == "poor"]
        return [r for r in found if r.group != "baseline"]


def measured(record: Record) -> bool:
    """Whether a record was measured and has a value that can be shown."""
    if record.status != "measured" or record.value is None:
        return False
    return isinstance(record.value, str) or math.isfinite(record.value)


def _signed(record: Record) -> float:
    value = record.value if isinstance(record.value, int | float) else -math.inf
    return value if record.higher_is_better is not False else -value
