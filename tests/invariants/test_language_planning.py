"""How a network of language is sized: larger with more computing, and never beyond its text."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import fathom
import language_corpora
from fathom.core.errors import BudgetError, PlanError
from fathom.networks.language import GptSpec, LstmSpec, build, family_of
from fathom.planning.language.draft import make_draft
from fathom.planning.language.plan import LanguagePlan
from fathom.planning.language.request import check_language_settings, make_language_request
from fathom.planning.language.sizes import (
    EPOCHS,
    choose_batch,
    choose_context,
    choose_size,
    operations_per_token,
    sizes,
    wanted_ratio,
)
from fathom.planning.plan import read_plan


def size_for(operations: float, text_tokens: int = 10**12, family: str = "gpt"):
    return choose_size(
        operations, family=family, vocabulary=512, context=128, text_tokens=text_tokens
    )


@pytest.mark.parametrize("family", ["gpt", "lstm"])
def test_more_operations_never_make_a_smaller_network(family):
    weights = []
    for exponent in range(10, 23):
        spec, why = size_for(10.0**exponent, family=family)
        weights.append(family_of(spec).per_token(spec, 512))
        assert "operations fit into the time" in why
    assert weights == sorted(weights)
    assert weights[-1] > 50 * weights[0]


def test_each_weight_sees_as_many_tokens_as_is_aimed_at():
    for operations in (1e13, 1e15, 1e17):
        spec, _ = size_for(operations)
        tokens = operations / operations_per_token(spec, 512)
        ratio = tokens / family_of(spec).per_token(spec, 512)
        assert ratio >= wanted_ratio(operations)


def test_a_short_text_makes_a_smaller_network():
    long, _ = size_for(1e15)
    short, _ = size_for(1e15, text_tokens=200_000)
    weights = [family_of(spec).per_token(spec, 512) for spec in (short, long)]
    assert weights[0] < weights[1]
    assert EPOCHS * 200_000 / weights[0] >= wanted_ratio(1e15) or short == next(sizes("gpt", 128))


def test_operations_are_those_of_the_matrices():
    """Six for each weight that a token meets, and attention over half of the context on average."""
    spec = GptSpec(depth=3, width=64, num_heads=2, context=100)
    network = build(spec, 300, seed=0)
    matrices = sum(p.numel() for n, p in network.named_parameters() if p.ndim == 2)
    matrices -= network.embedding.weight.numel()
    scores = 2 * 2 * 3 * 64 * (100 / 2)  # products of queries and keys, and of shares and values
    assert operations_per_token(spec, 300) == pytest.approx(3 * (2 * matrices + scores))
    cells = LstmSpec(width=32)
    assert operations_per_token(cells, 300) == 6 * (4 * 2 * 32 * 32 + 32 * 300)


def test_batches_grow_with_what_is_read():
    batches = [choose_batch(10.0**k, 128) for k in range(4, 12)]
    assert batches == sorted(batches)
    assert all(size & (size - 1) == 0 for size in batches)


def test_a_context_leaves_several_windows_of_a_short_text():
    assert choose_context(1e12, "cpu", 1_000) == 125
    assert choose_context(1e12, "cpu", 20) == 16
    assert choose_context(1e12, "cuda", 10**9) > choose_context(1e12, "cpu", 10**9)


def test_settings_stand_above_defaults():
    settings = {"network.width": 96, "network.num_heads": 3, "learning_rate": 0.005, "depth": 2}
    request = make_language_request(["text"], settings)
    draft = make_draft(request, GptSpec(), {"network.width": "a rule"}, begun=False)
    assert (draft.network.width, draft.network.depth) == (96, 2)
    assert draft.training.optimizer.learning_rate == 0.005
    assert draft.why["network.width"] == "was set by the user."
    assert make_draft(request, GptSpec(), {}, begun=False).fixed >= {"network.depth"}


def test_a_long_context_is_not_trained_on_where_positions_are_rotary():
    """A network made for 131,072 tokens would take a whole text for one example."""
    from fathom.data.corpus.tokenizing import train_tokenizer
    from fathom.planning.language.beginning import Beginning
    from fathom.planning.language.draft import begun_draft

    def begun(settings, **changes):
        spec = GptSpec(depth=1, width=32, num_heads=1, context=131_072, **changes)
        tokenizer = train_tokenizer("byte", [])
        known = Beginning("", "", "", spec, tokenizer, {}, tokenizer.size)
        request = make_language_request(["text"], settings)
        return begun_draft(request, known, text_tokens=10**9)

    assert begun({}).network.context == choose_context(float("inf"), "cpu", 10**9)
    assert begun({"network.context": 64}).network.context == 64
    assert begun({}, positions="learned").network.context == 131_072
    with pytest.raises(PlanError, match=r"131,072 at most"):
        begun({"network.context": 200_000})
    with pytest.raises(PlanError, match="shape"):
        begun({"network.depth": 3})


def test_the_optimizer_is_a_choice():
    for name in ("adamw", "adam", "sgd", "muon"):
        request = make_language_request(["text"], {"optimizer": name})
        draft = make_draft(request, GptSpec(), {}, begun=False)
        assert draft.training.optimizer.name == name


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"netwrok": 3}, "network"),
        ({"network": "convnet"}, "gpt"),
        ({"network.depth": "deep"}, "network.depth"),
        ({"tokenizer": "word"}, "tokenizer"),
        ({"vocabulary": "many"}, "vocabulary"),
        ({"optimizer": "lion"}, "optimizer"),
        ({"label_smoothing": 0.1}, "label_smoothing"),
    ],
)
def test_a_slip_is_told_before_anything_is_read(settings, named):
    with pytest.raises(PlanError, match=named):
        check_language_settings(settings)


def test_a_plan_is_read_back_as_it_was_written(tmp_path: Path):
    run = fathom.fit(
        language_corpora.tales(40),
        task="language",
        steps=2,
        out=tmp_path,
        settings={"training.threads": 1, "network.width": 32, "network.depth": 1, "vocabulary": 300,
                  "network.num_heads": 1},
    )  # fmt: skip
    content = read_plan(run.folder / "plan.yaml")
    plan = msgspec.convert(content, LanguagePlan, strict=False)
    assert msgspec.json.decode(msgspec.json.encode(plan)) == content
    assert plan.data.vocabulary == 300
    assert plan.ngrams is not None
    assert plan.training.steps == 2
    content["network"]["width"] = -4
    with pytest.raises(PlanError, match=r"network\.width"):
        msgspec.convert(content, LanguagePlan, strict=False)


def test_a_budget_that_does_not_suffice_says_what_would(tmp_path: Path):
    with pytest.raises(BudgetError, match=r"--budget \d+s"):
        fathom.fit(language_corpora.tales(60), task="language", budget="2s", out=tmp_path)
    assert not list(tmp_path.glob("*"))
