"""Does the network know its training examples by heart? Train minus test, for every metric."""

from __future__ import annotations

from fathom.core.budget import Budget
from fathom.core.record import Grade, Record, not_applicable
from fathom.evidence.intervals import Estimate, difference
from fathom.evidence.measure import evidence
from fathom.evidence.metrics import metrics_of
from fathom.evidence.performance import model_seconds
from fathom.evidence.scores import Metric
from fathom.evidence.seen import nothing_unseen, parts
from fathom.evidence.subject import NETWORK, Subject

# Of what the network gains in training over the constant answer, the share that it loses on unseen
# examples. Some loss is normal for anything that learns; from a third on, most people would rather
# regularise or gather more data than train on.
GOOD_LOST, FAIR_LOST = 0.1, 0.33


def _seconds(subject: Subject) -> float:
    return sum(model_seconds(subject, NETWORK, split) for split in ("train", "test"))


@evidence("gap", "gap", ("gap.{metric}",), _seconds)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`gap.METRIC`; training examples are sampled, without augmentation."""
    return [_gap(subject, metric) for metric in metrics_of(subject.task.name)]


def _gap(subject: Subject, metric: Metric) -> Record:
    id = f"gap.{metric.name}"
    unseen = parts(subject)[-1]  # examples that training has shown tell of no gap
    reasons = [metric.undefined(subject.targets(split)) for split in ("train", "test")]
    reason = next(filter(None, reasons), "") or nothing_unseen(subject, metric)
    if reason:
        return not_applicable(id, "gap", reason)
    train, test = (subject.estimate(metric, NETWORK, split) for split in ("train", unseen))
    gap = difference(train, test)
    grade = _grade(subject, metric, train, gap)
    return Record(
        id,
        "gap",
        sentence=_sentence(metric, (train, test, gap), grade),
        value=gap.value,
        interval=gap.interval,
        n=len(subject.targets(unseen)),
        split="train, test",
        method=f"{len(subject.targets('train')):,} training examples; {gap.method}",
        higher_is_better=not metric.higher_is_better,
        grade=grade,
    )


def _worse(metric: Metric, gap: Estimate) -> int:
    """1 where unseen examples are surely harder than known ones, -1 where easier, 0 unclear."""
    towards = gap if metric.higher_is_better else gap.negated()
    return 1 if towards.low > 0 else -1 if towards.high < 0 else 0


def _sentence(metric: Metric, values: tuple[Estimate, Estimate, Estimate], grade: Grade) -> str:
    train, test, gap = values
    part = "a little" if grade == "good" else "some"
    figures = (
        f"The {metric.title} is {metric.write(train.value)} on examples that the network was "
        f"trained on and {metric.write(test.value)} on unseen ones, a gap of "
        f"{metric.write(gap.value, signed=True)} ({metric.between(gap, signed=True)})"
    )
    meaning = {
        1: f"{part} of what it learned holds for its training examples alone, which is overfitting",
        0: "no overfitting can be shown",
        -1: "it does better on the test examples, which are the easier ones then",
    }
    return f"{figures}: {meaning[_worse(metric, gap)]}."


def _grade(subject: Subject, metric: Metric, train: Estimate, gap: Estimate) -> Grade:
    if _worse(metric, gap) <= 0:
        return "good"
    if "constant" not in subject.baselines:
        return "unknown"
    gained = train.value - subject.estimate(metric, "constant", parts(subject)[-1]).value
    lost = gap.value / gained if gained else 1.0
    return "good" if lost < GOOD_LOST else "fair" if lost < FAIR_LOST else "poor"
