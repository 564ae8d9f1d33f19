"""The verdict on a network of language: whether to use it, or the simpler method."""

from __future__ import annotations

from dataclasses import dataclass

from fathom.core.record import Record
from fathom.evidence.language.estimates import BITS
from fathom.evidence.language.subject import FREQUENCIES, NETWORK, XZ, LanguageSubject
from fathom.evidence.rivals import sentence_title, settled, side_of, strength, title
from fathom.evidence.verdict import Choice


def verdict(subject: LanguageSubject) -> Record:
    """`verdict`: network, baseline or level, by bits for a byte on test."""
    case = _Case(subject)
    value, grade, sentence = _choice(case)
    return Record(
        "verdict",
        "verdict",
        sentence=sentence,
        value=value,
        n=subject.documents("test").predicted,
        split="test",
        method=(
            f"paired differences in {BITS.title} from {case.rival}, which is the best baseline on "
            "validation, and of both from token frequencies; "
            f"{subject.gain(BITS, NETWORK, case.rival).method}"
        ),
        grade=grade,
    )


@dataclass(frozen=True)
class _Case:
    subject: LanguageSubject

    @property
    def rival(self) -> str:
        return self.subject.best_baseline

    @property
    def side(self) -> int:
        """1 where the network is shown to be better than the rival, -1 where worse, else 0."""
        return side_of(self.subject.gain(BITS, NETWORK, self.rival))

    def learned(self) -> list[str]:
        """Which of network and rival are shown to be better than token frequencies."""
        models = (NETWORK, self.rival)
        return [m for m in models if side_of(self.subject.gain(BITS, m, FREQUENCIES)) > 0]

    def figures(self) -> str:
        """Both models' values, and the gain."""
        ours, theirs = (
            BITS.write(self.subject.estimate(BITS, name).value) for name in (NETWORK, self.rival)
        )
        gain = self.subject.gain(BITS, NETWORK, self.rival)
        return (
            f"it needs {ours} bits for a byte of unseen text against {theirs} "
            f"(gain {BITS.write(gain.value, signed=True)}, {BITS.between(gain, signed=True)})"
        )


def _choice(case: _Case) -> Choice:
    learned = case.learned()
    value, grade, sentence = _learned_by(case, learned) if learned else _nothing_learned(case)
    rival = case.subject.baselines.get(case.rival)
    if rival is None or settled(rival):
        return value, grade, sentence
    cut = f"{sentence_title(case.rival)} had not finished within its share of the budget; "
    sentence = f"{sentence} {cut}a larger --budget may change this."
    return value, "fair" if grade == "good" else grade, sentence


def _learned_by(case: _Case, learned: list[str]) -> Choice:
    """The verdict where at least one of the two beats token frequencies."""
    if case.side == 0 and learned == [NETWORK]:
        return "network", "fair", _only_the_network(case)
    if case.side == 0 and learned == [case.rival]:
        return "baseline", "fair", _only_the_rival(case)
    if case.side > 0:
        return "network", "good", _use_the_network(case)
    return ("baseline", "fair", _worse(case)) if case.side < 0 else ("level", "fair", _level(case))


def _nothing_learned(case: _Case) -> Choice:
    taken = BITS.write(case.subject.estimate(BITS, FREQUENCIES).value)
    return (
        "level",
        "poor",
        f"The network and {title(case.rival)} have learned nothing that unseen text could show: "
        f"neither is shown to be better than {title(FREQUENCIES)}, which takes {taken} bits for a "
        f"byte; of the network, {case.figures()}. Use neither: these texts may follow no rule that "
        "can be learned, or there are too few of them.",
    )


def _use_the_network(case: _Case) -> str:
    return (
        f"Use the network. It predicts text better than {title(case.rival)}, the best traditional "
        f"method: {case.figures()}."
    )


def _only_the_network(case: _Case) -> str:
    return (
        f"Use the network. It is shown to be better than {title(FREQUENCIES)}, and "
        f"{title(case.rival)}, the best traditional method, is not: {case.figures()}."
    )


def _only_the_rival(case: _Case) -> str:
    return (
        f"Do not use the network. It is not shown to be better than {title(FREQUENCIES)}, and "
        f"{title(case.rival)} is: {case.figures()}. {_recommended(case, 'the better choice')}"
    )


def _worse(case: _Case) -> str:
    return (
        f"Do not use the network. It predicts text worse than {title(case.rival)}: "
        f"{case.figures()}. {_recommended(case, 'the better choice')}"
    )


def _level(case: _Case) -> str:
    return (
        f"The network and {title(case.rival)} are level. Of the network, {case.figures()}, which "
        f"is too little to tell them apart. {_recommended(case, 'then the better choice')}"
    )


def _recommended(case: _Case, choice: str) -> str:
    if case.rival == XZ:
        return (
            f"{sentence_title(XZ)} is {choice} for making texts small, {strength(XZ)}; it cannot "
            "write or judge single tokens, for which there is nothing better here."
        )
    return (
        f"{sentence_title(case.rival)} is {choice}, {strength(case.rival)}; the bundle holds it "
        "beside the network."
    )
