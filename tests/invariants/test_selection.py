"""The score that models are chosen by on validation."""

import numpy as np
import pytest

from fathom.tasks import selection_score
from fathom.tasks.metrics import classification_metrics


def _metrics(probs, targets):
    return classification_metrics(np.asarray(probs, dtype=np.float64), np.asarray(targets))


def test_on_few_rows_a_lucky_guess_does_not_beat_a_model_that_is_sure_and_right():
    targets = np.array([0, 1, 2] * 5)
    barely = np.full((15, 3), 0.33) + 0.01 * np.eye(3)[targets]
    sure = 0.02 + 0.94 * np.eye(3)[targets]
    sure[0] = [0.4, 0.5, 0.1]
    first, second = _metrics(barely, targets), _metrics(sure, targets)
    assert first["accuracy"] > second["accuracy"]
    assert selection_score(first, "accuracy", 15) < selection_score(second, "accuracy", 15)
    assert selection_score(first, "accuracy", 5000) > selection_score(second, "accuracy", 5000)


@pytest.mark.parametrize(("primary", "sign"), [("rmse", -1), ("r2", 1)])
def test_numbers_are_chosen_by_the_primary_metric_whatever_their_count(primary, sign):
    metrics = {"rmse": 2.0, "mae": 1.0, "r2": 0.5}
    assert selection_score(metrics, primary, 10) == sign * metrics[primary]


def test_where_one_class_alone_occurs_the_log_loss_stands_in():
    metrics = _metrics([[0.9, 0.1]] * 600, [0] * 600)
    assert selection_score(metrics, "roc_auc", 600) == pytest.approx(np.log(0.9))
