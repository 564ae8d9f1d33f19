"""Where is it wrong? The most confident mistakes on test, as a person can look at them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array, ClassPrediction, Prediction
from fathom.core.record import Figure, Record
from fathom.evidence import wording
from fathom.evidence.drawing import picture_of, row_of
from fathom.evidence.measure import evidence
from fathom.evidence.seen import seen
from fathom.evidence.subject import NETWORK, Subject

SHOWN = 12


def _seconds(subject: Subject) -> float:
    return 0.2 + subject.prediction_seconds(NETWORK, "test")


@evidence("worst", "worst", ("worst.examples",), _seconds, weight=0.5)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`worst.examples`: confident mistakes, or the largest errors of a predicted number."""
    prediction, targets = subject.predict(NETWORK, "test"), subject.targets("test")
    worst = worst_first(prediction, targets)
    shown = worst[: subject.sample_size("worst", SHOWN)]
    items = [_item(subject, prediction, int(position)) for position in shown]
    return [
        Record(
            "worst.examples",
            "worst",
            sentence=_sentence(subject, prediction, len(worst), len(items)),
            value=_value(prediction, targets, worst),
            unit="mistakes" if isinstance(prediction, ClassPrediction) else "",
            n=len(targets),
            split="test",
            method=(
                "wrong answers by falling confidence"
                if isinstance(prediction, ClassPrediction)
                else "predictions by falling error"
            ),
            figure=Figure("examples", {"items": items}) if items else None,
        )
    ]


def worst_first(prediction: Prediction, targets: Array) -> Array:
    """Positions of the wrong answers, the most confident first; or of all numbers by error."""
    if isinstance(prediction, ClassPrediction):
        wrong = np.flatnonzero(prediction.codes != targets)
        confidence = prediction.probs.max(axis=1)[wrong]
        ordered: Array = wrong[np.argsort(-confidence, kind="stable")]
        return ordered
    by_error: Array = np.argsort(-np.abs(prediction.values - targets), kind="stable")
    return by_error


def _value(prediction: Prediction, targets: Array, worst: Array) -> float:
    """How many are wrong; of numbers, how large the largest error is."""
    if isinstance(prediction, ClassPrediction):
        return float(len(worst))
    return float(np.abs(prediction.values - targets).max(initial=0.0))


def _item(subject: Subject, prediction: Prediction, position: int) -> dict[str, Any]:
    examples, target = subject.examples("test"), subject.targets("test")[position]
    item: dict[str, Any] = {
        "image": picture_of(subject, examples, position),
        "row": row_of(subject, examples, position),
        "where": subject.locate(int(examples.rows[position])),
    }
    if isinstance(prediction, ClassPrediction):
        item["truth"] = prediction.labels[int(target)]
        item["said"] = prediction.names[position]
        item["confidence"] = float(prediction.probs[position].max())
    else:
        item["truth"] = wording.number(float(target))
        item["said"] = wording.number(float(prediction.values[position]))
        item["confidence"] = None
    return item


def _sentence(subject: Subject, prediction: Prediction, wrong: int, shown: int) -> str:
    examples = seen(subject).examples
    if not isinstance(prediction, ClassPrediction):
        many = "largest error is" if shown == 1 else f"{shown} largest errors are"
        return (
            f"Of {examples} the {many} shown. Look here for wrong "
            "values in the data, and for what the inputs do not tell."
        )
    if not wrong:
        return f"Not one of {examples} was classified wrongly."
    were = "was" if wrong == 1 else "were"
    return (
        f"{wrong:,} of {examples} {were} classified wrongly; the "
        f"{shown} most confident of these mistakes are shown. Look here for wrong labels in the "
        "data, and for what the network cannot see."
    )
