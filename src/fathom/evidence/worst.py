"""Where is it wrong? The most confident mistakes on test, as a person can look at them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array, LabelsPrediction, Prediction
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
    worst = prediction.worst_first(targets)
    shown = worst[: subject.sample_size("worst", SHOWN)]
    items = [_item(subject, prediction, int(position)) for position in shown]
    return [
        Record(
            "worst.examples",
            "worst",
            sentence=_sentence(subject, prediction, len(worst), len(items)),
            value=_value(prediction, targets, worst),
            unit="mistakes" if prediction.mistakes else "",
            n=len(targets),
            split="test",
            method=prediction.worst_order,
            figure=Figure("examples", {"items": items}) if items else None,
        )
    ]


def _value(prediction: Prediction, targets: Array, worst: Array) -> float:
    """How many are wrong; of numbers, how large the largest error is."""
    if prediction.mistakes:
        return float(len(worst))
    return float(np.sqrt(-prediction.merit(targets).min(initial=0.0)))


def _item(subject: Subject, prediction: Prediction, position: int) -> dict[str, Any]:
    examples, target = subject.examples("test"), subject.targets("test")[position]
    return {
        "image": picture_of(subject, examples, position),
        "row": row_of(subject, examples, position),
        "where": subject.locate(int(examples.rows[position])),
        "truth": _written(prediction.truth(target)),
        "said": _written(prediction.said(position)),
        "confidence": prediction.confidence(position),
    }


def _written(answer: str | float) -> str:
    return answer if isinstance(answer, str) else wording.number(answer)


def _sentence(subject: Subject, prediction: Prediction, wrong: int, shown: int) -> str:
    examples = seen(subject).examples
    if not prediction.mistakes:
        many = "largest error is" if shown == 1 else f"{shown} largest errors are"
        return (
            f"Of {examples} the {many} shown. Look here for wrong "
            "values in the data, and for what the inputs do not tell."
        )
    labels = isinstance(prediction, LabelsPrediction)
    if not wrong:
        what = "given a wrong label" if labels else "classified wrongly"
        return f"Not one of {examples} was {what}."
    were = "was" if wrong == 1 else "were"
    what = "given too many labels, or too few" if labels else "classified wrongly"
    return (
        f"{wrong:,} of {examples} {were} {what}; the "
        f"{shown} most confident of these mistakes are shown. Look here for wrong labels in the "
        "data, and for what the network cannot see."
    )
