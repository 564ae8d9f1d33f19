"""Is the network worth having? Every baseline measured alike, paired gains, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator

from fathom.baselines import Baseline
from fathom.core.budget import Budget
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate
from fathom.evidence.measure import evidence
from fathom.evidence.performance import grade, model_seconds
from fathom.evidence.scores import Metric, metric_named, metrics_of
from fathom.evidence.subject import NETWORK, Subject

TITLES = {
    "network": "the network",
    "constant": "always giving the same answer",
    "linear": "the linear model",
    "boosting": "gradient boosting",
    "pictures": "the linear model on picture features",
}


# What speaks for a simpler model where the network is not better.
STRENGTHS = {
    "constant": "being free",
    "linear": "being simpler and cheaper, and its weights can be read",
    "boosting": "being simpler and cheaper to fit",
    "pictures": "being simpler and cheaper to fit",
}


def title(name: str) -> str:
    """How a sentence calls a model."""
    return TITLES.get(name, f"the baseline {name}")


def _seconds(subject: Subject) -> float:
    return sum(2 * model_seconds(subject, name) for name in subject.models)


@evidence("comparison", "", ("verdict", "gain.{metric}"), _seconds, weight=3.0)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`verdict`, `gain.METRIC`, and `baseline.NAME.METRIC` for every baseline."""
    targets = subject.targets("test")
    defined = [m for m in metrics_of(subject.task.name) if not m.undefined(targets)]
    gains = {metric.name: _gain(subject, metric) for metric in defined}
    records = [_verdict(subject, gains.get(subject.task.primary))]
    records += [_gain_record(subject, metric, gains[metric.name]) for metric in defined]
    records += [
        not_applicable(f"gain.{metric.name}", "gain", metric.undefined(targets))
        for metric in metrics_of(subject.task.name)
        if metric not in defined
    ]
    records += [
        _baseline_record(subject, name, metric) for name in subject.baselines for metric in defined
    ]
    return records


def _gain(subject: Subject, metric: Metric) -> Estimate:
    """Network minus the best baseline on the same rows; positive where the network is better."""
    estimate = metric.paired(
        subject.predict(NETWORK, "test"),
        subject.predict(subject.best_baseline, "test"),
        subject.targets("test"),
        subject.generator("gain", metric.name),
    )
    return estimate if metric.higher_is_better else estimate.negated()


def _gain_record(subject: Subject, metric: Metric, gain: Estimate) -> Record:
    sides = {1: "better", -1: "worse", 0: "neither better nor worse"}
    n = len(subject.targets("test"))
    primary = metric.name == subject.task.primary
    sentence = (
        f"By {metric.title} the network is {sides[_side(gain)]} than "
        f"{title(subject.best_baseline)}, the best of the traditional methods on validation: the "
        f"gain is {metric.write(gain.value, signed=True)} ({metric.between(gain, signed=True)})."
    )
    if _side(gain) == 0:
        sentence = (
            f"By {metric.title} {n:,} test examples do not tell the network and "
            f"{title(subject.best_baseline)} apart: the gain is "
            f"{metric.write(gain.value, signed=True)} ({metric.between(gain, signed=True)})."
        )
    grades: dict[int, Grade] = {1: "good", 0: "fair", -1: "poor"}
    return Record(
        f"gain.{metric.name}",
        "gain",
        sentence=sentence,
        value=gain.value,
        interval=gain.interval,
        n=n,
        split="test",
        method=f"{gain.method}; against {subject.best_baseline}, positive favours the network",
        higher_is_better=True,
        grade=grades[_side(gain)],
        figure=_bars(subject, metric) if primary else None,
    )


def _side(gain: Estimate) -> int:
    """1 where the whole interval favours the network, -1 the baseline, 0 where it holds zero."""
    return 1 if gain.low > 0 else -1 if gain.high < 0 else 0


def _estimates(subject: Subject, metric: Metric) -> Iterator[tuple[str, Estimate]]:
    for name in subject.models:
        yield name, subject.estimate(metric, name, "test")


