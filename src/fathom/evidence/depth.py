"""What does depth do? What each stage's output tells of the target, and how alike stages are.

Linear probes: Alain and Bengio 2016 (arXiv 1610.01644). Similarity by linear CKA: Kornblith et al.
2019 (arXiv 1905.00414). Probes learn from training examples; both are measured on validation.
"""

from __future__ import annotations

import warnings
from itertools import pairwise

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.preprocessing import StandardScaler

from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.output import OutputSpec
from fathom.core.prediction import (
    Array,
    ClassPrediction,
    LabelsPrediction,
    NumberPrediction,
    Prediction,
)
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence.intervals import Estimate
from fathom.evidence.measure import evidence
from fathom.evidence.metrics import metric_named
from fathom.evidence.scores import Metric
from fathom.evidence.stages import looked_at, outputs_of
from fathom.evidence.subject import NETWORK, Subject

LEARNED_FROM, MEASURED_ON, COMPARED = 1_500, 2_000, 1_000  # examples
STRENGTH = 0.1  # inverse penalty of the logistic regression on standardised features
ROUNDS = 100
PENALTIES = np.logspace(0, 5, 6)
PROBE_SECONDS = 0.1  # about what one probe takes, for each ten classes
IDS = ("features.probe", "features.depth", "features.similarity")
GROUP = "features"


def _seconds(subject: Subject) -> float:
    rows = min(LEARNED_FROM, subject.size("train"))
    rows += min(MEASURED_ON, subject.size("validation"))
    each = subject.prediction_seconds(NETWORK, "validation", kept=False) / max(
        subject.size("validation"), 1
    )
    probes = PROBE_SECONDS * len(looked_at(subject.model.network))
    return 0.2 + 2 * rows * each + probes * (1 + subject.task.output.size / 10)


