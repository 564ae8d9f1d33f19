"""The score that models are chosen by on validation."""

from types import SimpleNamespace

import numpy as np
import pytest

from fathom.core.examples import Examples
from fathom.core.output import OutputSpec
from fathom.tasks import build_task, selection
from fathom.tasks.metrics import classification_metrics
from fathom.training.supervised import Supervised


def _metrics(probs, targets):
    return classification_metrics(np.asarray(probs, dtype=np.float64), np.asarray(targets))


def test_on_few_rows_a_lucky_guess_does_not_beat_a_model_that_is_sure_and_right():
    targets = np.array([0, 1, 2] * 5)
    barely = np.full((15, 3), 0.33) + 0.01 * np.eye(3)[targets]
    sure = 0.02 + 0.94 * np.eye(3)[targets]
    sure[0] = [0.4, 0.5, 0.1]
    first, second = _metrics(barely, targets), _metrics(sure, targets)
    assert first["accuracy"] > second["accuracy"]
    assert selection(first, "accuracy", 15).score < selection(second, "accuracy", 15).score
    assert selection(first, "accuracy", 5000).score > selection(second, "accuracy", 5000).score


@pytest.mark.parametrize(("primary", "sign"), [("rmse", -1), ("r2", 1)])
def test_numbers_are_chosen_by_the_primary_metric_whatever_their_count(primary, sign):
    metrics = {"rmse": 2.0, "mae": 1.0, "r2": 0.5}
    assert selection(metrics, primary, 10) == (primary, sign * metrics[primary])


def test_where_one_class_alone_occurs_the_log_loss_stands_in():
    metrics = _metrics([[0.9, 0.1]] * 600, [0] * 600)
    chosen = selection(metrics, "roc_auc", 600)
    assert chosen == ("log_loss", pytest.approx(np.log(0.9)))


@pytest.mark.parametrize(("rows", "classes"), [(20, 2), (600, 2), (600, 1)])
def test_the_metric_is_known_before_anything_is_learned(rows, classes):
    targets = np.arange(rows) % classes
    inputs = {"numbers": np.zeros((rows, 1), dtype=np.float32)}
    examples = Examples(inputs, targets, np.arange(rows))
    output = OutputSpec("classes", ("a", "b"))
    task = build_task("classification", output)
    probs = np.random.default_rng(0).dirichlet([1.0, 1.0], rows)
    what = SimpleNamespace(validation=examples, task=task, output=output)
    wanted = selection(classification_metrics(probs, targets), task.primary, rows).metric
    assert Supervised.selection_metric.fget(what) == wanted
    assert (wanted == "log_loss") == (rows < 500 or classes == 1)
