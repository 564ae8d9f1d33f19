"""What every use of the network keeps to: rows by themselves, the same each time, calibrated."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import bundles
from fathom.core.examples import Examples
from fathom.core.predictor import Predictor
from fathom.inference import model as inference
from fathom.inference import run_network
from fathom.inference.model import batch_size

CASES = {
    "table": lambda **k: bundles.make(bundles.people(), "fast", **k),
    "number": lambda **k: bundles.make(bundles.people().drop(columns="fast"), "weight", **k),
    "labels": lambda **k: bundles.make(bundles.labelled(), "tags", **k),
    "pictures": lambda **k: bundles.make(bundles.pictures(), **k),
}


@pytest.fixture(params=CASES)
def made(request: pytest.FixtureRequest) -> bundles.Made:
    return CASES[request.param]()


def numbers(prediction: object) -> np.ndarray:
    return prediction.probs if hasattr(prediction, "probs") else prediction.values


def test_both_are_predictors(made):
    assert isinstance(made.network, Predictor)
    assert isinstance(made.baseline, Predictor)
    assert made.network.name == "network"


def test_the_form_of_answers(made):
    logits = made.network.logits(made.examples)
    assert logits.dtype == torch.float32
    assert logits.shape == (len(made.examples), made.network.model.task.output.size)
    answers = numbers(made.network.predict(made.examples))
    assert answers.dtype == np.float64
    assert np.isfinite(answers).all()
    if made.schema.task == "classification":
        np.testing.assert_allclose(answers.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.05)])
def test_a_row_does_not_depend_on_the_rows_beside_it(name, precision, tolerance, monkeypatch):
    made = CASES[name](precision=precision)
    whole = made.network.logits(made.examples).numpy()
    spread = whole.std()
    assert spread > 0.01  # or the test would say nothing
    order = np.random.default_rng(0).permutation(len(made.examples))
    shuffled = made.network.logits(made.examples.take(order)).numpy()
    np.testing.assert_allclose(shuffled, whole[order], atol=tolerance * spread)
    monkeypatch.setattr(inference, "SMALLEST_BATCH", 7)
    monkeypatch.setattr(inference, "LARGEST_BATCH", {"cpu": 7})
    np.testing.assert_allclose(
        made.network.logits(made.examples).numpy(), whole, atol=tolerance * spread
    )


def test_the_same_each_time_and_in_threads(made):
    first = numbers(made.network.predict(made.examples))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: made.network.predict(made.examples), range(8)))
    for answer in answers:
        np.testing.assert_array_equal(numbers(answer), first)


def test_the_temperature_is_applied_to_classes():
    hot = bundles.make(bundles.people(), "fast", temperature=5.0)
    plain = bundles.make(bundles.people(), "fast", temperature=1.0)
    one, five = (m.network.predict(m.examples) for m in (plain, hot))
    np.testing.assert_array_equal(one.codes, five.codes)
    assert five.probs.max(axis=1).mean() < one.probs.max(axis=1).mean() - 0.01
    logits = plain.network.logits(plain.examples).double()
    np.testing.assert_allclose(five.probs, torch.softmax(logits / 5, dim=1).numpy(), rtol=1e-12)


def test_the_temperature_does_not_change_numbers():
    table = bundles.people().drop(columns="fast")
    one, five = (bundles.make(table, "weight", temperature=t) for t in (1.0, 5.0))
    np.testing.assert_array_equal(
        one.network.predict(one.examples).values, five.network.predict(five.examples).values
    )


def test_no_rows_give_no_answers(made):
    empty = made.examples.take(np.zeros(0, dtype=np.int64))
    assert made.network.logits(empty).shape == (0, made.network.model.task.output.size)
    assert len(made.network.predict(empty)) == 0


def test_missing_values_and_codes_of_unknown_still_give_answers():
    made = bundles.make(bundles.people(), "fast")
    inputs = {
        "numbers": np.full_like(made.examples.inputs["numbers"][:2], np.nan),
        "categories": np.ones_like(made.examples.inputs["categories"][:2]),
    }
    answers = made.network.predict(Examples(inputs, None, np.arange(2)))
    assert np.isfinite(answers.probs).all()


def test_arrays_that_may_not_be_written_to_are_read_without_a_warning(made, recwarn):
    for array in made.examples.inputs.values():
        array.setflags(write=False)
    made.network.predict(made.examples)
    assert not recwarn.list


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_left_in_the_mode_in_which_it_was_found(made, training):
    network = made.network.model.network.train(training)
    outputs = run_network(network, made.examples)
    assert network.training is training
    assert all(module.training is training for module in network.modules())
    network.eval()
    # Dropout and batch statistics would show, had it been run in training mode.
    torch.testing.assert_close(outputs, run_network(network, made.examples))
    assert not outputs.requires_grad


def test_batches_are_smaller_for_larger_pictures():
    small = {"image": np.zeros((1, 1, 8, 8), dtype=np.uint8)}
    large = {"image": np.zeros((1, 3, 128, 128), dtype=np.uint8)}
    assert inference.batch_size(large, "cpu") == inference.SMALLEST_BATCH
    assert inference.batch_size(small, "cpu") == inference.LARGEST_BATCH["cpu"]
    assert inference.batch_size({}, "cpu") == inference.LARGEST_BATCH["cpu"]


def test_what_is_said_of_a_row_does_not_depend_on_how_many_are_asked_about():
    made = bundles.make(bundles.people(), "fast")
    size = batch_size(made.examples.inputs, "cpu")
    most = made.examples.take(np.arange(2 * size + 16) % len(made.examples))
    network = made.network.model.network
    whole = run_network(network, most)
    for rows in (1, 2, 3, 15, 17, size + 1, size + 2, 2 * size + 1, 2 * size + 2):
        said = run_network(network, most.take(np.arange(rows)))
        assert torch.equal(said, whole[:rows]), rows


@pytest.mark.parametrize(("rows", "seen"), [(1, [16]), (34, [32, 16]), (48, [32, 16])])
def test_a_last_batch_of_few_rows_is_filled_up(rows, seen):
    asked = []

    class Counting(torch.nn.Module):
        def forward(self, inputs):
            asked.append(len(inputs["numbers"]))
            return inputs["numbers"][:, :1]

    wide = np.arange(rows * 2**14, dtype=np.float32).reshape(rows, 2**14)
    said = run_network(Counting(), Examples({"numbers": wide}, None, np.arange(rows)))
    assert asked == seen
    np.testing.assert_array_equal(said[:, 0], wide[:, 0])
