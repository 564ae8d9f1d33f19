"""A corpus from a folder to texts: fit, sample, go on, repeat, resume, inspect."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import fathom
import language_corpora
from fathom.core.budget import Budget
from fathom.core.errors import DataError, PlanError
from fathom.core.files import read_json
from fathom.core.progress import Silent
from fathom.core.record import Evidence
from fathom.language.beginning import begin_from
from fathom.planning.language.plan import plan_of
from fathom.planning.language.prepare import prepare_corpus
from fathom.planning.language.request import repeat_language_request
from fathom.planning.plan import read_plan

SETTINGS = {
    "training.threads": 1,
    "network.depth": 1,
    "network.width": 32,
    "network.num_heads": 2,
    "network.context": 32,
    "training.precision": "float32",
    "vocabulary": 300,
}
pytestmark = pytest.mark.xdist_group("language")


def fit(source: object, out: Path, **options):
    settings = SETTINGS | options.pop("settings", {})
    return fathom.fit(source, task="language", out=out, settings=settings, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("language")
    corpus = language_corpora.write_tales(folder / "tales", 80)
    return fit(corpus, folder / "runs", steps=150)


def weights(run) -> dict[str, torch.Tensor]:
    return load_file(run.folder / "bundle" / "model.safetensors")


def same(first, second) -> bool:
    a, b = weights(first), weights(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_and_says_how_well(run):
    bits = run["performance.bits_per_byte"]
    assert bits.split == "test"
    assert bits.interval[0] < bits.value < bits.interval[1]
    assert bits.value < 2.0  # a letter by chance takes more than 4
    assert run["baseline.kneser_ney.bits_per_byte"].value < 2.0
    assert run.verdict in {"network", "baseline", "level"}
    told = {record.id for record in run.evidence if record.status == "measured"}
    wanted = {
        "gain.bits_per_byte",
        "gap.bits_per_byte",
        "performance.perplexity",
        "calibration.ece",
        "cost.tokens_per_second",
        "data.duplicates",
    }
    assert wanted <= told


def test_the_report_and_the_card_are_there(run):
    page = (run.folder / "report.html").read_text()
    assert "fathom sample" in page
    assert "<script" not in page
    assert (run.folder / "card.md").read_text().startswith("# Model card")


def test_it_writes_in_the_language_that_it_has_read(run):
    text = run.sample("The wolf", max_tokens=60, temperature=0.7)
    known = {*language_corpora.ANIMALS, *language_corpora.DOES, "The", "the"}
    words = [word.strip(".") for word in text.split()][1:-1]
    assert len(words) > 3
    assert sum(word in known for word in words) > 0.7 * len(words)
    assert run.sample("The wolf", max_tokens=20, seed=1) != run.sample(
        "The wolf", max_tokens=20, seed=2
    )
    assert len(run.sample(["The", "A"], max_tokens=5)) == 2


def test_the_same_command_and_the_plan_give_the_same_weights(run, tmp_path):
    again = fit(run.folder.parents[1] / "tales", tmp_path, steps=150)
    assert same(run, again)
    repeated = fathom.fit(run.folder / "plan.yaml", out=tmp_path / "repeated")
    assert same(run, repeated)
    ours, theirs = (
        run["baseline.kneser_ney.bits_per_byte"],
        repeated["baseline.kneser_ney.bits_per_byte"],
    )
    assert ours.value == theirs.value


def test_an_interrupted_run_goes_on(run, tmp_path):
    source = run.folder.parents[1] / "tales"
    done = fit(source, tmp_path, steps=60)
    shutil.rmtree(done.folder / "bundle")
    (done.folder / "report.html").unlink()
    newest = sorted((done.folder / "checkpoints").glob("step-*"))[-1]
    shutil.rmtree(newest)
    resumed = fit(source, tmp_path, steps=60, resume=True)
    assert resumed.folder == done.folder
    assert same(resumed, fit(source, tmp_path / "whole", steps=60))


def test_a_changed_text_is_not_gone_on_with(tmp_path):
    source = language_corpora.write_tales(tmp_path / "tales", 40)
    done = fit(source, tmp_path / "runs", steps=25)
    (done.folder / "report.html").unlink()
    (source / "tale000.txt").write_text("Another text altogether, and nothing of a wolf.\n" * 9)
    with pytest.raises(fathom.core.errors.ArtefactError, match="has changed"):
        fit(source, tmp_path / "runs", steps=25, resume=True)


def test_it_goes_on_with_what_another_run_has_learned(run, tmp_path):
    source = language_corpora.write_tales(tmp_path / "others", 40, seed=7)
    more = fathom.fit(
        source,
        task="language",
        begin=run.folder,
        steps=20,
        out=tmp_path / "runs",
        settings={"training.threads": 1},
    )
    # It knows the language from its first step on.
    first = next(
        json.loads(line)["loss"]
        for line in (more.folder / "log.jsonl").read_text().splitlines()
        if json.loads(line)["kind"] == "step"
    )
    assert first < 2.0
    assert more["performance.bits_per_byte"].value < 2.0
    plan = (more.folder / "plan.yaml").read_text()
    assert str(run.folder / "bundle") in plan


def test_what_a_network_has_learned_from_is_not_held_out_when_it_goes_on(tmp_path):
    texts = language_corpora.tales(80, seed=3)
    settings = SETTINGS | {"data.near_duplicates": False}
    first = fathom.fit(
        texts, task="language", steps=20, out=tmp_path, settings=settings, name="first"
    )
    learned = set(first.language.learned.hashes.tolist())
    assert len(learned) > 60
    more = [*texts, *language_corpora.tales(40, seed=4)]
    for seed in (1, 2):
        second = fathom.fit(
            more, task="language", begin=first, steps=2, seed=seed, out=tmp_path,
            settings={"training.threads": 1, "data.near_duplicates": False},
        )  # fmt: skip
        seen = set(second.language.learned.hashes.tolist())
        assert learned <= seen  # what was learned from stays known through all runs
        assert "No document" in second["data.seen"].sentence
        held = _held_out(second, more)
        assert len(held) > 3
        assert not {_hash_of(text) for text in held} & learned
    only_known = [text for text in texts if _hash_of(text) in learned]
    with pytest.raises(DataError, match="nothing is left to measure"):
        fathom.fit(only_known, task="language", begin=first, steps=2, out=tmp_path)


def _held_out(run, texts: list[str]) -> list[str]:
    """The test documents of a run, parted as its plan says."""
    plan = plan_of(read_plan(run.folder / "plan.yaml"), run.folder / "plan.yaml")
    request = repeat_language_request(plan, "cpu", texts)
    prepared = prepare_corpus(request, begin_from(request.begin), Budget(60.0), Silent())
    test = prepared.splits["test"]
    return [prepared.tokenizer.decode(test.document(i)[:-1]) for i in range(len(test))]


def _hash_of(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def test_a_project_that_holds_its_own_runs_learns_nothing_of_them(tmp_path, monkeypatch):
    project = language_corpora.write_tales(tmp_path / "project", 60)
    monkeypatch.chdir(project)
    first = fit(".", Path("runs"), steps=2, name="own")
    assert first.story.rows == 60
    again = fathom.fit("runs/own/plan.yaml", out="runs")
    assert again.story.rows == 60
    assert same(first, again)
    assert any("is a run of Fathom's" in warning for warning in again.story.warnings)


def test_a_text_in_the_place_of_a_path_is_told(tmp_path):
    with pytest.raises(DataError, match="a text itself"):
        fathom.fit("Once upon a time\n" * 900, task="language", out=tmp_path)
    with pytest.raises(DataError, match="task='language'"):
        fathom.fit(["Once upon a time " * 9] * 3, out=tmp_path)


def test_a_network_gone_on_with_keeps_its_shape_and_tokens(run, tmp_path):
    source = run.folder.parents[1] / "tales"
    for setting, named in (({"network.width": 64}, "shape"), ({"tokenizer": "byte"}, "tokens")):
        with pytest.raises(PlanError, match=named):
            fathom.fit(
                source, task="language", begin=run.folder, steps=5, out=tmp_path, settings=setting
            )


def test_the_lstm_learns_too(tmp_path):
    done = fathom.fit(
        language_corpora.write_tales(tmp_path / "tales", 40),
        task="language",
        steps=80,
        out=tmp_path / "runs",
        settings={
            "network": "lstm",
            "network.width": 48,
            "network.context": 32,
            "tokenizer": "char",
            "training.threads": 1,
        },
    )
    assert done["performance.bits_per_byte"].value < 3.0
    assert done.sample("The", max_tokens=10)


def test_a_budget_is_kept_and_planned_for(tmp_path):
    done = fathom.fit(
        language_corpora.write_tales(tmp_path / "tales", 60),
        task="language",
        budget="40s",
        out=tmp_path / "runs",
        settings={"training.threads": 1},
    )
    plan = (done.folder / "plan.yaml").read_text()
    assert "operations fit into the time" in plan
    assert done.story.seconds < 60


@pytest.mark.parametrize("kind", ["char", "byte"])
def test_other_tokenizers(kind, tmp_path):
    done = fit(
        language_corpora.tales(40),
        tmp_path,
        steps=30,
        settings={"tokenizer": kind, "vocabulary": None},
    )
    assert done["performance.bits_per_byte"].value > 0
    assert done.language.network.model.tokenizer.kind == kind


def test_the_command(run, command, tmp_path):
    source = str(run.folder.parents[1] / "tales")
    outcome = command("inspect", source, "--task", "language", "--budget", "30s")
    assert outcome.code == 0, outcome.err
    assert "documents" in outcome.out
    assert "family: gpt" in outcome.out
    folder = str(run.folder)
    outcome = command("sample", folder, "The wolf", "--max-tokens", "8", "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert told["prompt"] == "The wolf"
    assert 0 < told["tokens"] <= 8
    outcome = command("sample", folder, "The", "A fox", "--max-tokens", "4", "--temperature", "0")
    assert "--- 2 of 2 ---" in outcome.out
    outcome = command("sample", folder, "The", "--max-tokens", "9", "--stream")
    assert outcome.out.startswith("The")


def test_a_prompt_that_is_no_text_is_one_sentence(run, command):
    for how in ("--stream", "--no-stream"):
        outcome = command("sample", str(run.folder), "caf\udce9", how)
        assert outcome.code == 2
        assert "UTF-8" in outcome.err
        assert not outcome.out


def test_xz_is_the_rival_where_it_needs_fewer_bits(tmp_path):
    """Long stretches that come again in others: what xz is made for, and short n-grams are not."""
    generator = np.random.default_rng(0)
    blocks = ["".join(generator.choice(["a", "b"], 400)) for _ in range(60)]
    texts = ["".join(blocks[i] for i in generator.permutation(60)[:5]) for _ in range(120)]
    settings = SETTINGS | {"data.near_duplicates": False, "tokenizer": "char"}
    del settings["vocabulary"]
    run = fathom.fit(texts, task="language", steps=2, out=tmp_path, settings=settings)
    assert run["baseline.xz.bits_per_byte"].value < run["baseline.kneser_ney.bits_per_byte"].value
    assert run.story.best_baseline == "xz"
    assert "xz" in run["gain.bits_per_byte"].sentence


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--target", "x"), "--target"),
        (("--group", "x"), "--group"),
        (("--set", "network.widht=3"), "width"),
        (("--set", "tokenizer=words"), "tokenizer"),
        (("--set", "network=transformer"), "gpt"),
        (("--set", "network.num_heads=3"), "num_heads"),
        (("--set", "vocabulary=3"), "vocabulary"),
        (("--set", "pretrained=all-minilm-l6-v2"), "pretrained"),
        (("--set", "most_bytes=-5"), "most_bytes"),
        (("--from", "nowhere"), "nowhere"),
        (("--tune", "5"), "--tune"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(command, tmp_path, words, named):
    source = language_corpora.write_tales(tmp_path / "tales", 60)
    outcome = command("fit", str(source), "--task", "language", "--steps", "5", *words)
    assert outcome.code == 2, outcome.err
    assert named in outcome.err
    assert "Traceback" not in outcome.err
    assert not list((tmp_path / "runs").glob("*"))


def test_predicting_and_writing_are_not_mixed_up(run, command, tmp_path):
    outcome = command("predict", str(run.folder), "digits")
    assert outcome.code == 2
    assert "fathom sample" in outcome.err
    table = fathom.fit("digits", steps=10, out=tmp_path / "runs", settings={"training.threads": 1})
    outcome = command("sample", str(table.folder), "The")
    assert outcome.code == 2
    assert "fathom predict" in outcome.err


def test_a_text_without_the_task_is_told_of_it(command, tmp_path):
    (tmp_path / "book.txt").write_text("Once upon a time.\n" * 2000)
    outcome = command("fit", "book.txt")
    assert outcome.code == 2
    assert "--task language" in outcome.err


def test_too_little_text(tmp_path):
    with pytest.raises(DataError, match="text"):
        fit(["The wolf sees the hen."], tmp_path, steps=5)


def test_evidence_is_read_back(run):
    records = read_json(run.folder / "evidence.json", Evidence).records
    assert records == run.evidence
    assert fathom.load(run.folder).sample("The", max_tokens=3)
