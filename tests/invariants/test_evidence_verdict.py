"""The verdict, gains and gaps follow the models' real merits, whichever side they are on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from evidence_subjects import SPECS, fresh
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import ClassPrediction, NumberPrediction, Prediction
from fathom.core.record import Record
from fathom.evidence import EVIDENCE, Subject
from fathom.evidence.metrics import metric_named
from fathom.evidence.rivals import better_of
from fathom.evidence.scores import Metric
from fathom.evidence.training import judge, standard_error


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


def changed(subject: Subject, **changes: Any) -> Subject:
    """The subject with nothing computed yet, and some of its fields changed."""
    names = [f.name for f in dataclasses.fields(subject) if not f.name.startswith("_")]
    return Subject(**{**{name: getattr(subject, name) for name in names}, **changes})


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


def test_a_fall_within_the_noise_is_no_overfitting() -> None:
    scores = np.array([0.5, 0.7, 0.789, 0.78, 0.777])
    steps = np.arange(10, 60, 10)
    assert "overfitting" in judge(steps, scores, last=50, noise=0.005)[0]
    assert "settled" in judge(steps, scores, last=50, noise=0.044)[0]


@pytest.mark.parametrize("name", SPECS)
def test_the_noise_of_a_score_is_about_that_of_its_bootstrap(name: str) -> None:
    subject = fresh(name)
    metric = metric_named(subject.task.name, subject.task.primary)
    examples = subject.splits["validation"]
    prediction, generator = subject.network.predict(examples), np.random.default_rng(0)
    values = []
    for _ in range(300):
        rows = generator.integers(0, len(examples), len(examples))
        targets = examples.targets[rows]
        if not metric.undefined(targets):
            values.append(metric.estimate(prediction.take(rows), targets, generator).value)
    error = standard_error(metric.name, float(np.mean(values)), subject)
    # All right leaves no noise to see in a bootstrap.
    assert np.std(values) / 2 <= error < 6 * np.std(values) + 1e-3


@pytest.mark.parametrize("name", ["breast-cancer", "wine", "labels"])
def test_on_few_rows_the_curve_is_that_of_the_log_loss_it_was_chosen_by(name: str) -> None:
    subject = fresh(name)
    checks = [line for line in subject.log if line["kind"] == "validation"]
    record = records("training", subject)["training.validation"]
    assert "The log loss on validation was best" in record.sentence
    assert record.value == pytest.approx(min(line["log_loss"] for line in checks))
    assert record.higher_is_better is False
    assert record.figure.data["y_label"] == "log loss"
    assert min(record.figure.data["series"][0]["y"]) > 0
    surprise = -subject.predict_uncalibrated("validation").merit(subject.targets("validation"))
    error = standard_error("log_loss", record.value, subject)
    assert error == pytest.approx(surprise.std() / np.sqrt(len(surprise)))
    assert error > 0


def test_on_many_rows_the_curve_is_that_of_the_primary_metric() -> None:
    subject = fresh("breast-cancer")
    twice = subject.splits["validation"].take(np.arange(600) % len(subject.splits["validation"]))
    checks = [{**line, "score": line["roc_auc"]} for line in subject.log if "roc_auc" in line]
    many = changed(subject, splits={**subject.splits, "validation": twice}, log=checks)
    record = records("training", many)["training.validation"]
    assert "The ROC AUC on validation was best" in record.sentence


@pytest.mark.parametrize(
    ("bound_by", "word"), [("time", "--budget"), ("steps", "--steps"), ("data", "more data")]
)
def test_the_way_to_longer_training_is_the_one_that_is_open(bound_by: str, word: str) -> None:
    sentence, _ = judge(STEPS, STEPS / 200, last=200, bound_by=bound_by)
    assert word in sentence
    assert ("--budget" in sentence) == (bound_by == "time")


def verdict_of(network: Guesser, rival: Guesser, **changes: Any) -> Record:
    """The verdict on these two, with some of the subject's fields changed."""
    made = digits_of_three(network, rival)
    return records("comparison", changed(made, **changes))["verdict"]


def test_neither_better_than_a_constant_is_used() -> None:
    verdict = verdict_of(Guesser(0.3), Guesser(0.3, seed=3))
    assert verdict.value == "level"
    assert verdict.grade == "poor"
    assert "learned nothing" in verdict.sentence
    assert "--model baseline" not in verdict.sentence


def test_the_only_one_that_beats_a_constant_is_recommended() -> None:
    """Among draws of a few test rows one is looked for where the rival is level with both."""
    subject = digits_of_three(Guesser(0.42), Guesser(0.39, seed=1))
    metric = metric_named("classification", "accuracy")
    draws = (
        changed(subject, splits={**subject.splits, "test": part})
        for seed in range(200)
        for part in [subject.splits["test"].sample(300, np.random.default_rng(seed))]
    )
    few = next(draw for draw in draws if _sides(draw, metric) == (1, 0, 0))
    verdict = records("comparison", few)["verdict"]
    assert (verdict.value, verdict.grade) == ("network", "fair")
    assert "is not: the network's" in verdict.sentence
    swapped = changed(
        few, network=few.baselines["linear"], baselines={**few.baselines, "linear": few.network}
    )
    verdict = records("comparison", swapped)["verdict"]
    assert (verdict.value, verdict.grade) == ("baseline", "fair")
    assert "--model baseline" in verdict.sentence


