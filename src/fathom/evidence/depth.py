"""What does depth do? What each stage's output tells of the target, and how alike stages are.

Linear probes: Alain and Bengio 2016 (arXiv 1610.01644). Similarity by linear CKA: Kornblith et al.
2019 (arXiv 1905.00414). Probes learn from training examples; both are measured on validation.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
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
from fathom.evidence.stages import looked_at, outputs_of, telling
from fathom.evidence.subject import NETWORK, Subject

LEARNED_FROM, MEASURED_ON, COMPARED = 1_500, 2_000, 1_000  # examples
STRENGTH = 0.1  # inverse penalty of the logistic regression on standardised features
ROUNDS = 100
PENALTIES = np.logspace(0, 5, 6)
PROBE_SECONDS = 0.1  # about what one probe takes, for each ten classes
FIRST = "the fields' first stages side by side"
IDS = ("features.probe", "features.depth", "features.similarity")
GROUP = "features"


def _seconds(subject: Subject) -> float:
    rows = min(LEARNED_FROM, subject.size("train"))
    rows += min(MEASURED_ON, subject.size("validation"))
    each = subject.prediction_seconds(NETWORK, "validation", kept=False) / max(
        subject.size("validation"), 1
    )
    # One more for the first stages side by side, which is the widest of all.
    probes = PROBE_SECONDS * (len(looked_at(subject.model.network)) + 2)
    return 0.2 + 2 * rows * each + probes * (1 + subject.task.output.size / 10)


@evidence("depth", GROUP, IDS, _seconds)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`features.probe`, `.depth` (last stage's probe minus the first's) and `.similarity`."""
    generator = subject.generator("depth")
    few = subject.sample_size("depth", MEASURED_ON)
    learned = subject.examples("train").sample(min(LEARNED_FROM, few), generator)
    held = subject.examples("validation").sample(few, generator)
    said = outputs_of(subject, held)
    chains = telling(subject.model.network, said)
    return [*_probes(subject, learned, held, said, chains), similarity(subject, said, chains)]


@dataclass
class Probed:
    """What linear models of the stages say, in the order of `chains`, beside the whole network.

    `first` is said of the first stages of all fields side by side; of one chain, of its first.
    """

    chains: list[list[str]]
    predictions: dict[str, Prediction]
    first: tuple[str, Prediction]
    own: Prediction
    targets: Array

    @property
    def last(self) -> str:
        """The last stage of all."""
        return self.chains[-1][-1]


def _probes(
    subject: Subject,
    learned: Examples,
    held: Examples,
    said: dict[str, Array],
    chains: list[list[str]],
) -> list[Record]:
    metric = metric_named(subject.task.name, subject.task.primary)
    reason = _undefined(metric, learned, held)
    if reason:
        return [not_applicable(id, GROUP, reason) for id in IDS[:2]]
    assert held.targets is not None
    probed = _probed(subject, learned, held, said, chains)
    return [
        _probe_record(subject, metric, probed, len(learned)),
        _depth_record(subject, metric, probed),
    ]


def _probed(
    subject: Subject,
    learned: Examples,
    held: Examples,
    said: dict[str, Array],
    chains: list[list[str]],
) -> Probed:
    before, output, targets = outputs_of(subject, learned), subject.task.output, learned.targets
    assert targets is not None
    assert held.targets is not None
    predictions = {
        name: probe(before[name], targets, said[name], output) for chain in chains for name in chain
    }
    first = (chains[0][0], predictions[chains[0][0]])
    if len(chains) > 1:
        names = [chain[0] for chain in chains[:-1]]
        parts = (np.concatenate([rows[n] for n in names], axis=1) for rows in (before, said))
        first = (FIRST, probe(next(parts), targets, next(parts), output))
    return Probed(chains, predictions, first, subject.network.predict(held), held.targets)


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


def _probe_record(subject: Subject, metric: Metric, probed: Probed, learned: int) -> Record:
    scores = {
        name: metric.estimate(prediction, probed.targets, subject.generator("depth", name))
        for name, prediction in probed.predictions.items()
    }
    own = metric.estimate(probed.own, probed.targets, subject.generator("depth", NETWORK))
    end = scores[probed.last]
    starts = np.cumsum([len(chain) for chain in probed.chains])[:-1]
    return Record(
        IDS[0],
        GROUP,
        sentence=_probe_sentence(subject, metric, probed, scores, own),
        value=end.value,
        interval=end.interval,
        n=len(probed.targets),
        split="validation",
        method=(
            f"{'ridge' if subject.task.output.form != 'classes' else 'logistic'} regression on "
            f"each stage's outputs, pooled over places, for {learned:,} training examples; stages "
            f"that only pool are left out; {end.method}"
        ),
        higher_is_better=metric.higher_is_better,
        figure=None
        if len(scores) == 1
        else Figure(
            "depth",
            {
                "stages": list(scores),
                "values": [score.value for score in scores.values()],
                "low": [score.low for score in scores.values()],
                "high": [score.high for score in scores.values()],
                "breaks": [int(start) for start in starts],
                "whole": own.value,
                "y_label": metric.title,
                "percent": metric.as_percent,
            },
        ),
    )


