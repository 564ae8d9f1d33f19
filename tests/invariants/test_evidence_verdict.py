"""The verdict, gains and gaps follow the models' real merits, whichever side they are on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from evidence_subjects import fresh
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import ClassPrediction, NumberPrediction, Prediction
from fathom.core.record import Record
from fathom.evidence import EVIDENCE, Subject
from fathom.evidence.scores import metric_named
from fathom.evidence.training import judge


@dataclass
class Guesser:
    """Right with a given probability, the same on every call; stands in for any model."""

    rightness: float
    name: str = "network"
    labels: tuple[str, ...] = ("a", "b", "c")
    seed: int = 0
    calls: list[int] = field(default_factory=list)

    def predict(self, examples: Examples) -> Prediction:
        generator = np.random.default_rng(self.seed)
        draws = generator.random((10_000, 2))[examples.rows]
        assert examples.targets is not None
        if not self.labels:
            return NumberPrediction(examples.targets + (1 - self.rightness) * (draws[:, 0] - 0.5))
        wrong = (examples.targets + 1 + (draws[:, 1] > 0.5)) % 3
        codes = np.where(draws[:, 0] < self.rightness, examples.targets, wrong)
        return ClassPrediction(self.labels, 0.85 * np.eye(3)[codes] + 0.05)


def digits_of_three(network: Guesser, rival: Guesser, best: str = "linear") -> Subject:
    """The digits subject with its targets folded to three classes and stand-ins for models."""
    subject = fresh("digits")
    splits = {
        name: Examples(part.inputs, part.targets % 3, part.rows)
        for name, part in subject.splits.items()
    }
    baselines = {"constant": Guesser(1 / 3, seed=9), best: rival}
    return fresh("digits", network=network, baselines=baselines, best_baseline=best, splits=splits)


def records(kind: str, subject: Subject) -> dict[str, Record]:
    return {record.id: record for record in EVIDENCE[kind].measure(subject, Budget(60))}


@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [(0.95, 0.7, "network"), (0.7, 0.95, "baseline"), (0.9, 0.9, "level")],
)
def test_the_better_model_wins(ours: float, theirs: float, verdict: str) -> None:
    found = records("comparison", digits_of_three(Guesser(ours), Guesser(theirs, seed=1)))
    assert found["verdict"].value == verdict
    assert ("--model baseline" in found["verdict"].sentence) == (verdict != "network")
    gain = found["gain.accuracy"]
    assert gain.value == pytest.approx(
        records("performance", digits_of_three(Guesser(ours), Guesser(theirs)))[
            "performance.accuracy"
        ].value
        - found["baseline.linear.accuracy"].value
    )
    assert gain.figure is not None
    assert gain.figure.data["labels"] == ["network", "constant", "linear"]


def test_swapping_the_models_turns_every_gain_round() -> None:
    one = records("comparison", digits_of_three(Guesser(0.9), Guesser(0.8, seed=1)))
    two = records("comparison", digits_of_three(Guesser(0.8, seed=1), Guesser(0.9)))
    for id in (id for id in one if id.startswith("gain.")):
        assert one[id].value == pytest.approx(-two[id].value)
        low, high = two[id].interval
        width = high - low
        assert one[id].interval == pytest.approx((-high, -low), abs=0.1 * width)


def test_gain_is_positive_where_a_smaller_loss_is_better() -> None:
    found = records("comparison", digits_of_three(Guesser(0.95), Guesser(0.6, seed=1)))
    assert found["gain.log_loss"].value > 0
    assert found["gain.log_loss"].grade == "good"


def test_no_better_than_a_constant_has_learned_nothing() -> None:
    subject = digits_of_three(Guesser(0.33), Guesser(0.34, seed=9), best="constant")
    verdict = records("comparison", subject)["verdict"]
    assert verdict.value == "level"
    assert verdict.grade == "poor"
    assert "learned nothing" in verdict.sentence


def test_worse_than_a_constant_is_said_too() -> None:
    subject = digits_of_three(Guesser(0.05), Guesser(0.4, seed=9), best="constant")
    verdict = records("comparison", subject)["verdict"]
    assert verdict.value == "baseline"
    assert "learned nothing" in verdict.sentence


def test_regression_verdict_prefers_the_smaller_error() -> None:
    subject = fresh(
        "diabetes",
        network=Guesser(0.9, labels=()),
        baselines={"linear": Guesser(0.1, labels=(), seed=1)},
        best_baseline="linear",
    )
    found = records("comparison", subject)
    assert found["verdict"].value == "network"
    assert found["gain.rmse"].value > 0
    assert found["gain.mae"].value > 0
    assert found["gain.r2"].value > 0


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "log_loss"])
def test_the_gain_interval_covers_what_it_should(name: str) -> None:
    """Of many equally good pairs about one in twenty may be told apart, and hardly more."""
    metric, test = metric_named("classification", name), fresh("digits").splits["test"]
    test = Examples(test.inputs, test.targets % 3, test.rows)
    apart = 0
    for seed in range(150):
        first, second = Guesser(0.8, seed=seed), Guesser(0.8, seed=1000 + seed)
        gain = metric.paired(
            first.predict(test), second.predict(test), test.targets, np.random.default_rng(seed)
        )
        apart += not gain.low <= 0 <= gain.high
    assert 1 <= apart <= 16


@dataclass
class Memorizer(Guesser):
    """Knows the rows below a number by heart."""

    known: frozenset[int] = frozenset()

    def predict(self, examples: Examples) -> Prediction:
        prediction = Guesser.predict(self, examples)
        assert isinstance(prediction, ClassPrediction)
        assert examples.targets is not None
        known = np.isin(examples.rows, list(self.known))
        truth = 0.85 * np.eye(3)[examples.targets] + 0.05
        return ClassPrediction(self.labels, np.where(known[:, None], truth, prediction.probs))


def test_knowing_by_heart_is_called_overfitting() -> None:
    rows = frozenset(fresh("digits").splits["train"].rows.tolist())
    learner, parrot = Guesser(0.9), Memorizer(0.5, known=rows)
    fair = records("gap", digits_of_three(learner, Guesser(0.8)))["gap.accuracy"]
    poor = records("gap", digits_of_three(parrot, Guesser(0.8)))["gap.accuracy"]
    assert fair.grade == "good"
    assert poor.grade == "poor"
    assert poor.value == pytest.approx(0.5, abs=0.1)
    assert "overfitting" in poor.sentence
    assert "no overfitting" in fair.sentence or "a little" in fair.sentence


STEPS = np.arange(10, 210, 10)


@pytest.mark.parametrize(
    ("scores", "word"),
    [
        (1 - np.exp(-STEPS / 20), "settled"),
        (STEPS / 200, "still improving"),
        (1 - ((STEPS - 80) / 100) ** 2, "overfitting"),
        (-STEPS / 200, "never improved"),
        (1 - np.exp(-STEPS[:2] / 20), "too few"),
    ],
)
def test_curves_are_read_rightly(scores: np.ndarray, word: str) -> None:
    sentence, _ = judge(STEPS[: len(scores)], scores, last=200)
    assert word in sentence
