"""How good is the network? Every metric on the untouched test split, with 95 % intervals."""

from __future__ import annotations

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import (
    Array,
    ClassPrediction,
    LabelsPrediction,
    NumberPrediction,
    Prediction,
)
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate, auc_parts
from fathom.evidence.measure import evidence
from fathom.evidence.metrics import metrics_of
from fathom.evidence.scores import Metric, scoring_seconds
from fathom.evidence.seen import nothing_unseen, seen
from fathom.evidence.subject import NETWORK, UNSEEN, Subject

# A grade looks at how much of the constant answer's shortfall from perfection the network removes,
# because 95 % right is poor where one class has 95 % of the rows. Half of it gone is a model that
# people act upon; under a tenth is hardly better than always giving the same answer.
GOOD_SKILL, FAIR_SKILL = 0.5, 0.1
LABELS = 60  # of a table, the most frequent: nobody reads on
POINTS = 400  # of a scatter figure: more only hide each other

SENTENCES = {
    "accuracy": "The network classified {value} of {examples} correctly ({between}).",
    "balanced_accuracy": "With every class counted alike, however rare, the network recognised "
    "{value} of its examples ({between}).",
    "macro_f1": "The F1 score, which asks both that what is said is right and that what is there "
    "is found, is {value} of 1 on average over the classes ({between}).",
    "roc_auc": "The ROC AUC is {value} ({between}): that often the network ranks an example of a "
    "class above an example of another (0.5 is a coin toss, 1 is without a fault).",
    "log_loss": "The log loss is {value} ({between}); it punishes confident mistakes most. 0 would "
    "be perfect, and probabilities spread evenly over the {classes} classes give {even}.",
    "exact_match": "The network got every label right for {value} of {examples} ({between}).",
    "multilabel.macro_f1": "The F1 score, which asks both that what is said is right and that what "
    "is there is found, is {value} of 1 on average over the labels ({between}).",
    "micro_f1": "Over all labels together the F1 score is {value} of 1 ({between}); frequent "
    "labels weigh most.",
    "macro_roc_auc": "The ROC AUC, averaged over the labels, is {value} ({between}): that often "
    "the network ranks an example that has a label above one that lacks it (0.5 is a coin toss, 1 "
    "is without a fault).",
    "micro_roc_auc": "Over all pairs of example and label together the ROC AUC is {value} "
    "({between}); knowing how frequent each label is already raises it above 0.5.",
    "hamming_loss": "{value} of all labels were told wrongly ({between}), those that hold and "
    "those that do not counted alike.",
    "multilabel.log_loss": "The log loss is {value} a label ({between}); it punishes confident "
    "mistakes most. 0 would be perfect, and one half for everything gives 0.693.",
    "rmse": "The network's predictions of {target} are off by {value} as a root mean square over "
    "{examples} ({between}); large mistakes weigh most.",
    "mae": "On average a prediction of {target} is off by {value} ({between}).",
    "r2": "The network explains {explained} of how {target} varies (R² {value}, {between}; 1 would "
    "be perfect, 0 is no better than always giving the mean).",
}


def _seconds(subject: Subject) -> float:
    models = [name for name in (NETWORK, "constant") if name in subject.models]
    return sum(model_seconds(subject, name) for name in models)


def model_seconds(subject: Subject, name: str, split: str = "test") -> float:
    """About how long predicting a split and scoring it will take."""
    scoring = scoring_seconds(subject.size(split), len(subject.schema.labels))
    return scoring + subject.prediction_seconds(name, split)


