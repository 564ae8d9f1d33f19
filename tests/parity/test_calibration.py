"""Expected calibration error: against its definition, and against errors that are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import softmax

from evidence_subjects import fresh
from fathom.core.budget import Budget
from fathom.evidence import EVIDENCE
from fathom.evidence.calibration import BINS, bin_of, calibration_error, chance_error, reliability
from fathom.inference.model import NetworkPredictor
from fathom.inference.trust import Trust
from fathom.report.figures import draw


def claimed(n: int, seed: int, boast: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences, and whether each came true; `boast` is how much too sure they are."""
    generator = np.random.default_rng(seed)
    confidence = generator.uniform(0.55, 0.95, n)
    return confidence, generator.random(n) < confidence - boast


def test_error_is_its_definition() -> None:
    confidence, right = claimed(150, seed=0)
    order = np.argsort(confidence)
    parts = np.array_split(order, BINS)
    expected = sum(len(p) * abs(confidence[p].mean() - right[p].mean()) for p in parts) / 150
    assert reliability(confidence, right).error == pytest.approx(expected)


def test_bins_hold_equally_many_and_equal_confidences_together() -> None:
    assert set(np.bincount(bin_of(np.random.default_rng(0).random(150)))) == {10}
    places = bin_of(np.array([1.0] * 90 + [0.6] * 10))
    assert len(set(places[:90])) == 1
    assert sorted(set(places)) == [0, 1]


def test_a_known_error_lies_in_the_interval() -> None:
    confidence, right = claimed(20_000, seed=1, boast=0.1)
    estimate = calibration_error(confidence, right, np.random.default_rng(0))
    assert estimate.low < 0.1 < estimate.high
    assert estimate.high - estimate.low < 0.03


def test_chance_explains_the_error_of_perfect_probabilities() -> None:
    errors = [reliability(*claimed(300, seed)).error for seed in range(200)]
    expected = chance_error(claimed(300, 0)[0], np.random.default_rng(0))
    assert np.mean(errors) == pytest.approx(expected, rel=0.1)
    # and the interval does not exclude that there is none
    lows = [
        calibration_error(*claimed(300, seed), np.random.default_rng(0)).low for seed in range(10)
    ]
    assert np.mean(np.array(lows) <= 0.02) >= 0.8


def test_before_is_a_temperature_of_one() -> None:
    subject = fresh("digits")
    logits = subject.network.logits(subject.splits["test"]).double().numpy()
    before, after = EVIDENCE["calibration"].measure(subject, Budget(60))
    targets = subject.splits["test"].targets
    for record, temperature in ((before, 1.0), (after, subject.model.trust.temperature)):
        probs = softmax(logits / temperature, axis=1)
        right = probs.argmax(axis=1) == targets
        assert record.value == pytest.approx(reliability(probs.max(axis=1), right).error)
    assert after.figure is not None
    assert sum(after.figure.data["before"]["count"]) == len(targets)


@pytest.mark.parametrize(("n", "bins"), [(5, 1), (50, 5), (100, 10), (150, 15), (3000, 15)])
def test_few_rows_have_fewer_bins_and_the_method_says_how_many(n: int, bins: int) -> None:
    confidence, right = claimed(n, seed=2)
    assert len(reliability(confidence, right).count) == bins
    method = calibration_error(confidence, right, np.random.default_rng(0)).method
    assert f"{bins} bin" in method


@pytest.mark.parametrize("name", ["digits", "labels"])
def test_where_nothing_was_calibrated_its_figures_are_told_once(name: str) -> None:
    model, found = fresh(name).model, {}
    for temperature in (1.0, 1.5):
        divided = dataclasses.replace(model, trust=Trust(temperature=temperature))
        subject = fresh(name, model=divided, network=NetworkPredictor(divided))
        found[temperature] = EVIDENCE["calibration"].measure(subject, Budget(60))
    before, after = found[1.0]
    assert before.status == "not_applicable"
    assert "Nothing was calibrated" in before.reason
    assert "temperature" not in after.sentence
    assert "before calibration" not in str(draw(after.figure).markup)
    assert found[1.5][0].status == "measured"
    assert "before calibration" in str(draw(found[1.5][1].figure).markup)