@evidence("depth", GROUP, IDS, _seconds)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`features.probe`, `.depth` (last stage's probe minus the first's) and `.similarity`."""
    generator = subject.generator("depth")
    few = subject.sample_size("depth", MEASURED_ON)
    learned = subject.examples("train").sample(min(LEARNED_FROM, few), generator)
    held = subject.examples("validation").sample(few, generator)
    said = outputs_of(subject, held)
    return [*_probes(subject, learned, held, said), similarity(said)]


def _probes(
    subject: Subject, learned: Examples, held: Examples, said: dict[str, Array]
) -> list[Record]:
    metric = metric_named(subject.task.name, subject.task.primary)
    reason = _undefined(metric, learned, held)
    if reason:
        return [not_applicable(id, GROUP, reason) for id in IDS[:2]]
    assert held.targets is not None
    before, output = outputs_of(subject, learned), subject.task.output
    assert learned.targets is not None
    predictions = {
        name: probe(before[name], learned.targets, rows, output) for name, rows in said.items()
    }
    scores = {
        name: metric.estimate(prediction, held.targets, subject.generator("depth", name))
        for name, prediction in predictions.items()
    }
    own = metric.estimate(
        subject.network.predict(held), held.targets, subject.generator("depth", NETWORK)
    )
    return [
        _probe_record(subject, metric, scores, own, (len(learned), len(held))),
        _depth_record(subject, metric, predictions, held.targets),
    ]


def _undefined(metric: Metric, learned: Examples, held: Examples) -> str:
    assert learned.targets is not None
    assert held.targets is not None
    if learned.targets.ndim == 1 and len(np.unique(learned.targets)) < 2:
        return "All training examples have the same target: there is nothing to tell apart."
    return metric.undefined(held.targets)


def probe(learned: Array, targets: Array, asked: Array, output: OutputSpec) -> Prediction:
    """What a linear model of a stage's outputs says: logistic regression, of numbers ridge.

    `learned` (m, f) with their `targets` are learned from, `asked` (n, f) are answered. Labels are
    predicted as numbers 0 and 1, each by itself.
    """
    scaler = StandardScaler()
    learned, asked = scaler.fit_transform(learned), scaler.transform(asked)
    if output.form == "classes":
        return ClassPrediction(output.labels, _class_probs(learned, targets, asked, output.size))
    model = RidgeCV(PENALTIES).fit(learned, targets)
    answers = np.asarray(model.predict(asked), dtype=np.float64)
    if output.form == "labels":
        return LabelsPrediction(output.labels, answers.reshape(len(asked), -1).clip(0.0, 1.0))
    return NumberPrediction(answers)


def _class_probs(learned: Array, targets: Array, asked: Array, classes: int) -> Array:
    """Probabilities (n, classes); a class that nothing was learned of has 0."""
    model = LogisticRegression(C=STRENGTH, max_iter=ROUNDS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ROUNDS are enough for what it is for
        model.fit(learned, targets)
    probs = np.zeros((len(asked), classes))
    probs[:, model.classes_] = model.predict_proba(asked)
    return probs


def _probe_record(
    subject: Subject,
    metric: Metric,
    scores: dict[str, Estimate],
    own: Estimate,
    sizes: tuple[int, int],
) -> Record:
    stages = list(scores.items())
    (first, start), (last, end) = stages[0], stages[-1]
    target = subject.schema.target.name
    sentence = (
        f"A linear model that sees only what the stage {first} puts out tells {target!r} with "
        f"{_a(metric)} of {metric.write(start.value)}; of {last} it is {metric.write(end.value)} "
        f"({metric.between(end)}), and the whole network's is {metric.write(own.value)}."
    )
    if len(stages) > 2:
        step, gain = _largest_step(metric, scores)
        if gain > 0:
            sentence += f" The largest step is that of {step}."
    return Record(
        IDS[0],
        GROUP,
        sentence=sentence,
        value=end.value,
        interval=end.interval,
        n=sizes[1],
        split="validation",
        method=(
            f"{'ridge' if subject.task.output.form != 'classes' else 'logistic'} regression on "
            f"each stage's outputs, pooled over places, for {sizes[0]:,} training examples; "
            f"{end.method}"
        ),
        higher_is_better=metric.higher_is_better,
        figure=Figure(
            "depth",
            {
                "stages": list(scores),
                "values": [score.value for score in scores.values()],
                "low": [score.low for score in scores.values()],
                "high": [score.high for score in scores.values()],
                "whole": own.value,
                "y_label": metric.title,
                "percent": metric.as_percent,
            },
        ),
    )


def _a(metric: Metric) -> str:
    return f"{'an' if metric.title[0].lower() in 'aeio' else 'a'} {metric.title}"


def _largest_step(metric: Metric, scores: dict[str, Estimate]) -> tuple[str, float]:
    sign = 1 if metric.higher_is_better else -1
    steps = [
        (sign * (after.value - before.value), name)
        for (_, before), (name, after) in pairwise(scores.items())
    ]
    gain, name = max(steps, key=lambda step: step[0])
    return name, gain


def _depth_record(
    subject: Subject, metric: Metric, predictions: dict[str, Prediction], targets: Array
) -> Record:
    names = list(predictions)
    if len(names) < 2:
        reason = "The network has one stage before its head: there is no depth to measure."
        return not_applicable(IDS[1], GROUP, reason)
    first, last = names[0], names[-1]
    generator = subject.generator("depth", "gain")
    gain = metric.paired(predictions[last], predictions[first], targets, generator)
    gain = gain if metric.higher_is_better else gain.negated()
    grade: Grade = "good" if gain.low > 0 else "poor" if gain.high < 0 else "fair"
    meaning = {
        "good": "the stages between them bring out what the target needs",
        "fair": "that the stages between them bring out more of the target cannot be shown",
        "poor": "the stages between them lose what a linear model could have used",
    }[grade]
    return Record(
        IDS[1],
        GROUP,
        sentence=(
            f"From {first} to {last} the {metric.title} of such a linear model changes by "
            f"{metric.write(gain.value, signed=True)} "
            f"({metric.between(gain, signed=True)}; more is better): {meaning}."
        ),
        value=gain.value,
        interval=gain.interval,
        n=len(targets),
        split="validation",
        method=f"probe on the last stage minus probe on the first, same examples; {gain.method}",
        higher_is_better=True,
        grade=grade,
    )


def similarity(said: dict[str, Array]) -> Record:
    """`features.similarity`: between all stages, from their outputs (n, f) for n examples."""
    names, rows = list(said), [output[:COMPARED] for output in said.values()]
    if len(names) < 2:
        reason = "The network has one stage before its head: there is nothing to compare it with."
        return not_applicable(IDS[2], GROUP, reason)
    values = [[cka(one, other) for other in rows] for one in rows]
    steps = [values[place][place + 1] for place in range(len(names) - 1)]
    least = int(np.argmin(steps))
    ends = "" if len(names) == 2 else f"; from the first to the last it is {values[0][-1]:.2f}"
    return Record(
        IDS[2],
        GROUP,
        sentence=(
            f"What the network makes of its examples changes most between {names[least]} and "
            f"{names[least + 1]}: their similarity is {steps[least]:.2f}, where 1 is the same but "
            f"for turning and scaling{ends}."
        ),
        value=steps[least],
        n=len(rows[0]),
        split="validation",
        method="linear CKA of the stages' outputs, pooled over places",
        figure=Figure("heatmap", {"labels": names, "values": values, "unit": "similarity"}),
    )


def cka(first: Array, second: Array) -> float:
    """Linear centred kernel alignment of two outputs (n, f), (n, g) for the same examples, 0 to 1.

    1 where one is the other turned and scaled; 0 where either never varies.
    """
    x, y = (
        rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64) for rows in (first, second)
    )
    norm = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.clip(np.square(x.T @ y).sum() / norm, 0.0, 1.0)) if norm > 0 else 0.0
