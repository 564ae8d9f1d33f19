"""Measure: one kind of evidence, with what it costs; and the registry of them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from fathom.core.budget import Budget, format_duration
from fathom.core.record import Record, skipped
from fathom.core.registry import Registry
from fathom.evidence.metrics import metrics_of

Run = Callable[[Any, Budget], list[Record]]
"""`measure(subject, budget)` of a Subject, or of a LanguageSubject."""

Estimate = Callable[[Any], float]


class Named(Protocol):
    """A task, as far as it matters here."""

    @property
    def name(self) -> str:
        """What the task is called."""


class AnySubject(Protocol):
    """A Subject, a LanguageSubject: `reader` is the name of the evidence that measures now."""

    reader: str

    @property
    def task(self) -> Named:
        """What was to be learned."""


GRACE = 5.0  # seconds; a run that says nothing of its network is worse than one that ends late


@dataclass(frozen=True)
class Measure:
    """`run` measures, `seconds` foresees its cost, `ids` names its main records.

    In an id `{metric}` stands for each metric of the task. `group` is the part of the report,
    empty where an id begins with it; `weight` the share of the evidence's time that it may claim
    where there is too little for all. What is `essential` may end a few seconds late.
    """

    name: str
    group: str
    ids: tuple[str, ...]
    run: Run
    seconds: Estimate
    weight: float = 1.0
    essential: bool = False

    def measure(self, subject: AnySubject, budget: Budget) -> list[Record]:
        """The records; `skipped` ones where the budget is spent or will not suffice."""
        subject.reader = self.name
        reason = self._too_little(subject, budget)
        return self.skip(subject, reason) if reason else self.run(subject, budget)

    def skip(self, subject: AnySubject, reason: str) -> list[Record]:
        """A skipped record for each of the main ids, for one reason."""
        names = [metric.name for metric in metrics_of(subject.task.name)] or [""]
        ids = dict.fromkeys(id.format(metric=name) for id in self.ids for name in names)
        return [skipped(id, self.group or id.split(".")[0], reason) for id in ids]

    def _too_little(self, subject: AnySubject, budget: Budget) -> str:
        """Why there is not time enough, or an empty string where there is."""
        way_out = "Give a larger --budget to have it measured."
        left = max(0.0, budget.remaining)
        if self.essential and self.seconds(subject) <= left + GRACE:
            return ""
        if budget.exhausted:
            return f"The time for evidence was spent before {self.name} was measured. {way_out}"
        needed = self.seconds(subject)
        if needed <= left:
            return ""
        return (
            f"Measuring {self.name} would take about {format_duration(needed)}, and "
            f"{format_duration(left)} were left for it. {way_out}"
        )


EVIDENCE: Registry[Measure] = Registry("kind of evidence")


def evidence(
    name: str,
    group: str,
    ids: tuple[str, ...],
    seconds: Estimate,
    weight: float = 1.0,
    *,
    essential: bool = False,
) -> Callable[[Run], Measure]:
    """Decorator that makes a measuring function a Measure; `evidence/__init__` registers it."""

    def make(run: Run) -> Measure:
        return Measure(name, group, ids, run, seconds, weight, essential)

    return make
