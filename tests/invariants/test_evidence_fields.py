"""What the network goes by: fields are shuffled one by one, whole, and nothing else is."""

import re

import numpy as np
import pandas as pd
import pytest

from evidence_subjects import fresh
from fathom.core.budget import Budget
from fathom.core.ragged import Ragged
from fathom.data.encode import encode, input_spec
from fathom.data.infer import infer_schema
from fathom.data.learn import learn
from fathom.data.raw import Raw
from fathom.data.table import Table
from fathom.evidence import EVIDENCE
from fathom.evidence import fields as module
from fathom.evidence.fields import columns_of, shuffled

N = 80


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": generator.normal(size=N),
            "when": pd.date_range("2024-01-01", periods=N, freq="31h"),
            "colour": generator.choice(["red", "green", "blue"], N),
            "price": generator.normal(size=N),
            "sold": generator.choice(["yes", "no"], N),
            "note": [f"a long note number {i} of many" for i in range(N)],
            "y": generator.choice(["a", "b"], N),
        }
    )
    raw = Raw("toy", "toy.csv", Table.from_frame(frame))
    schema = learn(infer_schema(raw, target="y"), raw.table, np.arange(N))
    return schema, encode(raw.table, schema).examples


def whole(block):
    return np.asarray(block) if not isinstance(block, Ragged) else block[:]


def test_the_columns_of_fields_are_those_that_they_are_encoded_to(data):
    schema, _ = data
    places = [place for f in schema.of_kind("number", "time") for place in columns_of(schema, f)]
    names = input_spec(schema).blocks["numbers"].names
    assert places == list(range(len(names)))
    when = next(f for f in schema.inputs if f.name == "when")
    assert {names[i].split()[0] for i in columns_of(schema, when)} == {"when"}
    assert len(columns_of(schema, when)) > 1


@pytest.mark.parametrize("name", ["size", "when", "colour", "price", "sold", "note"])
def test_a_field_is_shuffled_whole_and_no_other_is(data, name):
    schema, examples = data
    field = next(f for f in schema.inputs if f.name == name)
    order = np.random.default_rng(1).permutation(N)
    after = shuffled(examples, schema, field, order)
    for key, block in examples.inputs.items():
        before, now = whole(block), whole(after.inputs[key])
        moved = before[order]
        if key == name:
            np.testing.assert_array_equal(now, moved)
            assert after.texts(name) == [examples.texts(name)[i] for i in order]
            continue
        expected = before.copy()
        block_of = module.COLUMNS.get(field.kind)
        if key == block_of:
            places = columns_of(schema, field)
            expected[:, places] = moved[:, places]
        np.testing.assert_array_equal(now, expected)


def test_what_decides_is_found_and_sorted_first():
    records = EVIDENCE["fields"].measure(fresh("diabetes"), Budget(60))
    summary, each = records[0], records[1:]
    assert [r.value for r in each] == sorted((r.value for r in each), reverse=True)
    assert each[0].id in {"fields.bmi", "fields.s5", "fields.bp"}
    assert each[0].interval[0] > 0
    assert summary.figure.data["labels"] == [r.id.removeprefix("fields.") for r in each]
    assert summary.value == sum(r.interval[0] > 0 for r in each)
    assert re.search(r"linear model (falls|rises) by [0-9]", each[0].sentence)


def test_of_many_fields_the_most_telling_are_shown(monkeypatch):
    monkeypatch.setattr(module, "SHOWN", 4)
    records = EVIDENCE["fields"].measure(fresh("breast-cancer"), Budget(60))
    assert len(records) == 5
    assert "The 4 most telling of 30 fields are shown." in records[0].sentence


def test_one_field_alone_is_not_applicable():
    (record,) = EVIDENCE["fields"].measure(fresh("digits"), Budget(60))
    assert record.status == "not_applicable"
    assert "only field is 'image'" in record.reason