def _probe_sentence(
    subject: Subject, metric: Metric, probed: Probed, scores: dict[str, Estimate], own: Estimate
) -> str:
    target, end = repr(subject.schema.target.name), scores[probed.last]
    first, many = probed.chains[0][0], len(probed.chains) > 1
    whole = f"({metric.between(end)}), and the whole network's is {metric.write(own.value)}."
    if len(scores) == 1:
        sentence = (
            f"A linear model that sees only what the stage {first} puts out tells {target} with "
            f"{_a(metric)} of {metric.write(end.value)} {whole}"
        )
    elif many:
        ends = [
            f"{metric.write(scores[chain[-1]].value)} of {chain[-1]}"
            for chain in probed.chains[:-1]
        ]
        sentence = (
            "A linear model that sees only what one stage of one field puts out tells "
            f"{target} with {_a(metric)} of {', '.join(ends)}; of {probed.last}, which sees all "
            f"fields, it is {metric.write(end.value)} {whole}"
        )
    else:
        sentence = (
            f"A linear model that sees only what the stage {first} puts out tells {target} with "
            f"{_a(metric)} of {metric.write(scores[first].value)}; of {probed.last} it is "
            f"{metric.write(end.value)} {whole}"
        )
    steps = _steps(metric, probed.chains, scores)
    if len(scores) > 2 and steps and max(steps.values()) > 0:
        sentence += f" The largest step is that of {max(steps, key=steps.__getitem__)}."
    return sentence


def _a(metric: Metric) -> str:
    return f"{'an' if metric.title[0].lower() in 'aeio' else 'a'} {metric.title}"


def _steps(
    metric: Metric, chains: list[list[str]], scores: dict[str, Estimate]
) -> dict[str, float]:
    """How much better each stage is than the one before it, where there is one."""
    sign = 1 if metric.higher_is_better else -1
    return {
        name: sign * (scores[name].value - scores[before].value)
        for chain in chains
        for before, name in pairwise(chain)
    }


def _depth_record(subject: Subject, metric: Metric, probed: Probed) -> Record:
    (first, start), last = probed.first, probed.last
    if len(probed.predictions) < 2:
        return not_applicable(IDS[1], GROUP, f"{_alone(subject)}: there is no depth to measure.")
    generator = subject.generator("depth", "gain")
    gain = metric.paired(probed.predictions[last], start, probed.targets, generator)
    gain = gain if metric.higher_is_better else gain.negated()
    grade: Grade = "good" if gain.low > 0 else "poor" if gain.high < 0 else "fair"
    meaning = {
        "good": "the stages between them bring out what the target needs",
        "fair": "that the stages between them bring out more of the target cannot be shown",
        "poor": "the stages between them lose what a linear model could have used",
    }[grade]
    lost = _lost(subject, metric, probed)
    if lost and grade == "good":
        grade = "fair"
    return Record(
        IDS[1],
        GROUP,
        sentence=(
            f"From {first} to {last} the {metric.title} of such a linear model changes by "
            f"{metric.write(gain.value, signed=True)} "
            f"({metric.between(gain, signed=True)}; more is better): {meaning}.{lost}"
        ),
        value=gain.value,
        interval=gain.interval,
        n=len(probed.targets),
        split="validation",
        method=(
            "probe on the last stage minus probe on the first, same examples; the best probe minus "
            f"the whole network likewise; {gain.method}"
        ),
        higher_is_better=True,
        grade=grade,
    )


def _alone(subject: Subject) -> str:
    """How one stage stands before the head."""
    (name, _), *others = looked_at(subject.model.network)
    if others:
        return f"Between {name} and the head nothing but pooling stands"
    return "The network has one stage before its head"


def _lost(subject: Subject, metric: Metric, probed: Probed) -> str:
    """What is to be said where a linear model of one stage is better than the whole network.

    Beyond the interval of their difference on the same examples; empty where it is not.
    """
    generator = subject.generator("depth", "lost")
    sign = 1 if metric.higher_is_better else -1
    scores = {
        name: metric.estimate(prediction, probed.targets, generator).value
        for name, prediction in probed.predictions.items()
    }
    best = max(scores, key=lambda name: sign * scores[name])
    ahead = metric.paired(probed.predictions[best], probed.own, probed.targets, generator)
    ahead = ahead if metric.higher_is_better else ahead.negated()
    if ahead.low <= 0:
        return ""
    last = best == probed.last
    return (
        f" A linear model of {best} is better than the whole network by "
        f"{metric.write(ahead.value, signed=True)} ({metric.between(ahead, signed=True)}): "
        f"{'the head loses' if last else 'the layers above lose'} what that stage knows. "
        f"Perhaps the {'head is' if last else 'layers above, the head among them, are'} "
        "undertrained, or the run was too short."
    )


def similarity(subject: Subject, said: dict[str, Array], chains: list[list[str]]) -> Record:
    """`features.similarity`: between all stages, from their outputs (n, f) for n examples."""
    names = [name for chain in chains for name in chain]
    if len(names) < 2:
        return not_applicable(IDS[2], GROUP, f"{_alone(subject)}: there is nothing to compare.")
    rows = [said[name][:COMPARED] for name in names]
    values = [[cka(one, other) for other in rows] for one in rows]
    steps = {
        (before, after): values[names.index(before)][names.index(after)]
        for chain in chains
        for before, after in pairwise(chain)
    }
    least = min(steps, key=steps.__getitem__, default=(names[0], names[-1]))
    value = values[names.index(least[0])][names.index(least[1])]
    ends = (
        ""
        if len(names) == 2 or len(chains) > 1
        else f"; from the first to the last it is {values[0][-1]:.2f}"
    )
    return Record(
        IDS[2],
        GROUP,
        sentence=(
            f"What the network makes of its examples changes most between {least[0]} and "
            f"{least[1]}: their similarity is {value:.2f}, where 1 is the same but for turning "
            f"and scaling{ends}."
        ),
        value=value,
        n=len(rows[0]),
        split="validation",
        method=(
            "linear CKA of the stages' outputs, pooled over places; stages that only pool are left "
            "out"
        ),
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