@evidence(
    "performance", "performance", ("performance.{metric}",), _seconds, weight=3.0, essential=True
)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`performance.METRIC` for each metric of the task; the first carries the figure.

    Where test examples stand in the training data too, `performance.METRIC.unseen` repeats it
    without them.
    """
    metrics = metrics_of(subject.task.name)
    records = [_record(subject, metric) for metric in metrics]
    again = metrics if seen(subject).known else ()
    return records + [_unseen_record(subject, metric) for metric in again]


def _record(subject: Subject, metric: Metric) -> Record:
    id, targets = f"performance.{metric.name}", subject.targets("test")
    reason = metric.undefined(targets)
    if reason:
        return not_applicable(id, "performance", reason)
    estimate = subject.estimate(metric, NETWORK, "test")
    first = metric.name == metrics_of(subject.task.name)[0].name
    return Record(
        id,
        "performance",
        sentence=_sentence(metric, estimate, subject),
        value=estimate.value,
        interval=estimate.interval,
        n=len(targets),
        split="test",
        method=estimate.method,
        higher_is_better=metric.higher_is_better,
        grade=grade(subject, metric, NETWORK),
        figure=figure_of(subject.predict(NETWORK, "test"), targets, subject) if first else None,
    )


def _unseen_record(subject: Subject, metric: Metric) -> Record:
    id, n = f"performance.{metric.name}.unseen", seen(subject).new
    reason = nothing_unseen(subject, metric)
    if reason:
        return not_applicable(id, "performance", reason)
    estimate = subject.estimate(metric, NETWORK, UNSEEN)
    return Record(
        id,
        "performance",
        sentence=(
            f"On {seen(subject).unseen} the network's "
            f"{metric.title} is {metric.write(estimate.value)} ({metric.between(estimate)})."
        ),
        value=estimate.value,
        interval=estimate.interval,
        n=n,
        split="test",
        method=f"without test rows whose inputs stand in the training data; {estimate.method}",
        higher_is_better=metric.higher_is_better,
        grade=grade(subject, metric, NETWORK, UNSEEN),
    )


def _sentence(metric: Metric, estimate: Estimate, subject: Subject) -> str:
    classes = len(subject.schema.labels)
    own = SENTENCES.get(f"{subject.task.name}.{metric.name}")
    return (own or SENTENCES[metric.name]).format(
        value=metric.write(estimate.value),
        between=metric.between(estimate),
        examples=seen(subject).examples,
        classes=classes,
        even=wording.number(float(np.log(max(classes, 2)))),
        target=subject.schema.target.name,
        explained=wording.percent(max(0.0, estimate.value)),
    )


def grade(subject: Subject, metric: Metric, name: str, split: str = "test") -> Grade:
    """How much better a model is than the constant answer: good, fair or poor.

    Unknown without a constant, and where no test example is unseen.
    """
    if "constant" not in subject.baselines or nothing_unseen(subject, metric):
        return "unknown"
    value = subject.estimate(metric, name, split).value
    base = subject.estimate(metric, "constant", split).value
    perfect = 1.0 if metric.higher_is_better else 0.0
    if base == perfect:
        return "unknown"
    skill = (value - base) / (perfect - base)
    return "good" if skill >= GOOD_SKILL else "fair" if skill >= FAIR_SKILL else "poor"


def figure_of(prediction: Prediction, targets: Array, subject: Subject) -> Figure:
    """A confusion matrix, a table of labels, or predicted against true values."""
    if isinstance(prediction, LabelsPrediction):
        return _label_table(prediction, targets)
    if isinstance(prediction, ClassPrediction):
        size = len(prediction.labels)
        pairs = np.asarray(targets) * size + prediction.codes
        counts = np.bincount(pairs, minlength=size * size).reshape(size, size)
        return Figure("confusion", {"labels": list(prediction.labels), "counts": counts.tolist()})
    assert isinstance(prediction, NumberPrediction)
    some = subject.generator("scatter").permutation(len(targets))[:POINTS]
    name = subject.schema.target.name
    data = {
        "x": np.asarray(targets, dtype=float)[some].tolist(),
        "y": prediction.values[some].tolist(),
        "x_label": f"true {name}",
        "y_label": f"predicted {name}",
        "diagonal": True,
    }
    return Figure("scatter", data)


def _label_table(prediction: LabelsPrediction, targets: Array) -> Figure:
    """Each label: how many have it, how many were said to, precision, recall, F1 and ROC AUC."""
    said, truth = prediction.holds, targets.astype(bool)
    rows = []
    for k in np.argsort(-truth.sum(axis=0), kind="stable")[:LABELS]:
        have, told = int(truth[:, k].sum()), int(said[:, k].sum())
        hits = int((said[:, k] & truth[:, k]).sum())
        shares = [(hits, told), (hits, have), (2 * hits, told + have)]
        cells = [f"{part / whole:.3f}" if whole else "-" for part, whole in shares]
        varied = 0 < have < len(truth)
        area = f"{auc_parts(prediction.probs[:, k], truth[:, k]).value:.3f}" if varied else "-"
        rows.append([prediction.labels[k], f"{have:,}", f"{told:,}", *cells, area])
    columns = ["label", "have it", "said", "precision", "recall", "F1", "ROC AUC"]
    return Figure("table", {"columns": columns, "rows": rows})
