"""Values against scikit-learn, DeLong against its definition, bootstraps against resampled rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import bootstrap
from sklearn.metrics import f1_score, recall_score, roc_auc_score
from torch.utils.flop_counter import FlopCounterMode

from evidence_subjects import fresh
from fathom.core.output import OutputSpec
from fathom.core.prediction import ClassPrediction, NumberPrediction
from fathom.evidence.flops import count_flops
from fathom.evidence.instruments import batch_of, copied_network
from fathom.evidence.intervals import (
    Z,
    auc_interval,
    auc_parts,
    auc_variance,
    bootstrap_rows,
    class_weights,
    difference,
    paired_shares,
    wilson,
)
from fathom.evidence.metrics import metric_named, metrics_of
from fathom.tasks import build_task


def said(n: int, classes: int, seed: int) -> tuple[ClassPrediction, np.ndarray]:
    """Noisy probabilities and their targets; class 0 twice as frequent."""
    generator = np.random.default_rng(seed)
    targets = np.maximum(generator.integers(-1, classes, n), 0)
    logits = generator.normal(size=(n, classes)).round(1)  # rounded, so that there are ties
    logits[np.arange(n), targets] += 1.0
    labels = tuple(map(str, range(classes)))
    return ClassPrediction(labels, softmax(logits, axis=1)), targets


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("n", [40, 300])
def test_class_metrics_are_those_of_the_task(classes: int, n: int) -> None:
    prediction, targets = said(n, classes, seed=classes)
    task = build_task("classification", OutputSpec("classes", prediction.labels))
    expected = task.metrics(prediction, targets)
    generator = np.random.default_rng(0)
    ours = {m.name: m.estimate(prediction, targets, generator) for m in metrics_of(task.name)}
    assert {name: e.value for name, e in ours.items()} == pytest.approx(expected, abs=1e-9)
    assert all(e.low <= e.value <= e.high for e in ours.values())


def test_a_class_that_is_never_there_nor_said_counts_as_in_the_task() -> None:
    prediction, targets = said(60, 3, seed=1)
    probs = np.column_stack([prediction.probs * 0.9, np.full((60, 2), 0.05)])
    wider = ClassPrediction(("a", "b", "c", "d", "e"), probs)
    task = build_task("classification", OutputSpec("classes", wider.labels))
    generator = np.random.default_rng(0)
    ours = {m.name: m.estimate(wider, targets, generator).value for m in metrics_of(task.name)}
    assert ours == pytest.approx(task.metrics(wider, targets), abs=1e-9)


@pytest.mark.parametrize("n", [30, 25_000])
def test_number_metrics_are_those_of_the_task(n: int) -> None:
    generator = np.random.default_rng(0)
    targets = 1e4 + generator.normal(size=n)
    prediction = NumberPrediction(targets + generator.normal(size=n))
    task = build_task("regression", OutputSpec("number", center=1e4))
    ours = {m.name: m.estimate(prediction, targets, generator).value for m in metrics_of(task.name)}
    assert ours == pytest.approx(task.metrics(prediction, targets), rel=1e-9)


def test_wilson_is_its_formula() -> None:
    share, n = 7 / 9, 9
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    spread = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    assert wilson(7, 9).interval == pytest.approx((middle - spread, middle + spread))


def direct_delong(scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """DeLong's covariance matrix of several areas, straight from its definition, O(m n)."""
    across, down = [], []
    for score in scores:
        x, y = score[positive][:, None], score[~positive][None, :]
        wins = (x > y) + 0.5 * (x == y)
        across.append(wins.mean(axis=1))
        down.append(wins.mean(axis=0))
    m, n = positive.sum(), (~positive).sum()
    return np.cov(across) / m + np.cov(down) / n


def test_delong_is_its_definition_with_ties_and_paired() -> None:
    first, targets = said(90, 2, seed=3)
    second, _ = said(90, 2, seed=4)
    second = ClassPrediction(first.labels, 0.5 * first.probs + 0.5 * second.probs.round(2))
    scores = np.stack([first.probs[:, 1], second.probs[:, 1]])
    positive = targets == 1
    parts = [auc_parts(score, positive) for score in scores]
    for part, score in zip(parts, scores, strict=True):
        assert part.value == pytest.approx(roc_auc_score(positive, score))
        assert part.influence.mean() == pytest.approx(0, abs=1e-12)
    covariance = direct_delong(scores, positive)
    weights = class_weights(targets)
    assert auc_variance(parts[0].influence, weights) == pytest.approx(covariance[0, 0])
    between = auc_variance(parts[0].influence - parts[1].influence, weights)
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert between == pytest.approx(expected)
    paired = metric_named("classification", "roc_auc").paired(
        first, second, targets, np.random.default_rng(0)
    )
    assert paired.high - paired.low == pytest.approx(2 * Z * np.sqrt(expected))


