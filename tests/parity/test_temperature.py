"""The temperature against a grid search, scikit-learn's log loss and a network known too sure."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss as sklearn_log_loss

from fathom.inference.trust import FEWEST_ROWS, Trust, fit_trust, log_loss


def drawn(rows: int, classes: int, factor: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits `factor` times too large, and codes drawn from the true probabilities."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 2, (rows, classes))
    codes = (softmax(logits, axis=1).cumsum(axis=1) < draw.random((rows, 1))).sum(axis=1)
    return logits * factor, codes.clip(max=classes - 1)


@pytest.mark.parametrize("classes", [2, 3, 20])
@pytest.mark.parametrize("factor", [0.2, 0.9, 1.0, 4.0, 60.0])
def test_against_a_grid_search(classes, factor):
    logits, codes = drawn(600, classes, factor)
    trust = fit_trust(logits, codes)
    grid = np.exp(np.linspace(np.log(0.02), np.log(500), 4001))
    losses = [log_loss(logits, codes, t) for t in grid]
    assert trust.temperature == pytest.approx(grid[np.argmin(losses)], rel=4e-3)
    assert trust.log_loss <= min(losses) + 1e-12


def test_the_loss_is_scikit_learns():
    logits, codes = drawn(200, 4, 3.0)
    probs = softmax(logits / 1.7, axis=1)
    wanted = sklearn_log_loss(codes, probs, labels=range(4))
    assert log_loss(logits, codes, 1.7) == pytest.approx(wanted, rel=1e-12)


def test_a_network_too_sure_is_cooled_by_about_as_much():
    logits, codes = drawn(5000, 5, 6.0)
    trust = fit_trust(torch.tensor(logits, dtype=torch.float32), codes)
    assert trust.temperature == pytest.approx(6.0, rel=0.08)
    assert trust.log_loss < trust.log_loss_before - 0.5
    assert "lowers" in trust.reason


def test_a_hesitant_network_is_sharpened():
    logits, codes = drawn(5000, 5, 0.25)
    trust = fit_trust(logits, codes)
    assert trust.temperature == pytest.approx(0.25, rel=0.08)
    assert "raises" in trust.reason


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_what_a_network_puts_out_is_not_searched_in_its_own_precision(kind):
    """The optimum of nearly calibrated logits lies where float32 sees a plateau."""
    logits, codes = drawn(3000, 3, 1.05)
    given = torch.tensor(logits).to(kind)
    wanted = fit_trust(given.double().numpy(), codes)
    found = fit_trust(given, codes)
    assert found == wanted
    assert found.temperature != 1.0
    assert found.log_loss < found.log_loss_before


@pytest.mark.parametrize("seed", range(20))
def test_never_worse_than_leaving_it_alone(seed):
    draw = np.random.default_rng(seed)
    logits = draw.normal(0, 10.0 ** draw.integers(-3, 4), (60, 3))
    codes = draw.integers(0, 3, 60)
    trust = fit_trust(logits, codes)
    assert 0 < trust.temperature < np.inf
    assert log_loss(logits, codes, trust.temperature) <= log_loss(logits, codes, 1.0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x, y: (x[: FEWEST_ROWS - 1], y[: FEWEST_ROWS - 1]), "too few"),
        (lambda x, y: (x[:0], y[:0]), "too few"),
        (lambda x, y: (x, None), "too few"),
        (lambda x, y: (x, np.zeros_like(y)), "one class"),
        (lambda x, y: (np.where(x > 3, np.nan, x), y), "not finite"),
        (lambda x, y: (np.where(x > 3, np.inf, x), y), "not finite"),
        (lambda x, y: (x, x.argmax(axis=1)), "predicted rightly"),
    ],
)
def test_where_the_rows_cannot_tell_it_stays_1_and_says_why(change, reason):
    trust = fit_trust(*change(*drawn(200, 3, 3.0)))
    assert trust.temperature == 1.0
    assert reason in trust.reason


def test_it_survives_json():
    trust = fit_trust(*drawn(200, 3, 3.0))
    assert msgspec.json.decode(msgspec.json.encode(trust), type=Trust) == trust


def test_many_labels_of_few_rows_are_few_rows():
    logits = np.random.default_rng(0).normal(size=(6, 10))
    trust = fit_trust(logits, (np.random.default_rng(1).random((6, 10)) < 0.5).astype(np.uint8))
    assert trust.temperature == 1.0
    assert "6 calibration rows are too few" in trust.reason


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_search_that_ends_where_it_may_go_no_farther_has_found_nothing(sign):
    logits, codes = drawn(600, 2, 1.0)
    logits = -5 * logits if sign < 0 else 1e-4 * logits
    trust = fit_trust(logits, codes)
    assert trust.temperature == 1.0
    assert trust.log_loss == trust.log_loss_before == log_loss(logits, codes, 1.0)
    assert f"as {'high' if sign < 0 else 'low'} as any" in trust.reason
