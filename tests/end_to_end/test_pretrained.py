"""Whole runs that begin with a pretrained network: learned, repeated, resumed, predicted with."""

from __future__ import annotations

import shutil
from dataclasses import replace as renewed
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from msgspec.structs import replace
from PIL import Image
from safetensors.numpy import load_file

import fathom
from fathom.core.budget import Budget
from fathom.core.errors import ArtefactError, InterruptedRunError, PlanError
from fathom.core.files import read_json
from fathom.core.progress import Silent
from fathom.networks import ConvnetSpec, PretrainedSpec
from fathom.networks.backbones import sources
from fathom.planning.plan import ScratchPlan, load_plan, save_plan
from fathom.planning.prepare import prepare
from fathom.planning.request import make_request
from fathom.planning.resolve import Resolving, resolve
from fathom.planning.rivals import NO_RIVALS
from fathom.planning.trials import Search
from fathom.report import words
from fathom.training import transfer
from fathom.training.log import TrainingLog
from pretrained_models import save_bert, save_listener, save_vit
from tones import tone, tone_folder, write

pytest.importorskip("transformers")


@pytest.fixture
def reviews(tmp_path) -> Path:
    """Texts whose words tell how they were meant."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(160):
        good = number % 2 == 0
        words = ["the", str(generator.choice(["film", "play"])), "was"]
        words += list(generator.choice(["good", "fine"] if good else ["bad", "poor"], 2))
        rows.append({"text": " ".join([*words, f"n{number}"]), "liked": "yes" if good else "no"})
    path = tmp_path / "reviews.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture
def photographs(tmp_path) -> Path:
    """Noise that is red or blue, in folders."""
    generator = np.random.default_rng(0)
    root = tmp_path / "photographs"
    for place, name in enumerate(("red", "blue")):
        (root / name).mkdir(parents=True)
        for number in range(40):
            pixels = generator.integers(0, 120, (36, 32, 3), dtype=np.uint8)
            pixels[:, :, 2 * place] += 100
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def run(
    source: Path,
    out: Path,
    model: Path,
    *,
    steps: int | None = 6,
    name: str = "run",
    budget: str | None = None,
    **settings,
):
    settings = {"pretrained": str(model), "data.kinds.text": "text"} | settings
    if source.is_dir():
        del settings["data.kinds.text"]
    target = None if source.is_dir() else "liked"
    limit = {"steps": steps} if budget is None else {"budget": budget}
    return fathom.fit(
        source, target=target, out=out, name=name, settings=settings, device="cpu", **limit
    )


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "bundle" / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in ours)


def looked_inside(done) -> list[dict]:
    """What the report shows of attention, once it is certain that layers are looked at, too."""
    found = {record.id: record for record in done.evidence}
    stages = found["features.probe"].figure.data["stages"]
    assert [name for name in stages if "layer" in name] == ["backbone layer 1", "backbone layer 2"]
    assert found["anatomy.dead_units"].status == "measured"
    gradients = found["anatomy.gradient_ratio"].figure.data
    named = ["backbone", "backbone layer 1", "backbone layer 2", "head"]
    assert gradients["labels"] == named
    assert all(value > 0 for value in gradients["values"])
    assert len(found["features.attention_reach"].figure.data["rows"]) == 2
    return found["features.attention"].figure.data["items"][0]["maps"]


def test_texts_are_learned_and_the_bundle_needs_no_model(reviews, tmp_path):
    model = save_bert(tmp_path / "model")
    done = run(reviews, tmp_path / "runs", model, steps=20)
    plan = load_plan(done.folder / "plan.yaml")
    assert plan.network.tune
    assert plan.data.pretrained == str(model.resolve())
    assert plan.network.backbone.licence == "Apache-2.0"
    first = looked_inside(done)[0]
    assert first["labels"][0] == "[CLS]"
    assert "was" in first["labels"]
    assert [sum(row) for row in first["values"]] == pytest.approx(
        [1.0] * len(first["labels"]), 1e-3
    )
    card = (done.folder / "card.md").read_text()
    assert "Apache-2.0" in card
    assert str(model.resolve()) in card.replace("\\", "")
    again = fathom.fit(done.folder / "plan.yaml", out=tmp_path / "again")
    assert same(done.folder, again.folder)
    before = done.predict(reviews)
    sources._weights.cache_clear()
    shutil.rmtree(model)
    after = fathom.load(done.folder).predict(reviews)
    pd.testing.assert_frame_equal(before, after)
    with pytest.raises(PlanError, match="pretrained"):
        fathom.fit(done.folder / "plan.yaml", out=tmp_path / "third")


def test_pictures_with_the_head_alone(photographs, tmp_path):
    model = save_vit(tmp_path / "model")
    done = run(photographs, tmp_path / "runs", model, steps=30, **{"network.tune": False})
    assert looked_inside(done)[0]["image"].startswith("data:image/png")
    found = weights(done.folder)
    pretrained = {v.tobytes() for v in load_file(model / "model.safetensors").values()}
    kept = [value for name, value in found.items() if ".model." in name]
    assert kept
    assert all(value.tobytes() in pretrained for value in kept)
    accuracy = next(r for r in done.evidence if r.id == "performance.accuracy")
    assert accuracy.value > 0.9
    again = fathom.fit(done.folder / "plan.yaml", out=tmp_path / "again")
    assert same(done.folder, again.folder)


def test_sounds_are_learned_at_the_rate_of_the_network(tmp_path):
    model = save_listener(tmp_path / "model")
    root = tone_folder(tmp_path / "tones")
    for number in range(20):  # most sounds have another rate than the network
        write(root / "high" / f"{number}.wav", tone("high", number, rate=8_000), 8_000)
    done = run(root, tmp_path / "runs", model, steps=40, **{"optimizer.learning_rate": 0.01})
    plan = load_plan(done.folder / "plan.yaml")
    assert plan.network.backbone.kind == "audio"
    assert plan.network.tune
    assert plan.augmentation.noise > 0 == plan.augmentation.hidden_bands
    assert looked_inside(done)[0]["labels"][0].startswith("1")
    assert "4,000 samples a second" in (done.folder / "schema.json").read_text()
    accuracy = next(r for r in done.evidence if r.id == "performance.accuracy")
    assert accuracy.value > 0.8
    again = fathom.fit(done.folder / "plan.yaml", out=tmp_path / "again")
    assert same(done.folder, again.folder)
    before = done.predict(root)
    sources._weights.cache_clear()
    shutil.rmtree(model)
    pd.testing.assert_frame_equal(before, fathom.load(done.folder).predict(root))
    assert "MIT" in (done.folder / "card.md").read_text()


def test_the_head_alone_is_learned_on_sounds(tmp_path):
    root = tone_folder(tmp_path / "tones")
    model = save_listener(tmp_path / "model")
    done = run(root, tmp_path / "runs", model, steps=30, **{"network.tune": False})
    pretrained = {v.tobytes() for v in load_file(model / "model.safetensors").values()}
    kept = [value for name, value in weights(done.folder).items() if ".model." in name]
    assert kept
    assert all(value.tobytes() in pretrained for value in kept)


def forget() -> None:
    """What another process would not know."""
    for kept in (transfer._features, transfer._starts):
        kept.clear()
    sources._weights.cache_clear()


def interrupting(monkeypatch, step: int) -> None:
    """The next training is broken off at a step, as by Ctrl-C."""
    real, stop = TrainingLog.write, [True]

    def broken_off(log, kind, at, **fields):
        real(log, kind, at, **fields)
        if kind == "step" and at == step and stop:
            stop.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLog, "write", broken_off)


@pytest.mark.parametrize("tune", [True, False], ids=["tuned", "frozen"])
def test_an_interrupted_run_goes_on_exactly(reviews, tmp_path, monkeypatch, tune):
    model = save_bert(tmp_path / "model")
    settings = {"network.tune": tune, "training.save_every": 5, "network.head_epochs": 2}
    whole = run(reviews, tmp_path / "whole", model, steps=20, **settings)
    interrupting(monkeypatch, 13)
    forget()
    with pytest.raises(InterruptedRunError):
        run(reviews, tmp_path / "parts", model, steps=20, **settings)
    forget()
    settings |= {"pretrained": str(model), "data.kinds.text": "text"}
    resumed = fathom.fit(
        reviews,
        target="liked",
        out=tmp_path / "parts",
        name="run",
        steps=20,
        settings=settings,
        device="cpu",
        resume=True,
    )
    assert same(whole.folder, resumed.folder)


def test_the_gain_over_a_network_from_scratch_is_measured(photographs, tmp_path):
    done = run(photographs, tmp_path / "runs", save_vit(tmp_path / "model"), steps=3)
    plan = load_plan(done.folder / "plan.yaml")
    beside = ScratchPlan(
        ConvnetSpec(widths=(8, 8), side=16), plan.training, plan.augmentation, plan.task
    )
    path = tmp_path / "plan.yaml"
    save_plan(replace(plan, scratch=beside, seconds=plan.seconds | {"scratch": 5.0}), path)
    again = fathom.fit(path, out=tmp_path / "again")
    assert same(done.folder, again.folder)  # what stands beside it decides nothing
    gain = next(r for r in again.evidence if r.id == "gain.from_scratch.accuracy")
    assert gain.status == "measured"
    assert gain.interval[0] <= gain.value <= gain.interval[1]
    assert (again.folder / "scratch" / "log.jsonl").exists()
    without = [r for r in done.evidence if r.id.startswith("gain.from_scratch")]
    assert [(r.id, r.status) for r in without] == [("gain.from_scratch", "not_applicable")]
    assert words.record_title(without[0]) == "The gain of a pretrained start"
    assert words.record_title(gain) == "Accuracy beside a network from scratch"


def test_a_search_begins_with_the_start_that_is_named(reviews, tmp_path):
    pytest.importorskip("optuna")
    settings = {"pretrained": str(save_bert(tmp_path)), "data.kinds.text": "text"}
    budget, progress = Budget(60.0), Silent()
    request = make_request(reviews, settings, target="liked", tune=2)
    prepared = prepare(request, budget, progress)
    frozen = {"network.tune": False}
    for fixed, searched in (({}, True), (frozen, False)):  # with a key of its own it alone
        asked = renewed(request, steps=8, settings=fixed, folder=tmp_path)
        plan = resolve(asked, prepared, NO_RIVALS, budget, progress)
        search = read_json(tmp_path / "tuning.json", Search)
        assert search.default.state == "finished"
        assert search.default.settings.get("network.family", "pretrained") == "pretrained"
        assert ("network.family" in search.space) is searched
        rate = plan.training.optimizer.learning_rate
        assert rate == search.best.settings["training.optimizer.learning_rate"]
    assert isinstance(plan.network, PretrainedSpec)
    assert not plan.network.tune
    assert Resolving(request, prepared, NO_RIVALS, budget, progress).family == "pretrained"
    untuned = renewed(request, tune=None)  # there it is tried against a network from scratch
    assert Resolving(untuned, prepared, NO_RIVALS, budget, progress).family is None


def test_a_start_that_does_not_fit_the_data_is_refused(reviews, tmp_path):
    vit, bert = save_vit(tmp_path / "vit"), save_bert(tmp_path / "bert")
    with pytest.raises(PlanError, match="reads pictures"):
        run(reviews, tmp_path / "runs", vit)
    table = pd.read_csv(reviews)
    table["length"] = np.arange(len(table)) % 7
    beside = tmp_path / "beside.csv"
    table.to_csv(beside, index=False)
    with pytest.raises(PlanError, match="--drop"):
        run(beside, tmp_path / "runs", bert)
    with pytest.raises(PlanError, match="leave one of them out"):
        run(reviews, tmp_path / "runs", bert, network="mlp")
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())


def test_damaged_backbones_in_bundles_are_told(reviews, tmp_path):
    done = run(reviews, tmp_path / "runs", save_bert(tmp_path / "model"), steps=2)
    manifest = done.folder / "bundle" / "bundle.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    assert manifest.read_text() != text
    with pytest.raises(ArtefactError):
        fathom.load(done.folder).predict(reviews)


@pytest.mark.slow
def test_under_a_budget_the_start_of_texts_is_chosen_on_validation(reviews, tmp_path):
    model = save_bert(tmp_path / "model")
    done = run(reviews, tmp_path / "runs", model, steps=None, budget="20s")
    plan = load_plan(done.folder / "plan.yaml")
    why = plan.why["network.family"]
    assert "its features with a linear head" in why
    assert "all of it trained on" in why
    assert "a network from scratch" in why
    begun = isinstance(plan.network, PretrainedSpec)
    assert (plan.scratch is not None) == begun
    gain = next(r for r in done.evidence if r.id.startswith("gain.from_scratch"))
    assert (gain.status == "measured") == begun
    again = fathom.fit(done.folder / "plan.yaml", out=tmp_path / "again")
    assert same(done.folder, again.folder)
