"""What does the network go by? How much worse it gets when one field tells it nothing any more.

The values of a field are shuffled among the test rows, so that they are as usual as ever but belong
to other rows (Breiman 2001, doi:10.1023/A:1010933404324). What two fields both say is counted for
neither of them, because the other one is still there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fathom.core.blocks import CATEGORIES, NUMBERS
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array, Prediction
from fathom.core.predictor import Predictor
from fathom.core.record import Figure, Record, not_applicable
from fathom.core.schema import Field, Schema, TimeStatistics
from fathom.core.stored import take
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate
from fathom.evidence.measure import evidence
from fathom.evidence.metrics import metric_named
from fathom.evidence.rivals import title
from fathom.evidence.scores import Metric, scoring_seconds
from fathom.evidence.subject import NETWORK, Subject

ROWS, FEWEST_ROWS = 2_000, 200
MOST_ANSWERS = 400_000  # rows times fields: of many fields each is asked about by fewer rows
REPEATS = 3  # shuffles of each field, where time allows
SHOWN = 20
TOLD = 3
COLUMNS = {"number": NUMBERS, "time": NUMBERS, "category": CATEGORIES, "boolean": CATEGORIES}

Falls = dict[str, Estimate]


@dataclass(frozen=True)
class Asking:
    """The test rows by which fields are judged, and by which metric."""

    subject: Subject
    metric: Metric
    examples: Examples

    @property
    def targets(self) -> Array:
        """What is true of the rows."""
        assert self.examples.targets is not None
        return self.examples.targets

    def falls(self, name: str, budget: Budget) -> tuple[Falls, int]:
        """How much worse the model `name` gets without each field, and the mean of how many
        shuffles that is: REPEATS, or fewer where the budget is spent.
        """
        fields, rounds = self.subject.schema.inputs, list[list[Estimate]]()
        model = self.subject.models[name]
        before = model.predict(self.examples)
        for turn in range(REPEATS):
            if turn and budget.remaining < budget.elapsed / turn:
                break
            rounds.append([self._fall(model, before, name, field, turn) for field in fields])
        means = [_mean(several) for several in zip(*rounds, strict=True)]
        return {f.name: e for f, e in zip(fields, means, strict=True)}, len(rounds)

    def _fall(
        self, model: Predictor, before: Prediction, name: str, field: Field, turn: int
    ) -> Estimate:
        # The network and its rival are asked about the same shuffled rows.
        order = self.subject.generator("fields", field.name, turn).permutation(len(self.examples))
        after = model.predict(shuffled(self.examples, self.subject.schema, field, order))
        generator = self.subject.generator("fields", name, field.name, turn, "interval")
        found = self.metric.paired(before, after, self.targets, generator)
        return found if self.metric.higher_is_better else found.negated()


def shuffled(examples: Examples, schema: Schema, field: Field, order: Array) -> Examples:
    """The examples with the values of one field taken from other rows, `order` (n,)."""
    inputs = dict(examples.inputs)
    if field.kind not in COLUMNS:
        inputs[field.name] = take(inputs[field.name], order)
        written = dict(examples.written)
        if field.name in written:
            written[field.name] = written[field.name].take(order)
        return replace(examples, inputs=inputs, written=written)
    block = np.array(inputs[COLUMNS[field.kind]])
    places = columns_of(schema, field)
    block[:, places] = block[order][:, places]
    inputs[COLUMNS[field.kind]] = block
    return replace(examples, inputs=inputs)


def columns_of(schema: Schema, field: Field) -> list[int]:
    """The columns of a scalar field in its block; a time has several."""
    start = 0
    for other in schema.inputs:
        if COLUMNS.get(other.kind) != COLUMNS[field.kind]:
            continue
        statistics = other.statistics
        width = len(statistics.parts) if isinstance(statistics, TimeStatistics) else 1
        if other.name == field.name:
            return list(range(start, start + width))
        start += width
    raise KeyError(field.name)


def _rows(subject: Subject) -> int:
    most = max(FEWEST_ROWS, min(ROWS, MOST_ANSWERS // max(1, len(subject.schema.inputs))))
    return min(subject.size("test"), subject.sample_size("fields", most))


def _seconds(subject: Subject, name: str = NETWORK) -> float:
    """One shuffle of each field, answered by a model and scored."""
    rows = _rows(subject)
    each = subject.prediction_seconds(name, "test", kept=False) / max(1, subject.size("test"))
    scoring = scoring_seconds(rows, len(subject.schema.labels))
    return (1 + len(subject.schema.inputs)) * (rows * each + scoring)


@evidence("fields", "fields", ("fields",), _seconds, weight=2.0)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`fields` with a figure of the most telling, and `fields.NAME` for each of these."""
    fields = subject.schema.inputs
    if len(fields) < 2:
        reason = (
            f"The only field is {fields[0].name!r}: there is nothing beside it that the network "
            "could go by."
        )
        return [not_applicable("fields", "fields", reason)]
    metric = metric_named(subject.task.name, subject.task.primary)
    generator = subject.generator("fields", "rows")
    asking = Asking(subject, metric, subject.examples("test").sample(_rows(subject), generator))
    reason = metric.undefined(asking.targets)
    if reason:
        return [not_applicable("fields", "fields", reason)]
    falls, shuffles = asking.falls(NETWORK, budget.share(budget.remaining * 2 / 3))
    rival, others = subject.best_baseline, Falls()
    if _seconds(subject, rival) <= budget.remaining:
        others, _ = asking.falls(rival, budget)
    ranked = sorted(falls, key=lambda name: -falls[name].value)[:SHOWN]
    method = (
        f"values shuffled among {len(asking.examples):,} test rows, mean of "
        f"{wording.plural(shuffles, 'shuffle')}; paired with the rows as they are: "
        f"{falls[ranked[0]].method}"
    )
    whole = Record(
        "fields",
        "fields",
        sentence=_summary(asking, falls, ranked, others),
        value=float(sum(fall.low > 0 for fall in falls.values())),
        unit="fields",
        n=len(asking.examples),
        split="test",
        method=method,
        figure=_bars(asking, falls, ranked),
    )
    return [whole, *(_record(asking, name, falls, others, method) for name in ranked)]