def _bars(subject: Subject, metric: Metric) -> Figure:
    estimates = dict(_estimates(subject, metric))
    data = {
        "labels": list(estimates),
        "values": [e.value for e in estimates.values()],
        "low": [e.low for e in estimates.values()],
        "high": [e.high for e in estimates.values()],
        "x_label": metric.title + (" (more is better)" if metric.higher_is_better else ""),
        "highlight": list(estimates).index(NETWORK),
    }
    if not metric.higher_is_better:
        data["x_label"] = f"{metric.title} (less is better)"
    return Figure("bars", data)


def _baseline_record(subject: Subject, name: str, metric: Metric) -> Record:
    n = len(subject.targets("test"))
    estimate = subject.estimate(metric, name, "test")
    called = title(name)
    sentence = (
        f"{called[0].upper()}{called[1:]} reaches {_article(metric.title)} {metric.title} of "
        f"{metric.write(estimate.value)} on {wording.plural(n, 'unseen example')} "
        f"({metric.between(estimate)})."
    )
    model = subject.baselines[name]
    notes = model.notes if isinstance(model, Baseline) else ()
    return Record(
        f"baseline.{name}.{metric.name}",
        "baseline",
        sentence=sentence,
        value=estimate.value,
        interval=estimate.interval,
        n=n,
        split="test",
        method="; ".join([estimate.method, *(note.rstrip(".") for note in notes)]),
        higher_is_better=metric.higher_is_better,
        grade=grade(subject, metric, estimate.value),
    )


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiouR" else "a"


def _verdict(subject: Subject, gain: Estimate | None) -> Record:
    """Which model to use. The only record that a hurried reader needs."""
    metric = metric_named(subject.task.name, subject.task.primary)
    targets = subject.targets("test")
    if gain is None:
        return not_applicable("verdict", "verdict", metric.undefined(targets))
    side = _side(gain)
    grades: dict[int, Grade] = {1: "good", 0: "fair", -1: "fair"}
    learned_nothing = subject.best_baseline == "constant" and side <= 0
    return Record(
        "verdict",
        "verdict",
        sentence=_nothing_learned(metric, gain) if learned_nothing else _words(subject, gain, side),
        value={1: "network", 0: "level", -1: "baseline"}[side],
        n=len(targets),
        split="test",
        method=(
            f"paired difference in {metric.title} from {subject.best_baseline}, which is the best "
            f"baseline on validation; {gain.method}"
        ),
        grade="poor" if learned_nothing else grades[side],
    )


def _nothing_learned(metric: Metric, gain: Estimate) -> str:
    return (
        "The network has learned nothing that can be shown: it is no better than always giving the "
        f"same answer, and so is every traditional method (gain in {metric.title} "
        f"{metric.write(gain.value, signed=True)}, {metric.between(gain, signed=True)}). Use "
        "neither; these inputs may not hold the answer, or there are too few examples."
    )


def _words(subject: Subject, gain: Estimate, side: int) -> str:
    metric = metric_named(subject.task.name, subject.task.primary)
    rival = title(subject.best_baseline)
    values = dict(_estimates(subject, metric))
    figures = (
        f"the network's {metric.title} is {metric.write(values[NETWORK].value)} against "
        f"{metric.write(values[subject.best_baseline].value)} on "
        f"{wording.plural(len(subject.targets('test')), 'unseen example')} "
        f"(gain {metric.write(gain.value, signed=True)}, {metric.between(gain, signed=True)})"
    )
    if side > 0:
        return (
            f"Use the network. It is better than {rival}, the best traditional method: {figures}."
        )
    strength = STRENGTHS.get(subject.best_baseline, "being simpler")
    called = f"{rival[0].upper()}{rival[1:]}"
    if side < 0:
        return (
            f"Do not use the network. It is worse than {rival}: {figures}. {called} is the better "
            f"choice, {strength}: use it with --model baseline."
        )
    return (
        f"The network and {rival} are level: {figures}, which is too little to tell them apart. "
        f"{called} is then the better choice, {strength}: use it with --model baseline."
    )
