"""How did learning go? The curves of the log, and what they say."""

from __future__ import annotations

from math import nan
from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.measure import evidence
from fathom.evidence.metrics import metric_named, metrics_of
from fathom.evidence.scores import Metric
from fathom.evidence.subject import Subject
from fathom.tasks import selection

POINTS = 300  # of a curve: more cannot be told apart on paper
SMOOTH = 0.02  # of the curve's length: the window over which a noisy loss is averaged
LATE = 0.9  # a best step beyond this share of training came at its very end
# Of all that validation gained from its first to its best value: a rise in the last fifth, or a
# fall since the best step, that is smaller than this is noise to a reader.
MATTERS = 0.02
NOISE = 2.0  # standard errors of the score: a smaller fall is chance among so few examples
SPIKE = 10.0  # times the median gradient norm of the steps around
# What would train longer, by what bound the length of training.
LONGER = {
    "time": "a larger --budget may help.",
    "steps": "more --steps may help.",
    "data": "its length was what this much data is good for, so more data would help most.",
}

IDS = ("training.validation", "training.loss", "training.learning_rate", "training.grad_norm")


def _seconds(subject: Subject) -> float:
    return 0.1


@evidence("training", "training", IDS, _seconds, weight=0.2)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """The curves of validation score, loss, learning rate and gradient norm; and the events."""
    steps = [line for line in subject.log if line.get("kind") == "step"]
    checks = [line for line in subject.log if line.get("kind") == "validation"]
    events = [line for line in subject.log if line.get("kind") == "event"]
    records = [_validation(subject, checks, steps)]
    records += [loss_record(steps), learning_rate_record(steps), grad_norm_record(steps)]
    return records + ([events_record(events)] if events else [])


def column(lines: list[dict[str, Any]], key: str) -> tuple[Array, Array]:
    """Steps and finite values of a key, over the lines that have it."""
    pairs = [(line["step"], line[key]) for line in lines if line.get(key) is not None]
    steps, values = np.array(pairs, dtype=float).reshape(-1, 2).T
    finite = np.isfinite(values)
    return steps[finite], values[finite]


def smooth(values: Array) -> Array:
    """A centred moving average; at the ends over what there is."""
    width = max(1, round(SMOOTH * len(values)))
    kernel = np.ones(2 * width + 1)
    total = np.convolve(values, kernel, mode="same")
    means: Array = total / np.convolve(np.ones(len(values)), kernel, mode="same")
    return means if len(values) > len(kernel) else values


def curve(name: str, steps: Array, values: Array) -> dict[str, Any]:
    """A line of a figure of curves, thinned to what can be told apart."""
    kept = np.unique(np.linspace(0, len(steps) - 1, min(POINTS, len(steps))).round().astype(int))
    return {"name": name, "x": steps[kept].tolist(), "y": values[kept].tolist()}


def curves(series: list[dict[str, Any]], y_label: str, log_y: bool = False) -> Figure:
    """A figure of lines over the steps."""
    data = {"series": series, "x_label": "step", "y_label": y_label, "log_y": log_y}
    return Figure("curves", data)


def missing(id: str, what: str) -> Record:
    """A record that the log holds nothing for."""
    return not_applicable(id, "training", f"The training log holds no {what}.")


def _validation(
    subject: Subject, checks: list[dict[str, Any]], lines: list[dict[str, Any]]
) -> Record:
    """How the metric that weights are chosen by moved on validation, and when it was best."""
    metric = chosen_by(subject, checks)
    steps, scores = column(checks, "score")
    if not len(scores):
        return missing("training.validation", "validation scores")
    values = scores if metric.higher_is_better else -scores
    last = max([int(steps[-1]), *(int(line["step"]) for line in lines)])
    best = best_of(scores)
    noise = NOISE * standard_error(metric.name, float(values[best]), subject)
    sentence, grade = judge(steps, scores, last, noise, subject.bound_by)
    return Record(
        "training.validation",
        "training",
        sentence=(
            f"The {metric.title} on validation was best at step {int(steps[best]):,} of {last:,} "
            f"with {metric.write(float(values[best]))}. {sentence}"
        ),
        value=float(values[best]),
        n=len(scores),
        split="validation",
        method="the best of the validations in the log; its weights are the ones kept",
        higher_is_better=metric.higher_is_better,
        grade=grade,
        figure=curves([curve("validation", steps, values)], metric.title),
    )


def chosen_by(subject: Subject, checks: list[dict[str, Any]]) -> Metric:
    """The metric of the log's scores: the primary one, or log loss in its place (see `selection`).

    The log holds every metric beside the score, so that the same rule goes by the same values.
    """
    task = subject.task
    line = next((line for line in checks if line.get("score") is not None), {})
    found = {
        metric.name: line[metric.name] for metric in metrics_of(task.name) if metric.name in line
    }
    metrics = {name: nan if value is None else float(value) for name, value in found.items()}
    metrics.setdefault(task.primary, nan)
    chosen = selection(metrics, task.primary, len(subject.splits["validation"]))
    return metric_named(task.name, chosen.metric)


def best_of(scores: Array) -> int:
    """The position of the highest score; of equals the last, which is the one that is kept."""
    return len(scores) - 1 - int(np.argmax(scores[::-1]))


