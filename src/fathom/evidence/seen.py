"""Test examples that stand in the training data too: what is said of them, and without them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fathom.evidence import wording
from fathom.evidence.scores import Metric
from fathom.evidence.subject import UNSEEN, Subject


@dataclass(frozen=True)
class Seen:
    """How many of `n` test examples are `known` from the training data, `near` of them in nearly,
    not exactly, the same form.
    """

    n: int
    known: int
    near: int = 0

    @property
    def new(self) -> int:
        """How many stand in the test split alone."""
        return self.n - self.known

    @property
    def examples(self) -> str:
        """What a sentence calls the test examples; 'unseen' only where all of them are."""
        if not self.known:
            return wording.plural(self.n, "unseen example")
        return f"{wording.plural(self.n, 'test example')}, of which {self.also},"

    @property
    def unseen(self) -> str:
        """'the 195 test examples that do not stand in the training data'."""
        verb = "does" if self.new == 1 else "do"
        examples = wording.plural(self.new, "test example")
        return f"the {examples} that {verb} not stand in the training data"

    @property
    def also(self) -> str:
        """'405 also stand in the training data'."""
        who = "all" if not self.new else f"{self.known:,}"
        verb = "stands" if self.known == 1 else "stand"
        return f"{who} also {verb} in the training data{self.nearly}"

    @property
    def nearly(self) -> str:
        """' (24 of them nearly the same)', or nothing where all of them are exactly the same."""
        return f" ({self.near:,} of them nearly the same)" if self.near else ""


def seen(subject: Subject) -> Seen:
    """The test examples that evidence uses, and how many of them are no news to the models."""
    n = len(subject.targets("test"))
    if not len(subject.straddlers):
        return Seen(n, 0)
    near = subject.splits["test"].rows[subject.near_straddlers]
    in_use = np.isin(subject.examples("test").rows, near)
    return Seen(n, n - len(subject.targets(UNSEEN)), int(in_use.sum()))


def parts(subject: Subject) -> tuple[str, ...]:
    """By which examples models are judged: the test split, and what is unseen of it apart."""
    return ("test", UNSEEN) if seen(subject).known else ("test",)


def nothing_unseen(subject: Subject, metric: Metric) -> str:
    """Why `metric` says nothing about new data; empty where some of the test split is unseen."""
    counts = seen(subject)
    if not counts.known:
        return ""
    if not counts.new:
        return (
            f"All {wording.plural(counts.n, 'test example')} also stand in the training "
            f"data{counts.nearly}: nothing unseen is left, and figures on them say nothing about "
            "new data."
        )
    reason = metric.undefined(subject.targets(UNSEEN))
    if not reason:
        return ""
    return (
        f"Of {wording.plural(counts.n, 'test example')} {counts.also}, and the other "
        f"{counts.new:,} cannot judge a model by {metric.title}: {reason}"
    )