def _record(asking: Asking, name: str, falls: Falls, others: Falls, method: str) -> Record:
    fall = falls[name]
    return Record(
        f"fields.{name}",
        "fields",
        sentence=f"{_without(asking, name, fall)}{_also(asking, others.get(name))}.",
        value=fall.value,
        interval=fall.interval,
        n=len(asking.examples),
        split="test",
        method=method,
    )


def _without(asking: Asking, name: str, fall: Estimate) -> str:
    """'Without Sex the network's ROC AUC falls by 0.12 (95 % interval 0.08 to 0.15)'."""
    metric = asking.metric
    if fall.low <= 0 <= fall.high:
        what = f"does not change by more than chance, {_amount(metric, fall, signed=True)}"
    else:
        worse, better = ("falls", "rises") if metric.higher_is_better else ("rises", "falls")
        what = f"{worse if fall.value > 0 else better} by {_amount(metric, fall)}"
    return f"Without {name} the network's {metric.title} {what}"


def _also(asking: Asking, fall: Estimate | None) -> str:
    if fall is None:
        return ""
    rival = title(asking.subject.best_baseline)
    change = _short(asking.metric, fall)
    if change[0] not in "+-":
        return f"; that of {rival} stays the same"
    return f"; that of {rival} {'rises' if change[0] == '+' else 'falls'} by {change[1:]}"


def _amount(metric: Metric, fall: Estimate, signed: bool = False) -> str:
    if signed:
        change = fall.negated() if metric.higher_is_better else fall
        return f"{metric.write(change.value, True)} ({metric.between(change, signed=True)})"
    size = fall if fall.value > 0 else fall.negated()
    written = metric.write(size.value, signed=True).lstrip("+")
    return f"{written} ({metric.between(size, signed=metric.as_percent)})"


def _summary(asking: Asking, falls: Falls, ranked: Sequence[str], others: Falls) -> str:
    telling = [name for name in ranked if falls[name].low > 0]
    shown = f" The {len(ranked)} most telling of {len(falls):,} fields are shown."
    ending = shown if len(ranked) < len(falls) else ""
    if not telling:
        return (
            f"Of {len(falls):,} fields none is shown to matter by itself: with the values of any "
            f"one shuffled among the test rows the network's {asking.metric.title} stays the same, "
            f"as far as {len(asking.examples):,} rows can tell.{ending}"
        )
    first = telling[0]
    told = [f"{_without(asking, first, falls[first])}{_also(asking, others.get(first))}."]
    rest = [f"{name} ({_short(asking.metric, falls[name])})" for name in telling[1 : 1 + TOLD]]
    if rest:
        told.append(f"Next come {_listed(rest)}.")
    silent = sum(fall.low <= 0 for fall in falls.values())
    if silent:
        told.append(f"For {silent:,} of {len(falls):,} fields nothing is shown.")
    return (
        f"The network goes by {first} most. {' '.join(told)} Without a field means with its values "
        f"shuffled among the test rows.{ending}"
    )


def _short(metric: Metric, fall: Estimate) -> str:
    change = -fall.value if metric.higher_is_better else fall.value
    return metric.write(change, signed=True)


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _bars(asking: Asking, falls: Falls, ranked: Sequence[str]) -> Figure:
    verb = "fall" if asking.metric.higher_is_better else "rise"
    data = {
        "labels": list(ranked),
        "values": [falls[name].value for name in ranked],
        "low": [falls[name].low for name in ranked],
        "high": [falls[name].high for name in ranked],
        "x_label": f"{verb} of {asking.metric.title} without the field",
        "highlight": None,
    }
    return Figure("bars", data)


def _mean(several: Sequence[Estimate]) -> Estimate:
    """The mean of some shuffles. Its interval is the mean of theirs: a little wide, as each of them
    holds the chance of its own shuffle, too.
    """

    def of(end: Callable[[Estimate], float]) -> float:
        return float(np.mean([end(e) for e in several]))

    low, high = of(lambda e: e.low), of(lambda e: e.high)
    value = min(max(of(lambda e: e.value), low), high)
    return Estimate(value, low, high, several[0].method)