def standard_error(name: str, value: float, subject: Subject) -> float:
    """About the standard error of the metric `name` on the validation split.

    A share's is binomial; an area's is bounded by its variance over the smaller class (Birnbaum and
    Klose 1957); a root mean square's is that of normal errors; a
    log loss is a mean, and its rows under the weights that were kept tell how they spread.
    """
    targets = subject.splits["validation"].targets
    if targets is None or not len(targets):
        return 0.0
    n = len(targets)
    if name == "log_loss":
        merit = subject.predict_uncalibrated("validation").merit(subject.targets("validation"))
        return float(merit.std() / np.sqrt(len(merit)))
    if not metric_named(subject.task.name, name).higher_is_better:
        return value / float(np.sqrt(2 * n))
    if name == "roc_auc":
        n = int(np.unique(targets, return_counts=True)[1].min())
    return float(np.sqrt(max(value * (1 - value), 0.0) / n))


def judge(
    steps: Array, scores: Array, last: int, noise: float = 0.0, bound_by: str = "time"
) -> tuple[str, Grade]:
    """What a curve of scores (higher is better) says: overfitted, still improving, or settled.

    A fall below `noise` is none; `bound_by` (see Subject) says what would make training longer.
    """
    if len(scores) < 3:
        return "There were too few validations to tell how training went.", "unknown"
    best = best_of(scores)
    gained = float(scores[best] - scores[0])
    if gained <= 0:
        return "It never improved on its first value.", "poor"
    fallen = float(scores[best] - scores[-1])
    if steps[best] < LATE * last and fallen > max(MATTERS * gained, noise):
        return (
            f"From step {int(steps[best]):,} on it grew worse, which is overfitting; the weights "
            "of the best step are the ones that are kept.",
            "fair",
        )
    earlier = scores[steps <= 0.8 * last]
    rise = float(scores[best] - earlier.max()) / gained if len(earlier) else 1.0
    if steps[best] >= LATE * last and rise > MATTERS:
        return f"It was still improving when training ended: {LONGER[bound_by]}", "fair"
    return "It had settled when training ended: more time alone would change little.", "good"


def loss_record(lines: list[dict[str, Any]]) -> Record:
    """`training.loss` from the lines of steps."""
    steps, losses = column(lines, "loss")
    if not len(losses):
        return missing("training.loss", "training loss")
    smoothed = smooth(losses)
    return Record(
        "training.loss",
        "training",
        sentence=(
            f"The training loss went from {wording.number(float(smoothed[0]))} to "
            f"{wording.number(float(smoothed[-1]))} over {int(steps[-1]):,} steps."
        ),
        value=float(smoothed[-1]),
        n=len(losses),
        split="train",
        method="moving average of the logged losses; augmentation and dropout are at work in them",
        higher_is_better=False,
        figure=curves([curve("training loss", steps, smoothed)], "loss"),
    )


def learning_rate_record(lines: list[dict[str, Any]]) -> Record:
    """`training.learning_rate` from the lines of steps."""
    steps, rates = column(lines, "learning_rate")
    if not len(rates):
        return missing("training.learning_rate", "learning rates")
    peak = int(np.argmax(rates))
    return Record(
        "training.learning_rate",
        "training",
        sentence=(
            f"The learning rate rose to {wording.number(float(rates[peak]))} at step "
            f"{int(steps[peak]):,} and ended at {wording.number(float(rates[-1]))}."
        ),
        value=float(rates[peak]),
        method="the highest in the log",
        figure=curves([curve("learning rate", steps, rates)], "learning rate"),
    )


def grad_norm_record(lines: list[dict[str, Any]]) -> Record:
    """`training.grad_norm` from the lines of steps."""
    steps, norms = column(lines, "grad_norm")
    if not len(norms):
        return missing("training.grad_norm", "gradient norms")
    median = float(np.median(norms))
    window = max(3, len(norms) // 10)
    spikes = int(np.sum(norms > SPIKE * np.maximum(median_filter(norms, window), median)))
    said = "it never leapt to ten times its neighbours, so training was stable"
    if spikes:
        said = f"{wording.plural(spikes, 'time')} it leapt to ten times its neighbours"
    return Record(
        "training.grad_norm",
        "training",
        sentence=f"The gradient's norm was {wording.number(median)} as a median; {said}.",
        value=median,
        n=len(norms),
        split="train",
        method="median of the logged norms, before clipping",
        grade="fair" if spikes else "good",
        figure=curves([curve("gradient norm", steps, norms)], "gradient norm", log_y=True),
    )


def events_record(lines: list[dict[str, Any]]) -> Record:
    """`training.events` from the lines of events."""
    rows = [[line.get("step", 0), line.get("sentence", line.get("event", ""))] for line in lines]
    many = wording.plural(len(lines), "event")
    return Record(
        "training.events",
        "training",
        sentence=f"{many[0].upper()}{many[1:]} out of the ordinary happened during training.",
        value=float(len(lines)),
        method="the events in the log",
        figure=Figure("table", {"columns": ["step", "what happened"], "rows": rows[:POINTS]}),
    )
