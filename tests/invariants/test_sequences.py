"""Sequences: ragged blocks, batches of about equal length, and texts as token codes."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch

from fathom.core.blocks import PADDING_TOKEN, START_TOKEN, UNKNOWN_TOKEN
from fathom.core.examples import Examples
from fathom.core.ragged import Ragged, work_of
from fathom.data.encode import encode
from fathom.data.infer import infer_schema
from fathom.data.learn import learn
from fathom.data.read import read
from fathom.data.remarks import remarks
from fathom.data.source import ArraySource
from fathom.data.texts import (
    as_written,
    encode_texts,
    learn_texts,
    token_texts,
    tokenizer_fits,
    told_cut,
)
from fathom.deployment.surprises import find_surprises
from fathom.inference import run_network


def ragged(lengths, padding=-1) -> Ragged:
    rows = [np.full(length, i, dtype=np.int32) for i, length in enumerate(lengths)]
    return Ragged.of(rows, padding, np.int32)


def test_rows_come_out_as_they_went_in_and_padded():
    block = ragged([3, 0, 2])
    assert block.shape == (3, 3)
    assert [block.row(i).tolist() for i in range(3)] == [[0, 0, 0], [], [2, 2]]
    assert block[1:].tolist() == [[-1, -1], [2, 2]]
    assert block[np.array([2, 2])].tolist() == [[2, 2], [2, 2]]
    assert block[np.array([True, False, False])].tolist() == [[0, 0, 0]]
    assert block[[1]].tolist() == [[-1]]  # an empty row is one step of padding
    assert np.asarray(block).shape == (3, 3)
    with pytest.raises(IndexError, match="row"):
        block[0]


def test_a_view_takes_rows_and_copies_no_values():
    block = ragged([3, 1, 2, 4])
    part = block.take(np.array([3, 1, 1]))
    assert part.values is block.values
    assert part.lengths.tolist() == [4, 1, 1]
    assert part[:].tolist() == [[3] * 4, [1, -1, -1, -1], [1, -1, -1, -1]]
    examples = Examples({"text": block}, None, np.arange(4), {"text": block})
    taken = examples.take(np.array([2]))
    assert taken.inputs["text"][:].tolist() == taken.written["text"][:].tolist() == [[2, 2]]


def test_work_counts_the_values_of_all_ragged_blocks():
    series = Ragged.of([np.zeros((2, 3)), np.zeros((5, 3))], np.nan, np.float32, 3)
    assert work_of([np.zeros((2, 4))]) is None
    assert work_of([ragged([1, 7]), series]).tolist() == [7, 22]


def skewed(count: int) -> np.ndarray:
    """Lengths as those of messages: many short ones, a few long ones."""
    return np.clip(np.random.default_rng(0).lognormal(3, 0.9, count), 1, 400).astype(int)


def test_padding_is_less_than_a_seventh_and_every_row_is_seen_once_an_epoch():
    lengths = skewed(5_000)
    source = ArraySource({"text": ragged(lengths)}, torch.arange(5_000), batch_size=32, seed=3)
    epoch = list(islice(source.batches(), source.batches_per_epoch))
    padding = np.mean([(batch.inputs["text"] == -1).float().mean() for batch in epoch])
    assert padding < 0.15
    seen = torch.cat([batch.indices for batch in epoch])
    assert len(seen.unique()) == len(seen) == source.batches_per_epoch * 32
    means = [float(batch.inputs["text"].shape[1]) for batch in epoch]
    first, second = np.array_split(np.array(means), 2)
    assert abs(first.mean() - second.mean()) < 0.5 * np.std(means)  # short ones do not come first
    again = [b.indices for b in islice(source.batches(), source.batches_per_epoch)]
    assert not torch.equal(seen, torch.cat(again))


def test_outputs_come_in_the_order_of_the_rows():
    class Sizes(torch.nn.Module):
        def forward(self, inputs):
            there = inputs["text"] != -1
            return there.sum(dim=1, keepdim=True).float()

    lengths = skewed(3_000)
    examples = Examples({"text": ragged(lengths)}, None, np.arange(3_000))
    outputs = run_network(Sizes(), examples)
    assert outputs[:, 0].tolist() == lengths.tolist()


TEXTS = ["The cat sat.", "the CAT sat on the mat", None, "", "Ünïcode 猫 works", "the cat"] * 30


def test_texts_become_codes_that_stand_for_them():
    column = pd.Series(TEXTS, dtype=object)
    statistics = learn_texts(column)
    codes = encode_texts(column, statistics)
    assert statistics.missing == 60  # an empty text says as little as none
    assert (codes.values < statistics.size).all()
    assert codes.row(2).tolist() == codes.row(3).tolist() == [START_TOKEN, UNKNOWN_TOKEN]
    assert all(codes.row(i)[0] == START_TOKEN for i in range(len(codes)))
    assert not (codes.values == PADDING_TOKEN).any()
    read = "".join(token_texts(statistics, codes.row(1)[1:]))
    assert read.strip() == "the cat sat on the mat"
    unseen = encode_texts(pd.Series(["ψ∆ entirely new words!"]), statistics)
    assert len(unseen.row(0)) > 5
    assert tokenizer_fits(statistics)


def test_long_texts_are_cut_and_it_is_said():
    column = pd.Series([f"word{i} " * (5_000 if i == 7 else 3) for i in range(50)])
    statistics = learn_texts(column)
    codes = encode_texts(column, statistics)
    assert codes.lengths.max() == statistics.length <= 512
    assert "2.0 %" in told_cut(statistics)
    assert told_cut(learn_texts(pd.Series(["short one", "short two"]))) == ""


def test_short_texts_are_not_cut_for_one_of_them():
    words = pd.Series([f"word{i} and another" if i != 7 else "other " * 60 for i in range(400)])
    statistics = learn_texts(words)
    assert statistics.cut == statistics.lost == 0.0
    assert 50 < statistics.length <= 128


def test_what_is_cut_is_a_warning_in_training_and_a_surprise_in_prediction():
    frame = pd.DataFrame(
        {
            "note": [f"word{i} " * (900 if i % 10 == 7 else 3) for i in range(100)],
            "y": ["a", "b"] * 50,
        }
    )
    raw = read(frame, target="y")
    schema = infer_schema(raw, target="y", kinds={"note": "text"})
    schema = learn(schema, raw.table, np.arange(100))
    encoded = encode(raw.table, schema)
    (said,) = remarks(raw, schema, encoded, 100)
    assert said.where == "Column 'note'"
    assert said.reason.startswith("10 of 100 training rows are longer than 512 tokens and cut")
    lost = schema.of_kind("text")[0].statistics.lost
    assert 0.5 < lost < 1
    assert f"about {round(100 * lost)} % of the column" in said.reason
    found = find_surprises(raw.table, schema, encoded)
    what = "are longer than 512 tokens: what comes after is not seen by the network"
    assert found == {("note", what): 10}


def test_what_was_written_is_kept_whole():
    examples = Examples({}, None, np.arange(len(TEXTS)), {"t": as_written(pd.Series(TEXTS))})
    assert examples.texts("t") == [text or "" for text in TEXTS]


@pytest.mark.parametrize("change", [{"tokenizer": "{}"}, {"size": 5}, {"length": 10**9}])
def test_a_foreign_tokenizer_does_not_fit(change):
    import msgspec

    statistics = learn_texts(pd.Series(TEXTS, dtype=object))
    assert not tokenizer_fits(msgspec.structs.replace(statistics, **change))
