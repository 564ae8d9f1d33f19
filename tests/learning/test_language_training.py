"""A network of language learns what comes next, and nothing where there is nothing to learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import training_runs
from fathom.core.files import read_lines
from fathom.inference.language import LanguagePredictor, LoadedLanguage
from fathom.networks.language import LstmSpec
from fathom.training.language import mean_nats


def shuffled(documents):
    """The same tokens in an order of chance: all that can be learned is how often each is."""
    tokens = documents.tokens.copy()
    inside = tokens != 0
    tokens[inside] = np.random.default_rng(0).permutation(tokens[inside])
    return replace(documents, tokens=tokens)


@pytest.mark.parametrize("network", [None, LstmSpec(width=48, context=24)])
def test_it_learns_what_follows(network, tmp_path: Path):
    what = training_runs.language_fit(steps=120)
    what = what if network is None else replace(what, network=network)
    fitted, result = what.fit(tmp_path)
    assert result.steps == 120
    nats = mean_nats(fitted, what.validation, what.training, "cpu")
    # Which step a text goes in shows from its second token on; where it ends never does.
    assert nats < 0.5 < np.log(10)


def test_from_tokens_in_an_order_of_chance_it_learns_nothing_of_the_kind(tmp_path: Path):
    what = training_runs.language_fit(120, shuffled(training_runs.documents(60, "train")))
    fitted, _ = what.fit(tmp_path)
    assert mean_nats(fitted, what.validation, what.training, "cpu") > 1.5


def test_the_log_tells_bits_per_byte_and_tokens_a_second(tmp_path: Path):
    what = training_runs.language_fit()
    what.fit(tmp_path)
    lines = read_lines(tmp_path / "log.jsonl")
    checks = [line for line in lines if line["kind"] == "validation"]
    sizes, predicted = what.validation.sizes.sum(), what.validation.predicted
    for check in checks:
        bits = check["nats_per_token"] * predicted / sizes / np.log(2)
        assert check["bits_per_byte"] == pytest.approx(bits)
        assert check["score"] == -check["bits_per_byte"]
    steps = [line for line in lines if line["kind"] == "step"]
    elapsed = steps[-1]["seconds"] - steps[-2]["seconds"]
    tokens = 5 * what.training.batch_size * what.network.context
    # Validating and saving stand between the two lines as well.
    assert steps[-1]["throughput"] == pytest.approx(tokens / elapsed, rel=0.5)


def test_what_is_validated_is_what_is_scored(tmp_path: Path):
    """The loss in training's own windows is the mean of what a predictor says in the same ones."""
    what = training_runs.language_fit()
    fitted, _ = what.fit(tmp_path)
    model = LoadedLanguage(fitted, what.network, tokenizer=Ten())
    scores = LanguagePredictor(model).scores(what.validation, stride=what.network.context)
    mean = mean_nats(fitted, what.validation, what.training, "cpu")
    assert float(scores.nats.mean()) == pytest.approx(mean, rel=1e-4)
    assert scores.right.mean() == pytest.approx(0.9, abs=0.15)
    likely = np.exp(-scores.nats)
    np.testing.assert_allclose(likely[scores.right], scores.confidence[scores.right], rtol=1e-3)
    assert (scores.confidence >= likely - 1e-4).all()


def test_going_on_begins_with_the_weights_that_are_given(tmp_path: Path):
    what = training_runs.language_fit(steps=60)
    fitted, _ = what.fit(tmp_path / "first")
    more = replace(what, begun_with=fitted.state_dict())
    before = mean_nats(more.build().eval(), what.validation, what.training, "cpu")
    assert before == pytest.approx(mean_nats(fitted, what.validation, what.training, "cpu"))
    assert before < mean_nats(what.build().eval(), what.validation, what.training, "cpu") / 2


class Ten:
    """As much of a tokenizer as reading needs."""

    size, end = 10, 0


def test_windows_judge_every_token_once_with_enough_before_it():
    from fathom.inference.reading import parts_of, windows_of

    documents = training_runs.documents(15, "windows")
    for context, stride in ((16, None), (16, 16), (7, 3), (100, None)):
        windows = windows_of(documents, context, stride)
        judged = np.zeros(len(documents.tokens), dtype=int)
        for part in parts_of(documents, windows, vocabulary=10, device="cpu"):
            judged[part.positions] += 1
            targets = part.targets[part.counted].numpy()
            np.testing.assert_array_equal(targets, documents.tokens[part.positions])
            assert (part.tokens[:, 0] >= 0).all()
            before = torch.arange(part.tokens.shape[1]).expand_as(part.tokens)[part.counted]
            step = max(1, context // 2) if stride is None else stride
            begins = np.isin(part.positions, documents.starts[:-1])
            assert (before.numpy()[begins] == 0).all()
            assert (before.numpy() <= context - 1).all()
            first = documents.starts[np.searchsorted(documents.starts, part.positions, "right") - 1]
            enough = np.minimum(part.positions - first, context - step)
            assert (before.numpy() >= enough).all()
        assert judged[0] == 0
        assert (judged[1:] == 1).all()
