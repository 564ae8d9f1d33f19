"""What depth does: probes find what stages hold, similarity is what its paper says it is."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from evidence_subjects import SPECS, fresh
from fathom.core.budget import Budget
from fathom.core.output import OutputSpec
from fathom.core.record import Record
from fathom.evidence import EVIDENCE
from fathom.evidence.depth import FIRST, cka, probe
from fathom.evidence.stages import MOST_STAGES, WIDEST, folded, looked_at, outputs_of, pooled
from fathom.evidence.subject import Subject
from fathom.inference.model import NetworkPredictor
from fathom.networks.steps import PoolSteps, Steps


def depth_of(subject: Subject) -> dict[str, Record]:
    return {r.id: r for r in EVIDENCE["depth"].measure(subject, Budget(60))}


def test_a_probe_finds_a_direction_and_nothing_in_noise() -> None:
    generator = np.random.default_rng(0)
    rows, codes = generator.normal(size=(600, 8)), generator.integers(0, 3, 600)
    told = rows + 4 * np.eye(8)[codes]
    output = OutputSpec("classes", labels=("a", "b", "c"))
    assert probe(told[:400], codes[:400], told[400:], output).right(codes[400:]).mean() > 0.9
    assert probe(rows[:400], codes[:400], rows[400:], output).right(codes[400:]).mean() < 0.5
    # A class that was never learned has no probability, and all columns keep their place.
    known = codes[:400] != 1
    probs = probe(told[:400][known], codes[:400][known], told[400:], output).raw
    assert (probs[:, 1] == 0).all()
    numbers = probe(told[:400], told[:400, 0], told[400:], OutputSpec("number"))
    assert numbers.raw == pytest.approx(told[400:, 0], abs=0.05)


def test_similarity_by_its_definition() -> None:
    generator = np.random.default_rng(0)
    x, other = generator.normal(size=(400, 6)), generator.normal(size=(400, 9))
    turn, _ = np.linalg.qr(generator.normal(size=(6, 6)))
    assert cka(x, 3.0 * x @ turn + 5.0) == pytest.approx(1.0)
    assert cka(x, other) < 0.1
    assert cka(x, np.ones((400, 2))) == 0.0
    # The kernels' form of the same paper: <K, L> / (|K| |L|) of the centred Gram matrices.
    mixed = np.concatenate([x[:, :2], other], axis=1)
    one, two = (c @ c.T for c in (x - x.mean(axis=0), mixed - mixed.mean(axis=0)))
    expected = (one * two).sum() / np.linalg.norm(one) / np.linalg.norm(two)
    assert cka(x, mixed) == pytest.approx(expected)


def test_padding_is_not_pooled() -> None:
    values = torch.randn(2, 4, 3)
    mask = torch.tensor([[True, True, False, False], [True] * 4])
    rows = pooled(Steps(values, mask))
    alone = pooled(Steps(values[:1, :2], mask[:1, :2]))
    assert torch.allclose(rows[:1], alone)


def test_folding_keeps_products_and_depends_on_the_seed_alone() -> None:
    rows = torch.randn(50, 20_000, generator=torch.Generator().manual_seed(0))
    once, again = folded(rows, 3), folded(rows, 3)
    assert once.shape == (50, WIDEST)
    assert torch.equal(once, again)
    assert not torch.equal(once, folded(rows, 4))
    assert torch.equal(folded(rows[:, :WIDEST], 3), rows[:, :WIDEST])
    lengths = once.square().sum(dim=1) / rows.square().sum(dim=1)
    assert lengths.mean() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("name", ["digits", "texts-lstm", "wine"])
def test_outputs_stand_in_the_order_of_their_examples(name: str) -> None:
    subject = fresh(name)
    examples = subject.examples("validation")
    together = outputs_of(subject, examples)
    alone = outputs_of(subject, examples.take(np.array([5])))
    assert list(together) == [name for name, _ in looked_at(subject.model.network)]
    for stage, rows in together.items():
        assert len(rows) == len(examples)
        assert rows[5] == pytest.approx(alone[stage][0], abs=1e-4)


def test_a_stage_that_forgets_everything_is_noticed() -> None:
    subject = fresh("breast-cancer")
    network: Any = copy.deepcopy(subject.model.network)
    last = network.stages()[-2][1]
    with torch.no_grad():
        for module in last.modules():
            if isinstance(module, nn.Linear):
                module.weight.zero_()
    blank = fresh("breast-cancer", model=dataclasses.replace(subject.model, network=network))
    records = depth_of(blank)
    assert records["features.depth"].grade == "poor"
    assert records["features.probe"].value == pytest.approx(0.5)
    assert records["features.similarity"].value == 0.0


@pytest.mark.parametrize("name", SPECS)
def test_each_stage_has_a_score_with_its_interval(name: str) -> None:
    subject = fresh(name)
    readings: list[str] = []
    subject.on_test_access = readings.append
    records = depth_of(subject)
    figure = records["features.probe"].figure
    if figure is None:  # one point is no curve
        assert name == "texts-bag"
        return
    # Pooling after the steps of a text says nothing that they did not say, pooled.
    stages = looked_at(subject.model.network)
    assert figure.data["stages"] == [n for n, stage in stages if not isinstance(stage, PoolSteps)]
    for low, value, high in zip(*(figure.data[k] for k in ("low", "values", "high")), strict=True):
        assert low <= value <= high
    heat = records["features.similarity"].figure
    assert heat is None or np.allclose(np.diag(heat.data["values"]), 1.0)
    assert readings == []


def test_every_field_of_a_mixture_has_stages_of_its_own() -> None:
    records = depth_of(fresh("texts+number-mixed"))
    figure = records["features.probe"].figure
    assert figure is not None
    stages = figure.data["stages"]
    assert stages[:2] == ["judgement: embedding", "judgement: convolution 1"]
    assert stages[-2:] == ["fields", "trunk 1"]
    assert all(s.startswith("numbers and categories: ") for s in stages[2:-2])
    assert figure.data["breaks"] == [2, len(stages) - 2]
    assert f"From {FIRST} to trunk 1" in records["features.depth"].sentence
    # No field's last stage leads to another field's first.
    assert "convolution 1 and numbers" not in records["features.similarity"].sentence


def test_pooling_alone_is_no_depth() -> None:
    records = depth_of(fresh("texts-bag"))
    assert records["features.probe"].value is not None
    for id in ("features.depth", "features.similarity"):
        assert records[id].figure is None
        assert "nothing but pooling" in records[id].sentence


def test_a_head_that_loses_what_a_stage_knows_is_told() -> None:
    subject = fresh("texts-convnet")
    assert "loses" not in depth_of(subject)["features.depth"].sentence
    network: Any = copy.deepcopy(subject.model.network)
    with torch.no_grad():
        network.head.linear.weight.zero_()
    model = dataclasses.replace(subject.model, network=network)
    broken = fresh("texts-convnet", model=model, network=NetworkPredictor(model))
    record = depth_of(broken)["features.depth"]
    assert "is better than the whole network by" in record.sentence
    assert "undertrained" in record.sentence
    assert record.grade != "good"


def test_of_deep_networks_stages_are_chosen_evenly() -> None:
    class Deep:
        def stages(self) -> list[tuple[str, None]]:
            return [(str(place), None) for place in range(41)]

    names = [int(name) for name, _ in looked_at(Deep())]
    assert len(names) == MOST_STAGES
    assert (names[0], names[-1]) == (0, 39)
