"""Is the network worth having? Every baseline measured alike, paired gains, and the verdict."""

from __future__ import annotations

from collections.abc import Iterator

from fathom.baselines import Baseline
from fathom.core.budget import Budget
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate
from fathom.evidence.measure import evidence
from fathom.evidence.metrics import metrics_of
from fathom.evidence.performance import grade, model_seconds
from fathom.evidence.rivals import cut_short, sentence_title, side_of, title
from fathom.evidence.scores import Metric, scoring_seconds
from fathom.evidence.seen import nothing_unseen, parts, seen
from fathom.evidence.subject import NETWORK, UNSEEN, Subject
from fathom.evidence.verdict import verdict


def _seconds(subject: Subject) -> float:
    scoring = scoring_seconds(subject.size("test"), len(subject.schema.labels))
    seconds = sum(scoring + model_seconds(subject, name) for name in subject.models)
    cut = cut_short(subject)
    doubtful = {subject.best_baseline, *cut} if cut not in ([], [subject.best_baseline]) else set()
    return seconds + sum(subject.prediction_seconds(name, "validation") for name in doubtful)


@evidence("comparison", "", ("verdict", "gain.{metric}"), _seconds, weight=6.0, essential=True)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`verdict`, `gain.METRIC`, and `baseline.NAME.METRIC` for every baseline."""
    targets = subject.targets("test")
    defined = [m for m in metrics_of(subject.task.name) if not m.undefined(targets)]
    records = [verdict(subject)]
    records += [
        _gain_record(subject, metric, part) for part in parts(subject) for metric in defined
    ]
    records += [
        not_applicable(f"gain.{metric.name}", "gain", metric.undefined(targets))
        for metric in metrics_of(subject.task.name)
        if metric not in defined
    ]
    records += [
        _baseline_record(subject, name, metric) for name in subject.baselines for metric in defined
    ]
    return records


def _gain_record(subject: Subject, metric: Metric, part: str) -> Record:
    """`gain.METRIC` on the test split, or `gain.METRIC.unseen` on what is unseen of it."""
    id = f"gain.{metric.name}" if part == "test" else f"gain.{metric.name}.unseen"
    reason = "" if part == "test" else nothing_unseen(subject, metric)
    if reason:
        return not_applicable(id, "gain", reason)
    gain = subject.gain(metric, NETWORK, subject.best_baseline, part)
    grades: dict[int, Grade] = {1: "good", 0: "fair", -1: "poor"}
    with_figure = metric.name == subject.task.primary and part == "test"
    return Record(
        id,
        "gain",
        sentence=_gain_sentence(subject, metric, gain, part),
        value=gain.value,
        interval=gain.interval,
        n=len(subject.targets(part)),
        split="test",
        method=f"{gain.method}; against {subject.best_baseline}, positive favours the network",
        higher_is_better=True,
        grade="unknown" if nothing_unseen(subject, metric) else grades[side_of(gain)],
        figure=_bars(subject, metric) if with_figure else None,
    )


def _gain_sentence(subject: Subject, metric: Metric, gain: Estimate, part: str) -> str:
    rival, n = title(subject.best_baseline), len(subject.targets(part))
    amount = (
        f"the gain is {metric.write(gain.value, signed=True)} ({metric.between(gain, signed=True)})"
    )
    examples = wording.plural(n, "test example")
    judges, where = f"{examples} {'does' if n == 1 else 'do'}", ""
    if part == UNSEEN:
        judges, where = f"{seen(subject).unseen} do", f" on {seen(subject).unseen}"
    if side_of(gain) == 0:
        return f"By {metric.title} {judges} not tell the network and {rival} apart: {amount}."
    better = "better" if side_of(gain) > 0 else "worse"
    return (
        f"By {metric.title}{where} the network is {better} than {rival}, the best of the "
        f"traditional methods on validation: {amount}."
    )


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
    estimate = subject.estimate(metric, name, "test")
    sentence = (
        f"{sentence_title(name)} reaches {_article(metric.title)} {metric.title} of "
        f"{metric.write(estimate.value)} on {seen(subject).examples.rstrip(',')} "
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
        n=len(subject.targets("test")),
        split="test",
        method="; ".join([estimate.method, *(note.rstrip(".") for note in notes)]),
        higher_is_better=metric.higher_is_better,
        grade=grade(subject, metric, name),
    )


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiouR" else "a"
