"""How did learning go? The curves of the log, in bits for a byte of the validation text."""

from __future__ import annotations

from typing import Any

import numpy as np

from fathom.core.budget import Budget
from fathom.core.record import Record
from fathom.evidence import training
from fathom.evidence.language.estimates import BITS
from fathom.evidence.language.gap import once
from fathom.evidence.language.subject import LanguageSubject
from fathom.evidence.measure import evidence


def _seconds(subject: LanguageSubject) -> float:
    return 0.1


@evidence("training", "training", training.IDS, _seconds, weight=0.2)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """The curves of bits for a byte, loss, learning rate and gradient norm; and the events."""
    steps = [line for line in subject.log if line.get("kind") == "step"]
    checks = [line for line in subject.log if line.get("kind") == "validation"]
    events = [line for line in subject.log if line.get("kind") == "event"]
    records = [
        _validation(subject, checks, steps),
        training.loss_record(steps),
        training.learning_rate_record(steps),
        training.grad_norm_record(steps),
    ]
    return records + ([training.events_record(events)] if events else [])


def _validation(
    subject: LanguageSubject, checks: list[dict[str, Any]], lines: list[dict[str, Any]]
) -> Record:
    """How bits for a byte moved on validation, and when they were fewest."""
    at, bits = training.column(checks, BITS.name)
    if not len(bits):
        return training.missing("training.validation", "validation scores")
    last = max([int(at[-1]), *(int(line["step"]) for line in lines)])
    best = training.best_of(-bits)
    # All validations read the same text, so that what moves is the network and no chance in them.
    sentence, grade = training.judge(at, -bits, last, bound_by=subject.bound_by)
    return Record(
        "training.validation",
        "training",
        sentence=(
            f"On the validation text a byte took fewest bits at step {int(at[best]):,} of "
            f"{last:,}: {BITS.write(float(bits[best]))}. {sentence}{once(subject)}"
        ),
        value=float(np.min(bits)),
        n=len(bits),
        split="validation",
        method="the best of the validations in the log; its weights are the ones kept",
        higher_is_better=False,
        grade=grade,
        figure=training.curves([training.curve("validation", at, bits)], BITS.title),
    )
