"""Losses against PyTorch's, metrics against scikit-learn's and against definitions."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sk
from torch import nn
from torch.nn import functional as F

from fathom.core.batch import Batch
from fathom.core.output import OutputSpec
from fathom.tasks import build_task
from fathom.tasks.metrics import classification_metrics, log_loss, regression_metrics, roc_auc

torch.set_num_threads(1)


class Echo(nn.Module):
    def forward(self, inputs):
        return inputs["numbers"]


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_cross_entropy_is_pytorchs(label_smoothing):
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(200, 6, generator=generator)
    targets = torch.randint(0, 6, (200,), generator=generator)
    output = OutputSpec("classes", labels=tuple("abcdef"))
    task = build_task("classification", output, label_smoothing=label_smoothing)
    (phase,) = task.phases(Echo())
    ours = phase.loss(Echo(), Batch({"numbers": logits}, targets), generator).value
    expected = F.cross_entropy(logits, targets, label_smoothing=label_smoothing)
    torch.testing.assert_close(ours, expected)


def random_probs(classes, n=500):
    generator = np.random.default_rng(classes)
    probs = generator.dirichlet(np.ones(classes), n)
    return probs, generator.integers(0, classes, n)


@pytest.mark.parametrize("classes", [2, 5])
def test_classification_metrics_are_scikit_learns(classes):
    probs, targets = random_probs(classes)
    said = probs.argmax(axis=1)
    score = probs[:, 1] if classes == 2 else probs
    assert classification_metrics(probs, targets) == pytest.approx(
        {
            "accuracy": sk.accuracy_score(targets, said),
            "balanced_accuracy": sk.balanced_accuracy_score(targets, said),
            "macro_f1": sk.f1_score(targets, said, average="macro"),
            "roc_auc": sk.roc_auc_score(targets, score, multi_class="ovr"),
            "log_loss": sk.log_loss(targets, probs),
        },
        abs=1e-12,
    )


def test_roc_auc_is_the_share_of_pairs_in_the_right_order():
    probs, targets = random_probs(2, 60)
    good, bad = probs[targets == 1, 1], probs[targets == 0, 1]
    pairs = (good[:, None] > bad).mean() + 0.5 * (good[:, None] == bad).mean()
    assert roc_auc(probs, targets) == pytest.approx(pairs)


def test_absent_classes_are_left_out_of_the_mean():
    probs, targets = random_probs(4)
    rows = targets != 2
    expected = np.mean([sk.roc_auc_score(targets[rows] == k, probs[rows, k]) for k in (0, 1, 3)])
    assert roc_auc(probs[rows], targets[rows]) == pytest.approx(expected)
    values = classification_metrics(probs[rows], targets[rows])
    said = probs[rows].argmax(axis=1)
    recalls = [(said[targets[rows] == k] == k).mean() for k in (0, 1, 3)]
    assert values["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_one_class_alone_has_no_roc_auc():
    probs, _ = random_probs(3)
    assert np.isnan(roc_auc(probs, np.zeros(len(probs), dtype=int)))


def test_log_loss_of_certain_and_wrong_is_finite():
    certain = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert log_loss(certain, np.array([1, 0])) == pytest.approx(-np.log(np.finfo(float).eps), 1e-3)


def test_regression_metrics_are_their_definitions():
    generator = np.random.default_rng(0)
    truth, said = generator.normal(size=50), generator.normal(size=50)
    error = said - truth
    expected = {
        "rmse": np.sqrt((error**2).mean()),
        "mae": np.abs(error).mean(),
        "r2": 1 - (error**2).sum() / ((truth - truth.mean()) ** 2).sum(),
    }
    assert regression_metrics(said, truth) == pytest.approx(expected)
