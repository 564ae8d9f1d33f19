"""`check_task`: what every registered task promises, whatever it is."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

from fathom.core.batch import Batch
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.core.prediction import ClassPrediction, LabelsPrediction, NumberPrediction
from fathom.tasks import HIGHER_IS_BETTER, TASKS, build_task

torch.set_num_threads(1)

TWO = OutputSpec("classes", labels=("no", "yes"))
MANY = OutputSpec("classes", labels=("a", "b", "c", "d"))
NUMBER = OutputSpec("number", center=250_000.0, scale=40_000.0)
LABELS = OutputSpec("labels", labels=("red", "round", "large"))
CASES = [
    ("classification", TWO),
    ("classification", MANY),
    ("multilabel", LABELS),
    ("regression", NUMBER),
]


class Network(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.hidden = nn.Linear(5, 7)
        self.head = nn.Linear(7, outputs)

    def forward(self, inputs):
        return self.head(torch.relu(self.hidden(inputs["numbers"])))


def make(output, n=64):
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    network = Network(output.size)
    inputs = {"numbers": torch.randn(n, 5)}
    if output.form == "classes":
        targets = generator.integers(0, output.size, n)
    elif output.form == "labels":
        targets = generator.integers(0, 2, (n, output.size)).astype(np.uint8)
    else:
        targets = generator.normal(output.center, output.scale, n)
    return network, inputs, targets


def test_every_registered_task_is_driven_here():
    assert set(TASKS) == {name for name, _ in CASES}


@pytest.mark.parametrize(("name", "output"), CASES)
class TestCheckTask:
    def test_a_phase_moves_every_parameter_down_a_finite_scalar_loss(self, name, output):
        network, inputs, targets = make(output)
        task = build_task(name, output)
        batch = Batch(inputs, task.encode_targets(targets))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.03)
        moved, losses = set(), []
        for _ in range(80):
            for phase in task.phases(network):
                assert set(phase.parameters) <= set(dict(network.named_parameters()))
                loss = phase.loss(network, batch, torch.Generator())
                assert loss.value.ndim == 0
                assert loss.value.dtype == torch.float32
                optimizer.zero_grad()
                loss.value.backward()
                moved |= {n for n, p in phase.parameters.items() if p.grad.abs().sum() > 0}
                optimizer.step()
                losses.append(loss.value.item())
                dict(loss.logged)
        assert moved == set(dict(network.named_parameters()))
        assert losses[-1] < 0.9 * losses[0]

    def test_loss_is_the_mean_over_the_batch(self, name, output):
        network, inputs, targets = make(output)
        task = build_task(name, output)
        encoded = task.encode_targets(targets)
        (phase,) = task.phases(network)

        def loss(rows):
            part = Batch({"numbers": inputs["numbers"][rows]}, encoded[rows])
            return phase.loss(network, part, torch.Generator()).value

        halves = (loss(slice(0, 32)) + loss(slice(32, 64))) / 2
        torch.testing.assert_close(loss(slice(0, 64)), halves)

    def test_loss_is_float32_under_autocast(self, name, output):
        network, inputs, targets = make(output)
        task = build_task(name, output)
        batch = Batch(inputs, task.encode_targets(targets))
        (phase,) = task.phases(network)
        exact = phase.loss(network, batch, torch.Generator()).value
        with torch.autocast("cpu", torch.bfloat16):
            rounded = phase.loss(network, batch, torch.Generator()).value
        assert rounded.dtype == torch.float32
        torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.02)

    def test_targets_encode_and_predictions_are_in_their_units(self, name, output):
        _, _, targets = make(output)
        task = build_task(name, output)
        encoded = task.encode_targets(targets)
        if output.form == "classes":
            assert encoded.dtype == torch.int64
            logits = 20.0 * torch.nn.functional.one_hot(encoded, output.size).float()
            prediction = task.predict(logits)
            assert isinstance(prediction, ClassPrediction)
            assert prediction.labels == output.labels
            assert prediction.probs.dtype == np.float64
            np.testing.assert_allclose(prediction.probs.sum(axis=1), 1.0, atol=1e-12)
            np.testing.assert_array_equal(prediction.codes, targets)
        elif output.form == "labels":
            assert encoded.dtype == torch.float32
            prediction = task.predict(40.0 * encoded - 20.0)
            assert isinstance(prediction, LabelsPrediction)
            assert prediction.labels == output.labels
            assert prediction.probs.dtype == np.float64
            np.testing.assert_array_equal(prediction.holds, targets)
        else:
            assert encoded.dtype == torch.float32
            assert abs(float(encoded.mean())) < 0.5
            prediction = task.predict(encoded[:, None])
            assert isinstance(prediction, NumberPrediction)
            np.testing.assert_allclose(prediction.values, targets, rtol=1e-6)

    def test_a_perfect_prediction_scores_best_and_all_metrics_are_known(self, name, output):
        _, _, targets = make(output)
        task = build_task(name, output)
        if output.form == "classes":
            right = ClassPrediction(output.labels, np.eye(output.size)[targets])
            wrong = ClassPrediction(output.labels, np.eye(output.size)[targets - 1])
        elif output.form == "labels":
            right = LabelsPrediction(output.labels, targets.astype(float))
            wrong = LabelsPrediction(output.labels, 1.0 - targets[::-1])
        else:
            right = NumberPrediction(targets)
            wrong = NumberPrediction(targets[::-1])
        best, worse = task.metrics(right, targets), task.metrics(wrong, targets)
        assert set(best) <= set(HIGHER_IS_BETTER)
        assert task.primary in best
        for metric, value in best.items():
            assert isinstance(value, float)
            assert (value > worse[metric]) == HIGHER_IS_BETTER[metric], metric

    def test_metrics_survive_odd_splits_without_a_warning(self, name, output, recwarn):
        network, inputs, targets = make(output)
        task = build_task(name, output)
        with torch.no_grad():
            prediction = task.predict(network(inputs))
        alike = (targets.reshape(len(targets), -1) == targets[0]).all(axis=1)
        for rows in (np.array([3]), np.flatnonzero(alike), np.arange(3)):
            values = task.metrics(prediction.take(rows), targets[rows])
            assert set(values) == set(task.metrics(prediction, targets))
        assert not recwarn.list

    def test_state_beyond_the_network_is_declared(self, name, output):
        task = build_task(name, output)
        assert all(isinstance(m, nn.Module) for m in task.modules().values())
        assert task.name == name
        assert task.output == output
        assert task.act(Network(output.size)) is None
        assert inspect.getdoc(type(task))


def test_temperature_softens_without_changing_the_order():
    task = build_task("classification", MANY)
    logits = torch.randn(100, 4, generator=torch.Generator().manual_seed(1))
    sharp, soft = task.predict(logits, 0.5), task.predict(logits, 4.0)
    np.testing.assert_array_equal(sharp.codes, soft.codes)
    assert (sharp.probs.max(axis=1) > soft.probs.max(axis=1)).all()
    extreme = task.predict(torch.tensor([[1e4, -1e4, 0.0, 0.0]]), 0.01)
    assert np.isfinite(extreme.probs).all()


def test_options_that_mean_nothing_are_refused_with_a_sentence():
    with pytest.raises(PlanError, match="label_smoothing is 1"):
        build_task("classification", TWO, label_smoothing=1.0)
    with pytest.raises(PlanError, match="no labels to smooth"):
        build_task("regression", NUMBER, label_smoothing=0.1)
    with pytest.raises(PlanError, match="at least two labels"):
        build_task("multilabel", TWO)
    with pytest.raises(PlanError, match="at least two classes"):
        build_task("classification", NUMBER)
    with pytest.raises(PlanError, match="Did you mean 'regression'"):
        build_task("regresion", NUMBER)
