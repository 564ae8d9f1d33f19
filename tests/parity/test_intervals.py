"""Values against scikit-learn, DeLong against its definition, bootstraps against resampled rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binomtest, bootstrap
from sklearn.metrics import f1_score, recall_score, roc_auc_score
from torch.utils.flop_counter import FlopCounterMode

from evidence_subjects import fresh
from fathom.core.output import OutputSpec
from fathom.core.prediction import ClassPrediction, LabelsPrediction, NumberPrediction
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
    share_unseen,
    shares_unseen,
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


def perfect(counts: list[int]) -> tuple[ClassPrediction, np.ndarray]:
    """Every row told rightly, so many of each class."""
    targets = np.repeat(np.arange(len(counts)), counts)
    return ClassPrediction(tuple("abcdef"[: len(counts)]), np.eye(len(counts))[targets]), targets


@pytest.mark.parametrize("counts", [[25, 25], [45, 5], [20, 10, 3, 1]])
def test_a_perfect_figure_leaves_open_what_its_rows_do_not_show(counts: list[int]) -> None:
    prediction, targets = perfect(counts)
    generator = np.random.default_rng(0)
    for name in ("balanced_accuracy", "macro_f1", "roc_auc"):
        metric = metric_named("classification", name)
        found = metric.estimate(prediction, targets, generator)
        gain = metric.paired(prediction, prediction, targets, generator)
        assert found.value == found.high == 1.0
        assert found.low < 0.99
        assert gain.value == 0.0
        assert gain.low < -0.01 < 0.01 < gain.high


def test_the_bound_of_one_class_is_clopper_and_pearsons() -> None:
    low = binomtest(50, 50).proportion_ci(0.95, "exact").low
    assert 1 - share_unseen(50) == pytest.approx(low)
    assert 1 - shares_unseen(np.array([0, 50]))[-1, 1] == pytest.approx(low)


def test_the_widest_shares_are_as_likely_as_they_may_be_and_no_others_cost_more() -> None:
    counts = np.array([40, 3, 7, 0])
    widest = shares_unseen(counts)[-1]
    assert np.sum(counts * np.log1p(-widest)) == pytest.approx(np.log(0.025))
    logs = np.random.default_rng(0).dirichlet(np.ones(3), 20_000) * np.log(0.025)
    others = 1 - np.exp(logs / counts[:3])
    assert others.sum(axis=1).max() <= widest.sum() + 1e-9
    assert others.sum(axis=1).max() > widest.sum() - 0.02


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.6, 0.3, 0.1)])
@pytest.mark.parametrize("worst", [0.03, 0.07, 0.2, 0.5])
def test_a_perfect_figure_seldom_hides_a_worse_truth(shares: tuple[float], worst: float) -> None:
    """Of samples of 50 rows, those that are perfect and whose interval misses the truth."""
    generator, size = np.random.default_rng(1), len(shares)
    metric, misses, zero_width, draws = (
        metric_named("classification", "balanced_accuracy"),
        0,
        0,
        400,
    )
    for _ in range(draws):
        targets = generator.choice(size, 50, p=shares)
        wrong = (generator.random(50) < worst) & (targets == size - 1)
        if wrong.any() or len(np.unique(targets)) < size:
            continue
        prediction = ClassPrediction(tuple("abc"[:size]), np.eye(size)[targets])
        low = float(metric.reach(prediction, targets).min())
        misses += 1 - worst / size < low
        zero_width += 1
    assert misses / draws <= 0.035, (misses, zero_width)
    if worst == 0.03:
        assert zero_width / draws > 0.2  # so often an interval of no width would have missed


def test_labels_and_gains_of_no_spread_stay_open() -> None:
    generator = np.random.default_rng(0)
    targets = (generator.random((50, 4)) < 0.4).astype(np.int64)
    right = LabelsPrediction(tuple("abcd"), targets.astype(float))
    flawed = right.with_raw(np.where(np.arange(50)[:, None] < 5, 1.0 - targets, targets))
    for name, best in (("macro_f1", 1), ("micro_f1", 1), ("hamming_loss", 0), ("macro_roc_auc", 1)):
        metric = metric_named("multilabel", name)
        found = metric.estimate(right, targets, generator)
        assert found.value == best
        assert found.high - found.low > 0.01
        for same in (right, flawed):
            if same is right or "auc" not in name:
                gain = metric.paired(same, same, targets, generator)
                assert gain.low < -0.01 < 0.01 < gain.high
    hamming = metric_named("multilabel", "hamming_loss").estimate(right, targets, generator)
    assert hamming.high == pytest.approx(share_unseen(50))


def test_a_perfect_area_over_ten_classes_is_no_certainty() -> None:
    targets = np.tile(np.arange(10), 5)
    prediction = ClassPrediction(tuple("abcdefghij"), np.eye(10)[targets])
    area = metric_named("classification", "roc_auc").estimate(
        prediction, targets, np.random.default_rng(0)
    )
    assert area.value == 1.0
    assert area.low < 0.99


def test_against_a_constant_a_perfect_figure_gains_no_more_than_it_did() -> None:
    prediction, targets = perfect([25, 25])
    constant = prediction.with_raw(np.tile([1.0, 0.0], (50, 1)))
    metric = metric_named("classification", "balanced_accuracy")
    gain = metric.paired(prediction, constant, targets, np.random.default_rng(0))
    assert gain.value == gain.high == 0.5
    assert 0.3 < gain.low < 0.49
    alone = metric.estimate(constant, targets, np.random.default_rng(0))
    assert alone.low == alone.high == 0.5  # one class for every row is one half, whatever it is
