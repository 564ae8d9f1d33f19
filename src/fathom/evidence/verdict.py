"""The verdict: which model to use, in the one record that a hurried reader needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fathom.core.record import Grade, Record, not_applicable
from fathom.evidence.metrics import metric_named
from fathom.evidence.rivals import better_of, sentence_title, strength, title, unfinished
from fathom.evidence.scores import Metric
from fathom.evidence.seen import nothing_unseen, seen
from fathom.evidence.subject import NETWORK, UNSEEN, Subject

Value = Literal["network", "baseline", "level"]
Choice = tuple[Value, Grade, str]
"""The verdict's value, its grade and its sentence."""


def verdict(subject: Subject) -> Record:
    """`verdict`: network, baseline or level, by the primary metric on test."""
    metric = metric_named(subject.task.name, subject.task.primary)
    reason = metric.undefined(subject.targets("test"))
    if reason:
        return not_applicable("verdict", "verdict", reason)
    value, grade, sentence = _choice(_Case(subject, metric))
    method = subject.gain(metric, NETWORK, subject.best_baseline).method
    return Record(
        "verdict",
        "verdict",
        sentence=sentence,
        value=value,
        n=len(subject.targets("test")),
        split="test",
        method=(
            f"paired differences in {metric.title} from {subject.best_baseline}, which is the best "
            f"baseline on validation, and of both from the constant answer; {method}"
        ),
        grade=grade,
    )


@dataclass(frozen=True)
class _Case:
    subject: Subject
    metric: Metric

    @property
    def rival(self) -> str:
        return self.subject.best_baseline

    def learned(self) -> list[str]:
        """Which of network and best baseline are shown to be better than the constant answer.

        Both count as such where there is no constant answer to compare with.
        """
        models = [NETWORK] if self.rival == "constant" else [NETWORK, self.rival]
        if "constant" not in self.subject.baselines:
            return models
        return [m for m in models if better_of(self.subject, self.metric, m, "constant") > 0]

    def figures(self) -> str:
        """Both models' values on all test examples, and on the unseen ones with the gain."""
        said, counts = (
            self._values("test", f"the network's {self.metric.title}"),
            seen(self.subject),
        )
        if not counts.known:
            return f"{said} on {counts.examples} ({self._gain('test')})"
        return (
            f"{said} on {counts.examples.rstrip(',')}; on the other {counts.new:,} "
            f"{self._values(UNSEEN, 'it')} ({self._gain(UNSEEN)})"
        )

    def _values(self, split: str, what: str) -> str:
        ours, theirs = (
            self.metric.write(self.subject.estimate(self.metric, name, split).value)
            for name in (NETWORK, self.rival)
        )
        return f"{what} is {ours} against {theirs}"

    def _gain(self, split: str) -> str:
        """'gain +1.6 points, 95 % interval …'."""
        gain = self.subject.gain(self.metric, NETWORK, self.rival, split)
        value = self.metric.write(gain.value, signed=True)
        return f"gain {value}, {self.metric.between(gain, signed=True)}"


def _choice(case: _Case) -> Choice:
    reason = nothing_unseen(case.subject, case.metric)
    if reason:
        return "level", "unknown", _no_judgement(reason)
    learned = case.learned()
    value, grade, sentence = _learned_by(case, learned) if learned else _nothing_learned(case)
    cut = unfinished(case.subject, case.metric)
    if not cut:
        return value, grade, sentence
    return value, "fair" if grade == "good" else grade, f"{sentence} {_cut_short(cut)}"


def _cut_short(names: list[str]) -> str:
    """Which baselines that could be the best had not finished."""
    first, *others = names
    share = "its share" if not others else "their shares"
    named = " and ".join([sentence_title(first), *(title(name) for name in others)])
    return (
        f"{named} had not finished within {share} of the budget; a larger --budget may change this."
    )


def _no_judgement(reason: str) -> str:
    return (
        f"No judgement is possible. {reason} Give test rows that the training data does not hold, "
        "or none, to have some set aside."
    )


def _learned_by(case: _Case, learned: list[str]) -> Choice:
    """The verdict where at least one of the two beats the constant answer."""
    side = better_of(case.subject, case.metric, NETWORK, case.rival)
    if side == 0 and learned == [NETWORK]:
        return "network", "fair", _only_the_network(case)
    if side == 0 and learned == [case.rival]:
        return "baseline", "fair", _only_the_rival(case)
    if side > 0:
        return "network", "good", _use_the_network(case)
    return ("baseline", "fair", _worse(case)) if side < 0 else ("level", "fair", _level(case))


def _nothing_learned(case: _Case) -> Choice:
    """Neither beats the constant answer; where that is the rival, it may even be the better."""
    alone = case.rival == "constant"
    side = better_of(case.subject, case.metric, NETWORK, case.rival)
    constant = case.subject.estimate(case.metric, "constant", "test").value
    opening = (
        "The network has learned nothing that test data could show, and no traditional method was "
        "better than always giving the same answer"
        if alone
        else f"The network and {title(case.rival)} have learned nothing that test data could show: "
        f"neither is shown to be better than always giving the same answer, which reaches "
        f"{case.metric.write(constant)}"
    )
    sentence = (
        f"{opening}; {case.figures()}. Use {'none of them' if alone else 'neither'}: these inputs "
        "may not hold the answer, or there are too few examples."
    )
    return "baseline" if alone and side < 0 else "level", "poor", sentence


def _use_the_network(case: _Case) -> str:
    return (
        f"Use the network. It is better than {title(case.rival)}, the best traditional method: "
        f"{case.figures()}."
    )


def _only_the_network(case: _Case) -> str:
    return (
        "Use the network. It is shown to be better than always giving the same answer, and "
        f"{title(case.rival)}, the best traditional method, is not: {case.figures()}."
    )


def _only_the_rival(case: _Case) -> str:
    return (
        "Do not use the network. It is not shown to be better than always giving the same answer, "
        f"and {title(case.rival)} is: {case.figures()}. {_recommended(case, 'the better choice')}"
    )


def _worse(case: _Case) -> str:
    return (
        f"Do not use the network. It is worse than {title(case.rival)}: {case.figures()}. "
        f"{_recommended(case, 'the better choice')}"
    )


def _level(case: _Case) -> str:
    apart = "which is too little to tell them apart"
    if seen(case.subject).known:
        apart = "and the two together tell too little to choose by"
    return (
        f"The network and {title(case.rival)} are level: {case.figures()}, {apart}. "
        f"{_recommended(case, 'then the better choice')}"
    )


def _recommended(case: _Case, choice: str) -> str:
    return (
        f"{sentence_title(case.rival)} is {choice}, {strength(case.rival)}: use it with "
        "--model baseline."
    )
