"""Settings of single columns in a mixed network."""

import numpy as np
import pandas as pd
import pytest

from fathom.core.budget import Budget
from fathom.core.errors import PlanError
from fathom.core.progress import Silent
from fathom.planning.draft import make_draft
from fathom.planning.prepare import prepare
from fathom.planning.racers import racers
from fathom.planning.request import make_request
from fathom.planning.search_space import families, space

WORDS = ["good", "bad", "new", "old", "red", "green", "slow", "quick"]


@pytest.fixture(scope="module")
def table():
    generator = np.random.default_rng(0)
    said = [" ".join(generator.choice(WORDS, 6)) + f" {i}" for i in range(160)]
    return pd.DataFrame(
        {
            "a.title": said,
            "note": said[::-1],
            "size": generator.normal(size=160),
            "y": ["yes" if "good" in text else "no" for text in said],
        }
    )


@pytest.fixture(scope="module")
def prepared(table):
    return prepare(make_request(table, {}, target="y"), Budget(60), Silent())


def with_settings(table, prepared, settings):
    return make_draft(make_request(table, settings, target="y"), prepared)


def test_a_key_of_one_column_is_set_for_it_alone(table, prepared):
    draft = with_settings(table, prepared, {"network.fields.a.title.width": 64})
    fields = draft.network.fields
    assert fields["a.title"].width == 64
    assert fields["note"].width != 64
    assert "network.fields.a.title.width" in draft.fixed


def test_another_family_has_its_own_defaults_and_other_keys(table, prepared):
    settings = {"network.fields.note.width": 32, "network.fields.note.family": "gru"}
    note = with_settings(table, prepared, settings).network.fields["note"]
    assert (note.__struct_config__.tag, note.cell, note.width) == ("recurrent", "gru", 32)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network.fields.note.widht": 3}, r"no plan key.*Did you mean 'width'"),
        ({"network.fields.note.width": "broad"}, "it must be a whole number"),
        ({"network.fields.nots.width": 32}, r"names 'nots'.*'a.title', 'note'"),
        ({"network.fields.note.num_heads": 2}, "is of the family text_convnet, which has"),
        ({"network.fields.note.family": "vit"}, "for this column it may be"),
        ({"network.fields.note": 2}, "COLUMN.KEY"),
        ({"network": "mlp", "network.fields.note.width": 8}, "of the network family mixed"),
    ],
)
def test_what_cannot_be_meant_is_said(table, prepared, settings, message):
    with pytest.raises(PlanError, match=message):
        with_settings(table, prepared, settings)


def test_texts_beside_columns_race_against_simpler_networks(table, prepared):
    request = make_request(table, {}, target="y")
    draft = make_draft(request, prepared)
    assert [d.network.__struct_config__.tag for d in racers(request, prepared, draft)] == [
        "mixed",
        "mlp",
        "tabm",
    ]
    assert {"mixed", "mlp"} <= set(families(draft, prepared.inputs))
    keys = {d.key for d in space(draft, 100, pictures=False, classes=True)}
    assert {"network.width", "network.field_dropout"} <= keys


def test_one_text_races_among_the_networks_of_sequences(table):
    alone = table[["note", "y"]]
    request = make_request(alone, {}, target="y")
    ready = prepare(request, Budget(60), Silent())
    field = racers(request, ready, make_draft(request, ready))
    tags = [d.network.__struct_config__.tag for d in field]
    assert tags == ["text_convnet", "mlp", "transformer", "recurrent"]
    for dimension in space(field[0], 100, pictures=False, classes=True):
        assert not dimension.choices or dimension.default in dimension.choices