def _sides(subject: Subject, metric: Metric) -> tuple[int, int, int]:
    """Network against constant, rival against constant, network against rival."""
    pairs = (("network", "constant"), ("linear", "constant"), ("network", "linear"))
    one, two, three = (better_of(subject, metric, *pair) for pair in pairs)
    return one, two, three


@dataclass
class Unfinished(Guesser):
    """A rival that the budget cut short."""

    settled: bool = False


def test_a_rival_that_was_cut_short_is_said_and_lowers_the_grade() -> None:
    verdict = verdict_of(Guesser(0.95), Unfinished(0.7, seed=1))
    assert (verdict.value, verdict.grade) == ("network", "fair")
    assert "The linear model had not finished within its share" in verdict.sentence
    assert "had not finished" not in verdict_of(Guesser(0.95), Guesser(0.7, seed=1)).sentence


def straddling(share: float, network: Guesser, rival: Guesser) -> Subject:
    """The first rows of the test split stand in the training data."""
    subject = digits_of_three(network, rival)
    known = round(share * len(subject.splits["test"]))
    return changed(subject, straddlers=np.arange(known))


def test_metrics_are_repeated_without_what_training_has_shown() -> None:
    plain = records("performance", digits_of_three(Guesser(0.9), Guesser(0.7)))
    subject = straddling(0.6, Guesser(0.9), Guesser(0.7, seed=1))
    found = {**records("performance", subject), **records("comparison", subject)}
    n, known = len(subject.splits["test"]), len(subject.straddlers)
    prediction = subject.predict("network", "test")
    right = (prediction.codes == subject.splits["test"].targets)[known:]
    for group in ("performance", "gain"):
        assert found[f"{group}.accuracy"].n == n
        assert found[f"{group}.accuracy.unseen"].n == n - known
    assert found["performance.accuracy"].value == plain["performance.accuracy"].value
    assert found["performance.accuracy.unseen"].value == pytest.approx(right.mean())
    assert found["verdict"].value == "network"
    for id in ("performance.accuracy", "verdict", "baseline.linear.accuracy"):
        assert "unseen" not in found[id].sentence
        assert f"{known:,} also stand in the training data" in found[id].sentence
    assert "unseen" in plain["performance.accuracy"].sentence
    assert "performance.accuracy.unseen" not in plain


def test_what_only_known_examples_show_is_no_verdict() -> None:
    rows = digits_of_three(Guesser(0.5), Guesser(0.5)).splits["test"].rows
    known = frozenset(rows[: round(0.6 * len(rows))].tolist())
    parrot = Memorizer(0.6, known=known)
    subject = straddling(0.6, parrot, Guesser(0.65, seed=1))
    found = records("comparison", subject)
    assert found["gain.accuracy"].value > 0.1
    assert found["verdict"].value == "level"
    gap = records("gap", subject)["gap.accuracy"]
    assert gap.n == len(rows) - len(known)


def test_with_nothing_unseen_no_judgement_is_made() -> None:
    subject = straddling(1.0, Guesser(0.95), Guesser(0.7, seed=1))
    found = {**records("comparison", subject), **records("performance", subject)}
    assert found["verdict"].value == "level"
    assert found["verdict"].grade == "unknown"
    assert found["verdict"].sentence.startswith("No judgement is possible.")
    assert "nothing unseen is left" in found["verdict"].sentence
    assert "nearly the same" not in found["verdict"].sentence
    close = changed(subject, near_straddlers=subject.straddlers[:7])
    verdict = records("comparison", close)["verdict"]
    assert "in the training data (7 of them nearly the same): nothing" in verdict.sentence
    assert found["performance.accuracy"].grade == "unknown"
    assert found["performance.accuracy.unseen"].status == "not_applicable"
    assert found["gain.accuracy.unseen"].status == "not_applicable"
    assert records("gap", subject)["gap.accuracy"].status == "not_applicable"
    for record in found.values():
        assert "unseen example" not in record.sentence


def with_third(third: Guesser) -> Record:
    """The verdict where a third model, which is not the best on validation, stands beside."""
    subject = digits_of_three(Guesser(0.97), Guesser(0.8, seed=1))
    with_it = {**subject.baselines, "picture_boosting": third}
    return records("comparison", changed(subject, baselines=with_it))["verdict"]


def test_what_is_clearly_behind_when_it_is_cut_short_is_not_doubted() -> None:
    behind = with_third(Unfinished(0.4, seed=2))
    assert (behind.value, behind.grade) == ("network", "good")
    assert "had not finished" not in behind.sentence


def test_what_is_close_to_the_best_when_it_is_cut_short_is_said() -> None:
    close = with_third(Unfinished(0.8, seed=2))
    assert (close.value, close.grade) == ("network", "fair")
    assert "Gradient boosting on picture features had not finished within its share" in (
        close.sentence
    )
