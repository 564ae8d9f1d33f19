"""The audit finds planted faults, and leaves honest data sets alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn import datasets

from fathom.core.budget import Budget
from fathom.core.errors import LeakError
from fathom.core.record import Evidence
from fathom.data.audit import audit
from fathom.data.infer import infer_schema
from fathom.data.prepare import drop_unusable
from fathom.data.raw import Raw
from fathom.data.table import Table
from fathom.planning.prepare import refuse_leaks


def audited(frame, target="y", given=None, seconds=60.0, **options):
    raw = Raw("toy", "toy.csv", Table.from_frame(frame), given_split=given)
    schema = infer_schema(raw, target=target, **options)
    return audit(drop_unusable(raw, schema), schema, seed=0, budget=Budget(seconds))


def by_id(result):
    return {record.id: record for record in result.records}


def toy(n=600, seed=0):
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(generator.normal(size=(n, 3)), columns=["a", "b", "c"])
    frame["y"] = np.where(frame["a"] + generator.normal(size=n) > 0, "yes", "no")
    return frame


@pytest.mark.parametrize("name", ["load_iris", "load_wine", "load_breast_cancer", "load_diabetes"])
def test_honest_data_sets_have_no_leak(name):
    frame = getattr(datasets, name)(as_frame=True).frame
    result = audited(frame, target="target")
    assert result.leaks == ()
    assert by_id(result)["data.leak"].value == 0


def test_digits_as_a_table_have_no_leak():
    assert audited(datasets.load_digits(as_frame=True).frame, target="target").leaks == ()


def test_the_separable_half_of_iris_is_no_leak():
    frame = datasets.load_iris(as_frame=True).frame
    assert audited(frame[frame["target"] < 2].reset_index(drop=True), target="target").leaks == ()


@pytest.mark.parametrize(
    "leak",
    [
        lambda y: y.map({"yes": 3, "no": 7}),
        lambda y: y.map({"yes": "approved", "no": "rejected"}),
        lambda y: (y == "yes") + np.random.default_rng(1).uniform(0, 0.4, len(y)),
        lambda y: [f"{v}-{i % 20}" for i, v in enumerate(y)],
        lambda y: np.where(y == "yes", np.random.default_rng(1).uniform(size=len(y)), np.nan),
    ],
)
def test_planted_leaks_of_classes_are_found(leak):
    frame = toy()
    frame.insert(0, "late", leak(frame["y"]))
    result = audited(frame)
    assert result.leaks == ("late",)
    record = by_id(result)["data.leak"]
    assert record.grade == "poor"
    assert "'late'" in record.sentence
    assert "--drop" in record.sentence


@pytest.mark.parametrize(
    "leak", [lambda y: y / 1000, np.log, lambda y: y.round(1) * 7, lambda y: 1 / y]
)
def test_planted_leaks_of_numbers_are_found(leak):
    frame = toy()
    frame["y"] = np.random.default_rng(2).lognormal(3, 1, len(frame))
    frame["late"] = leak(frame["y"])
    assert audited(frame).leaks == ("late",)


def test_a_rare_class_and_few_rows_raise_no_alarm():
    frame = toy(300)
    frame["y"] = np.where(np.arange(300) < 6, "fraud", "fine")
    frame["amount"] = np.where(np.arange(300) < 6, 9.0, frame["b"])
    assert audited(frame).leaks == ()
    assert by_id(audited(toy(15)))["data.leak"].status == "not_applicable"


def test_leaks_are_not_looked_for_in_test_targets():
    frame = toy(400)
    given = np.array(["train"] * 200 + ["test"] * 200, dtype=object)
    frame["late"] = [*np.random.default_rng(0).normal(size=200), *(frame["y"] == "yes")[200:]]
    assert audited(frame, given=given).leaks == ()
    assert by_id(audited(frame, given=given))["data.leak"].n == 200


def test_numbers_beyond_float32_are_no_fault():
    frame = toy()
    frame["a"] = frame["a"] * 1e300
    assert audited(frame).leaks == ()


def test_a_spent_budget_is_said():
    result = audited(toy(), seconds=1e-9)
    assert result.leaks == ()
    assert "no time" in by_id(result)["data.leak"].sentence


def test_duplicates_conflicts_and_straddlers():
    frame = pd.concat([toy(200), toy(200).iloc[:20]], ignore_index=True)
    frame.loc[200:209, "y"] = frame.loc[200:209, "y"].map({"yes": "no", "no": "yes"})
    given = np.array(["train"] * 200 + ["test"] * 20, dtype=object)
    records = by_id(audited(frame, given=given))
    assert records["data.duplicates"].value == pytest.approx(20 / 220)
    assert "row 201 those of row 1" in records["data.duplicates"].sentence
    assert records["data.conflicts"].value == pytest.approx(10 / 220)
    assert records["data.straddlers"].value == 1.0
    assert records["data.straddlers"].split == "test"
    assert by_id(audited(toy()))["data.straddlers"].status == "not_applicable"


def test_missing_imbalance_small_classes_constants_identifiers():
    frame = toy(500)
    frame.loc[:249, "b"] = np.nan
    frame["id"] = np.arange(500)
    frame["same"] = "x"
    frame.loc[:2, "y"] = "rare"
    records = by_id(audited(frame))
    assert records["data.missing"].value == pytest.approx(0.5 / 3)
    assert records["data.missing"].figure.data["rows"][0] == ["b", "50.0 %", 250]
    assert records["data.imbalance"].grade == "poor"
    assert sum(records["data.imbalance"].figure.data["values"]) == 500
    assert records["data.small_classes"].value == 1
    assert "rare (3)" in records["data.small_classes"].sentence
    assert "id" in records["data.identifiers"].sentence
    assert records["data.constants"].value == 1


def test_every_record_is_json_with_a_sentence():
    import msgspec

    for frame in (toy(), toy().assign(y=np.linspace(0, 1, 600))):
        records = audited(frame).records
        assert len({r.id for r in records}) == len(records)
        for record in records:
            assert record.group == "data"
            assert record.id.startswith("data.")
            assert record.sentence.endswith(".")
        content = msgspec.json.encode(Evidence(tuple(records)))
        assert msgspec.json.decode(content, type=Evidence).records == records


def test_the_histogram_shows_a_number_to_be_learned():
    records = by_id(audited(toy().assign(y=np.linspace(0, 1, 600))))
    assert records["data.rows"].figure.kind == "histogram"
    assert records["data.imbalance"].status == "not_applicable"


@pytest.mark.parametrize("clock", ["number", "dates"])
def test_a_column_that_names_series_has_another_way_out(clock):
    draw = np.random.default_rng(0)
    rows = [(f"p{k:02d}", j, draw.normal(), "ab"[k % 2]) for k in range(30) for j in range(20)]
    frame = pd.DataFrame(rows, columns=["who", "step", "x", "y"])
    if clock == "dates":
        days = pd.date_range("2024-01-01", periods=20)
        frame["step"] = [str(days[j]) for j in frame["step"]]
    found = audited(frame)
    assert found.leaks == ("who",)
    (sentence,) = [r.sentence for r in found.records if r.id == "data.leak"]
    assert "--set series_id=who --set series_time=step" in sentence
    assert "--group who" in sentence
    assert "--drop" not in sentence
    with pytest.raises(LeakError, match="series_id=who"):
        refuse_leaks(found, allowed=False)
    assert audited(frame.drop(columns="step")).series is None  # nothing orders the rows


def test_a_code_for_the_class_is_found_in_few_rows():
    frame = toy(40)
    frame["late"] = frame["y"].map({"yes": "J", "no": "N"})
    assert audited(frame).leaks == ("late",)


def test_a_leak_in_a_large_table_passes_the_screen():
    frame = toy(30_000)
    frame["late"] = (frame["y"] == "yes") + np.random.default_rng(1).uniform(0, 0.9, len(frame))
    result = audited(frame)
    assert result.leaks == ("late",)
    assert by_id(result)["data.leak"].n == 20_000
