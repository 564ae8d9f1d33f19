"""What is told of the inside of a network is true of that network."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from evidence_subjects import SPECS, fresh
from fathom.core.budget import Budget
from fathom.core.record import Record
from fathom.evidence import EVIDENCE, Subject, wording
from fathom.evidence.anatomy import dead_units, saturated_share
from fathom.evidence.drawing import data_uri
from fathom.evidence.flops import count_flops
from fathom.evidence.instruments import Call, batch_of, copied_network, loss_of, traced
from fathom.evidence.units import WEIGHTED, pick_unit, term_names, values_after
from fathom.evidence.updates import gradient_curves, gradients_record, update_curves
from fathom.evidence.walkthrough import choose, one_step


def one(kind: str, subject: Subject, id: str) -> Record:
    return next(r for r in EVIDENCE[kind].measure(subject, Budget(60)) if r.id == id)


def with_network(name: str, change: Any) -> Subject:
    """The subject with a copy of its network that `change` has altered."""
    subject = fresh(name)
    network = copy.deepcopy(subject.model.network)
    with torch.no_grad():
        change(network)
    return fresh(name, model=dataclasses.replace(subject.model, network=network))


def test_a_dead_first_layer_kills_all_that_follows() -> None:
    def kill(network: Any) -> None:
        first = next(m for m in network.modules() if isinstance(m, nn.Linear))
        first.weight.zero_()
        first.bias.fill_(-5.0)

    before = one("anatomy", fresh("breast-cancer"), "anatomy.dead_units")
    after = one("anatomy", with_network("breast-cancer", kill), "anatomy.dead_units")
    assert before.value < 0.5
    assert after.value == 1.0
    assert after.grade == "poor"
    units = 2 * SPECS["breast-cancer"].width
    assert f"{units} of {units} units" in after.sentence


def test_dead_and_saturated_by_hand() -> None:
    output = torch.tensor([[0.0, 1.0, 2.0], [0.0, 1.0, 3.0]])
    assert dead_units(output).tolist() == [True, True, False]
    maps = torch.zeros(2, 3, 4, 4)
    maps[1, 2, 0, 0] = 1.0
    assert dead_units(maps).tolist() == [True, True, False]
    assert saturated_share(nn.Tanh(), torch.tensor([[0.999, -0.999, 0.0, 0.5]])) == 0.5
    assert saturated_share(nn.Sigmoid(), torch.tensor([[0.999, 0.001, 0.5, 0.5]])) == 0.5
    assert saturated_share(nn.ReLU(), output) is None


@pytest.mark.parametrize("name", SPECS)
def test_stages_hold_every_parameter_and_their_shapes(name: str) -> None:
    subject = fresh(name)
    figure = one("anatomy", subject, "anatomy.layers").figure
    assert figure is not None
    rows = figure.data["rows"]
    parameters = sum(p.numel() for p in subject.model.network.parameters())
    assert sum(row["parameters"] for row in rows) == parameters
    assert rows[-1]["output_shape"] == [subject.task.output.size]
    assert sum(rows[0]["histogram"]["counts"]) > 0
    assert any(row["update_ratio"] for row in rows)


def test_a_vanishing_gradient_is_noticed() -> None:
    def weaken(network: Any) -> None:
        linears = [m for m in network.modules() if isinstance(m, nn.Linear)]
        for layer in linears[:-1]:
            layer.weight *= 1e-4

    record = one("anatomy", with_network("breast-cancer", weaken), "anatomy.gradient_ratio")
    assert record.grade == "poor"
    assert "vanishes" in record.sentence


def test_update_ratio_is_the_norm_of_the_step_over_that_of_the_weights() -> None:
    network = copied_network(fresh("breast-cancer"))
    (stage, module), *_ = network.stages()
    names = {id(p): n for n, p in network.named_parameters()}
    first, second = [names[id(p)] for p in module.parameters()][:2]
    norms = [{"weight_norm": 3.0, "update_norm": 0.03}, {"weight_norm": 4.0, "update_norm": 0.04}]
    line = {"kind": "layers", "step": 7, "layers": dict(zip((first, second), norms, strict=True))}
    assert update_curves([line], network)[stage] == ([7], [pytest.approx(0.01)])


def test_gradient_norms_over_training_are_those_of_the_log() -> None:
    network = copied_network(fresh("breast-cancer"))
    stages = [(name, list(module.parameters())) for name, module in network.stages()]
    (one_stage, weights), (other, others) = [pair for pair in stages if pair[1]][:2]
    names = {id(p): n for n, p in network.named_parameters()}
    norms = {names[id(p)]: {"grad_norm": g} for p, g in zip(weights[:2], (3.0, 4.0), strict=True)}
    norms[names[id(others[0])]] = {"grad_norm": 0.0}
    log = [{"kind": "layers", "step": step, "layers": norms} for step in (5, 9)]
    curves = gradient_curves(log, network)
    assert curves == {one_stage: ([5, 9], [5.0, 5.0]), other: ([5, 9], [0.0, 0.0])}
    record = gradients_record(curves)
    assert record.grade == "poor"
    assert f"None ever reached {other}" in record.sentence
    assert record.figure.data["series"][0] == {"name": one_stage, "x": [5, 9], "y": [5.0, 5.0]}
    assert gradients_record({}).status == "not_applicable"
    whole = one("anatomy", fresh("breast-cancer"), "anatomy.gradient_norms")
    assert whole.grade == "good"
    assert len(whole.figure.data["series"]) == sum(bool(weights) for _, weights in stages)


@pytest.mark.parametrize("name", SPECS)
def test_the_walkthrough_computes_what_the_network_computes(name: str) -> None:
    subject = fresh(name)
    network = copied_network(subject)
    example = choose(subject)
    batch = batch_of(subject, example)
    with traced(network) as calls:
        loss = loss_of(subject, network, batch)
    first = next(call for call in calls if isinstance(call.module, WEIGHTED))
    first.output.retain_grad()
    loss.backward()
    unit = pick_unit(first)
    # The terms and the bias are the sum that the layer itself gave; a cell says what becomes of it.
    given = float(first.output[unit.position].detach())
    made = values_after(first, calls, unit)[-1][1] if unit.kind == "cell" else unit.total
    assert made == pytest.approx(given, abs=1e-4)
    # The gradient of the weight is the slope of the loss along that weight.
    names = term_names(subject, network, example, first, unit)
    assert next(iter(names)) == unit.largest
    weight: Any = getattr(first.module, unit.parameter)
    place = unit.at
    nudge = 1e-3
    with torch.no_grad():
        old = float(weight[place])
        ends = []
        for sign in (1, -1):
            weight[place] = old + sign * nudge
            ends.append(float(loss_of(subject, network, batch)))
        weight[place] = old
    slope = (ends[0] - ends[1]) / (2 * nudge)
    assert slope == pytest.approx(unit.gradient, rel=0.02, abs=2e-3)
    # The step lowers the loss, is real, and leaves the copy as it was.
    learned = one_step(subject, network, batch, float(loss.detach()))
    assert learned.after < learned.before
    assert float(weight[place].detach()) == pytest.approx(old)
    assert float(loss_of(subject, network, batch).detach()) == pytest.approx(learned.before)


def test_features_are_traced_to_their_columns() -> None:
    subject = fresh("breast-cancer")
    network = copied_network(subject)
    example = choose(subject)
    with traced(network) as calls:
        loss = loss_of(subject, network, batch_of(subject, example))
    first = next(call for call in calls if isinstance(call.module, WEIGHTED))
    first.output.retain_grad()
    loss.backward()
    unit = pick_unit(first)
    columns = [field.name for field in subject.schema.inputs]
    width = SPECS["breast-cancer"].embed_dim
    for feature, name in term_names(subject, network, example, first, unit).items():
        assert name.startswith(columns[feature // width] + " (")


def test_worst_are_wrong_and_the_most_confident_first() -> None:
    subject = fresh("digits")
    prediction, targets = subject.predict("network", "test"), subject.targets("test")
    worst = prediction.worst_first(targets)
    assert set(worst) == set(np.flatnonzero(prediction.codes != targets))
    confidence = prediction.probs.max(axis=1)[worst]
    assert (np.diff(confidence) <= 0).all()
    record = one("worst", subject, "worst.examples")
    assert record.value == len(worst)
    if len(worst):
        item = record.figure.data["items"][0]
        row = int(subject.splits["test"].rows[worst[0]])
        assert item["where"] == subject.locate(row)
        assert item["truth"] == str(subject.table["target"][row])
        assert item["image"].startswith("data:image/png;base64,")


def test_pictures_of_any_channels_become_png() -> None:
    for channels in (1, 2, 3, 4):
        picture = np.arange(channels * 35, dtype=np.uint8).reshape(channels, 7, 5)
        assert data_uri(picture).startswith("data:image/png;base64,")


CONVOLUTIONS = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": (3, 2), "stride": (2, 1), "padding": (2, 0)},
    {"kernel_size": 3, "dilation": 2, "padding": "same"},
    {"kernel_size": 2, "groups": 2, "padding": "valid", "bias": False},
]


@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_a_patch_and_its_filter_give_the_sum_at_every_place(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, **options)
    maps = torch.randn(1, 4, 6, 5)
    output = layer(maps)
    output.sum().backward()
    for position in np.ndindex(*output.shape):
        call = Call("conv", layer, (maps,), output.detach().clone().requires_grad_())
        call.output.grad = torch.zeros_like(output)
        call.output.grad[position] = 1.0
        unit = pick_unit(call)
        assert unit.position == position
        assert unit.total == pytest.approx(float(output[position].detach()), abs=1e-5)


@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_flops_of_any_convolution_are_those_that_torch_counts(options: dict[str, Any]) -> None:
    layer, maps = nn.Conv2d(4, 6, **options), torch.randn(2, 4, 6, 5)
    with FlopCounterMode(display=False) as counter:
        layer(maps)
    assert count_flops(layer, maps) == (counter.get_total_flops(), [])


def test_weights_that_nobody_counts_are_named() -> None:
    total, uncounted = count_flops(nn.Bilinear(3, 3, 2), torch.ones(1, 3), torch.ones(1, 3))
    assert (total, uncounted) == (0, ["Bilinear"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0009998, "0.00100"),
        (0.09996, "0.100"),
        (0.09994, "0.0999"),
        (12345.6, "12,346"),
        (-3.14159, "-3.14"),
        (0.0, "0"),
        (2e-9, "2.00e-09"),
    ],
)
def test_numbers_are_written_for_people(value: float, text: str) -> None:
    assert wording.number(value) == text


def test_shares_next_to_the_ends_are_not_rounded_to_them() -> None:
    assert [wording.percent(share) for share in (1.0, 0.9996, 0.981, 0.0004, 0.0)] == [
        "100.0 %", "99.96 %", "98.1 %", "0.04 %", "0.0 %",
    ]  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_the_walkthrough_answers_its_example_once(name: str, monkeypatch: Any) -> None:
    subject, asked = fresh(name), []
    predict = subject.network.predict
    monkeypatch.setattr(
        subject.network, "predict", lambda some: asked.append(len(some)) or predict(some)
    )
    record = one("walkthrough", subject, "anatomy.walkthrough")
    assert "The right answer is" in record.figure.data["steps"][0]["sentence"]
    assert 1 not in asked  # the passes that are shown have answered it already
