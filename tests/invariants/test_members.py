"""Networks in one: they learn apart, and answer together with the mean of what each says."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fathom.core.batch import Batch
from fathom.core.blocks import InputSpec, NumbersBlock
from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.networks import TabmSpec, build
from fathom.networks.family import together
from fathom.planning.race import _told, winner
from fathom.tasks import build_task

INPUTS = InputSpec({"numbers": NumbersBlock(("a", "b"), ((-1.0, 0.0, 1.0), (-2.0, 2.0)))})
CLASSES = OutputSpec("classes", labels=("x", "y", "z"))
LABELS = OutputSpec("labels", labels=("x", "y", "z"))
NUMBER = OutputSpec("number", center=3.0, scale=2.0)


def numbers(size: int) -> dict[str, torch.Tensor]:
    return {"numbers": torch.randn(size, 2, generator=torch.Generator().manual_seed(1))}


def network(output: OutputSpec, **changes: object) -> torch.nn.Module:
    spec = TabmSpec(**{"members": 4, "width": 8, "dropout": 0.0, **changes})
    return build(spec, INPUTS, output, seed=0)


def test_the_answer_is_the_mean_probability():
    made = network(CLASSES, learners=4)
    each = made.train()(numbers(5))
    assert each.shape == (5, 4, 3)
    said = made.eval()(numbers(5)).softmax(-1)
    torch.testing.assert_close(said, each.softmax(-1).mean(1))
    assert each.softmax(-1).std(dim=1).max() > 1e-4  # the members differ from the beginning


def test_the_answer_is_the_mean_number():
    made = network(NUMBER, learners=4)
    torch.testing.assert_close(made.eval()(numbers(5)), made.train()(numbers(5)).mean(1))


def test_the_answer_is_the_mean_probability_of_each_label():
    outputs = 3 * torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(1))
    said = together(outputs, "labels").sigmoid()
    torch.testing.assert_close(said, outputs.sigmoid().mean(1))


def test_certain_members_give_finite_logarithms():
    outputs = torch.tensor([[[1e4, -1e4], [1e4, -1e4]]])
    assert together(outputs, "classes").isfinite().all()
    assert together(outputs, "labels").isfinite().all()


@pytest.mark.parametrize(("task", "output"), [("classification", CLASSES), ("regression", NUMBER)])
@pytest.mark.parametrize("learners", [1, 2, 4])
def test_the_loss_is_the_mean_over_those_who_learn(task, output, learners):
    made, data = network(output, learners=learners).train(), numbers(8)
    meant = build_task(task, output)
    targets = torch.arange(8) % 3 if task == "classification" else torch.arange(8.0)
    loss = meant.phases(made)[0].loss(made, Batch(data, targets), torch.Generator()).value
    everyone = network(output, learners=4).train()(data)  # the same weights, all of them asked
    expected = []
    for row in range(8):
        for turn in range(learners):
            member = (row * learners + turn) % 4
            said, right = everyone[row, member], targets[row]
            wrong = -said.log_softmax(0)[right] if task == "classification" else (said - right) ** 2
            expected.append(wrong.sum())
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_labels_are_learned_by_members():
    made, targets = network(LABELS, learners=2).train(), torch.eye(3)[torch.arange(8) % 3]
    loss = build_task("multilabel", LABELS).phases(made)[0].loss
    assert loss(made, Batch(numbers(8), targets), torch.Generator()).value.isfinite()


def test_a_batch_that_cannot_be_dealt_out_goes_to_all():
    assert network(CLASSES, learners=1).train()(numbers(5)).shape == (5, 4, 3)


@pytest.mark.parametrize("fields", [{"members": 1}, {"learners": 3}, {"learners": 0}])
def test_members_that_make_no_network_are_refused(fields):
    with pytest.raises(PlanError, match=r"network\."):
        network(CLASSES, **fields)


@pytest.mark.parametrize(
    ("scores", "place"),
    [
        ((0.9, 0.9001), 0),
        ((0.9, 0.91), 1),
        ((-50.0, -49.9), 0),
        ((-50.0, -40.0, -45.0), 1),
        ((float("-inf"), -3.0), 1),
        ((0.9, float("-inf")), 0),
        ((float("-inf"), float("-inf")), 0),
    ],
)
def test_a_tie_goes_to_the_earlier(scores, place):
    assert winner([scores], 1.0 if max(scores) > 0 else 0.0) == place


def test_a_diverged_candidate_does_not_change_what_the_others_are_told_by():
    entrants = [SimpleNamespace(name=name) for name in ("mlp", "tabm")]
    why = _told(entrants, "mlp", np.array([(0.9, -np.inf)]), 0.5, "accuracy")
    assert "accuracy on validation was: mlp 0.9; tabm not finite." in why
