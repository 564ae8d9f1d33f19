"""Texts that are nearly the same are found, what only sounds alike is not, and splits keep them."""

import time

import numpy as np
import pandas as pd
import pytest

from fathom.core.budget import Budget
from fathom.data.audit import audit
from fathom.data.hashing import hash_inputs
from fathom.data.infer import infer_schema
from fathom.data.near_texts import near_texts
from fathom.data.raw import Raw
from fathom.data.repeats import find_repeats
from fathom.data.split import split
from fathom.data.table import Table

GENERATOR = np.random.default_rng(0)
WORDS = ["".join(GENERATOR.choice(list("abcdefghiklmnoprstuvw"), 5)) for _ in range(400)]
KANJI = [chr(c) for c in range(0x4E00, 0x4E00 + 600)]
BASE = [" ".join(GENERATOR.choice(WORDS, 14)) for _ in range(200)]
CHANGES = {
    "a word replaced": lambda text: " ".join([*text.split()[:7], "other", *text.split()[8:]]),
    "a number added": lambda text: f"{text} 0907",
    "another case and a sign": lambda text: text.upper() + "!",
    "cut short": lambda text: text[:-12],
    "the halves changed over": lambda text: " ".join([*text.split()[7:], *text.split()[:7]]),
}


def found_in(texts, **columns):
    frame = pd.DataFrame({"text": texts, "y": ["a", "b"] * (len(texts) // 2), **columns})
    raw = Raw("toy", "toy.csv", Table.from_frame(frame))
    schema = infer_schema(raw, target="y", kinds={"text": "text"})
    hashes = hash_inputs(schema, raw.table)
    return raw, schema, {tuple(map(int, p)) for p in near_texts(schema, raw.table, hashes)}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_texts_are_found_and_no_others(change):
    _, _, found = found_in([*BASE, *map(CHANGES[change], BASE[:60])])
    assert found == {(i, 200 + i) for i in range(60)}


def test_texts_without_spaces_are_found():
    base = ["".join(GENERATOR.choice(KANJI, 60)) for _ in range(100)]
    changed = [text[:30] + "変" + text[31:] for text in base[:40]]
    assert found_in([*base, *changed])[2] == {(i, 100 + i) for i in range(40)}


def test_short_texts_and_equal_ones_are_no_pairs():
    assert not found_in(["see you later", "see you later!"] * 40)[2]
    assert not found_in([BASE[0], BASE[1]] * 40)[2]


def test_other_columns_must_agree():
    texts = [*BASE, *(f"{text} 0907" for text in BASE)]
    size = GENERATOR.normal(size=200)
    assert len(found_in(texts, size=[*size, *size])[2]) == 200
    assert not found_in(texts, size=[*size, *(size + 1)])[2]


def test_near_texts_stay_on_one_side_and_are_said():
    raw, schema, _ = found_in([*BASE, *(f"{text} 0907" for text in BASE)])
    repeats = find_repeats(raw, schema, seed=0)
    splits = split(raw, schema, seed=0, repeats=repeats)
    side = np.empty(400, dtype=object)
    for name in ("train", "validation", "calibration", "test"):
        side[getattr(splits, name)] = name
    assert (side[:200] == side[200:]).all()
    found = audit(raw, schema, seed=0, training=splits.train, repeats=repeats, budget=Budget(9))
    record = next(r for r in found.records if r.id == "data.near_duplicates")
    assert record.value == 1.0
    assert "texts of which 70.0 % or more is the same" in record.sentence


def test_what_takes_too_long_is_left_out_unless_it_is_wanted(monkeypatch):
    monkeypatch.setattr("fathom.data.near_texts.SECONDS_PER_CHARACTER", 1.0)
    raw, schema, _ = found_in([*BASE, *(f"{text} 0907" for text in BASE)])
    budget = Budget(90, clock=time.monotonic)
    skipped = find_repeats(raw, schema, seed=0, budget=budget).near
    assert not skipped.searched
    assert "comparing the texts takes about" in skipped.why_not
    assert len(find_repeats(raw, schema, seed=0, budget=budget, wanted=True).near.pairs) == 200