def test_perfect_separation_does_not_claim_certainty() -> None:
    for n in (5, 50):
        estimate = auc_interval(1.0, 0.0, n, n)
        # A share with n of n successes is the nearest thing known: Wilson's lower end.
        assert estimate.high == 1.0
        assert 0.5 < estimate.low < 1.0
    assert auc_interval(1.0, 0.0, 50, 50).low > auc_interval(1.0, 0.0, 5, 5).low
    assert auc_interval(0.0, 0.0, 5, 5).low == 0.0


@pytest.mark.parametrize(
    ("name", "average"),
    [
        ("balanced_accuracy", lambda truth, codes: recall_score(truth, codes, average="macro")),
        ("macro_f1", lambda truth, codes: f1_score(truth, codes, average="macro")),
    ],
)
def test_resampled_counts_are_resampled_rows(
    name: str, average: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    prediction, targets = said(150, 3, seed=5)
    generator = np.random.default_rng(0)
    rows = [generator.integers(0, 150, 150) for _ in range(400)]
    draws = [average(targets[r], prediction.codes[r]) for r in rows]
    metric = metric_named("classification", name)
    ours = metric.estimate(prediction, targets, np.random.default_rng(1)).interval
    assert ours == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.02)


def test_bootstrap_of_rows_is_that_of_scipy() -> None:
    errors = np.random.default_rng(0).gamma(2.0, size=80)
    ours = bootstrap_rows(errors[:, None], lambda m: m[..., 0], np.random.default_rng(1))
    theirs = bootstrap(
        (errors,), np.mean, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    assert ours.interval == pytest.approx((theirs.low, theirs.high), abs=0.04)


def test_the_delta_method_takes_over_smoothly(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    targets = generator.normal(size=2_000)
    prediction = NumberPrediction(targets + generator.normal(size=2_000))
    for metric in metrics_of("regression"):
        resampled = metric.estimate(prediction, targets, generator)
        monkeypatch.setattr("fathom.evidence.intervals.ROWS", 100)
        derived = metric.estimate(prediction, targets, generator)
        monkeypatch.undo()
        width = resampled.high - resampled.low
        assert derived.interval == pytest.approx(resampled.interval, abs=0.1 * width)
        assert "delta" in derived.method


def test_paired_shares_by_hand() -> None:
    first = np.array([True] * 60 + [True] * 9 + [False] * 3 + [False] * 28)
    second = np.array([True] * 60 + [False] * 9 + [True] * 3 + [False] * 28)
    estimate = paired_shares(first, second)
    spread = Z * np.sqrt(9.5 + 3.5 - 36 / 102) / 102
    assert estimate.value == pytest.approx(0.06)
    assert estimate.interval == pytest.approx((6 / 102 - spread, 6 / 102 + spread))


def test_two_that_agree_everywhere_are_not_surely_equal() -> None:
    same = np.ones(20, dtype=bool)
    assert paired_shares(same, same).low < 0 < paired_shares(same, same).high


def test_difference_of_symmetric_intervals_adds_their_squares() -> None:
    first, second = wilson(50, 100), wilson(50, 100)
    apart = difference(first, second)
    assert apart.value == 0
    assert apart.high == pytest.approx(np.sqrt(2) * (first.high - first.value))


@pytest.mark.parametrize("name", ["breast-cancer", "digits"])
def test_flops_are_those_that_torch_counts(name: str) -> None:
    subject = fresh(name)
    network = copied_network(subject)
    inputs = batch_of(subject, subject.examples("validation").take(np.arange(3))).inputs
    with FlopCounterMode(display=False) as counter:
        network(inputs)
    flops, uncounted = count_flops(network, inputs)
    assert flops == counter.get_total_flops() > 0
    assert uncounted == []
