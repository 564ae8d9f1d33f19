"""What the values of a column say about its kind, and what a target says about the task."""

import numpy as np
import pandas as pd
import pytest

from fathom.core.errors import DataError, PlanError, UserError
from fathom.core.schema import TimeStatistics
from fathom.data.infer import infer_schema
from fathom.data.prepare import drop_unusable
from fathom.data.raw import Raw
from fathom.data.table import Table

N = 60
COLORS = ["red", "green", "blue"]


def raw_of(given=None, **columns) -> Raw:
    return Raw("toy", "toy.csv", Table.from_frame(pd.DataFrame(columns)), given_split=given)


def field_of(values, name="column", **options):
    raw = raw_of(**{name: values, "y": ["a", "b"] * (len(values) // 2)})
    schema = infer_schema(
        Raw(raw.name, "", raw.table.replace("other", pd.Series(np.arange(len(values)) % 7))),
        target="y",
        **options,
    )
    return next(f for f in schema.fields if f.name == name)


@pytest.mark.parametrize(
    ("values", "kind", "role"),
    [
        (np.linspace(0, 1, N), "number", "input"),
        (np.arange(N) % 14, "number", "input"),
        ([str(i * 1.5) for i in range(N - 1)] + [" "], "number", "input"),
        ([str(i * 1.5) for i in range(N - 2)] + ["n/a", "unknown"], "number", "input"),
        (["yes", "no"] * (N // 2), "boolean", "input"),
        ([0, 1] * (N // 2), "boolean", "input"),
        ([True, False] * (N // 2), "boolean", "input"),
        ([1.5, 2.5] * (N // 2), "number", "input"),
        (COLORS * (N // 3), "category", "input"),
        (["Y", None] * (N // 2), "category", "input"),
        ([f"0{i % 9}" for i in range(N)], "category", "input"),
        (pd.date_range("2024-01-01", periods=N), "time", "input"),
        ([f"2024-01-{i % 28 + 1:02d} 13:00" for i in range(N)], "time", "input"),
        ([f"{i % 28 + 1}.03.2024" for i in range(N)], "time", "input"),
        ([f"customer-{i}" for i in range(N)], "category", "ignored"),
        (np.arange(N) + 17, "number", "ignored"),
        ([f"this is the long review number {i}" for i in range(N)], "text", "input"),
        (["same"] * N, "category", "ignored"),
        ([None] * N, "category", "ignored"),
    ],
)
def test_kind_follows_from_all_values(values, kind, role):
    field = field_of(values)
    assert (field.kind, field.role) == (kind, role), field.reason
    assert field.reason


@pytest.mark.parametrize("name", ["zip_code", "ZIP", "postcode"])
def test_codes_that_look_like_numbers_are_categories(name):
    assert field_of(10_000 + np.arange(N) % 5, name=name).kind == "category"


def test_a_year_is_no_identifier_and_an_id_is_one():
    assert field_of(np.arange(1960, 1960 + N), name="year").role == "input"
    assert field_of(np.arange(N)[::-1] * 3, name="PassengerId").role == "ignored"
    assert field_of(np.arange(N)[::-1] * 3, name="bid").role == "input"


def test_reasons_carry_figures():
    assert "14 distinct values in 60 rows" in field_of(np.arange(N) % 14).reason
    assert (
        "texts of 4 words: 60 distinct" in field_of([f"a long text {i}" for i in range(N)]).reason
    )


def test_layout_of_dates_is_decided_on_all_rows():
    day_first = [f"0{i % 9 + 1}/02/2024" for i in range(N - 1)] + ["25/02/2024"]
    statistics = field_of(day_first).statistics
    assert isinstance(statistics, TimeStatistics)
    assert statistics.layout == "%d/%m/%Y"
    assert "cannot be told apart" in field_of(day_first[:-2] * 1).reason


def test_kinds_are_overridden_and_revive_ignored_columns():
    ids = np.arange(N)
    assert field_of(ids, kinds={"column": "number"}).role == "input"
    assert field_of(np.arange(N) % 4, kinds={"column": "category"}).kind == "category"
    with pytest.raises(PlanError, match="not used yet"):
        field_of(ids, kinds={"column": "volume"})
    with pytest.raises(PlanError, match=r"'numbr'.*Did you mean 'number'"):
        field_of(ids, kinds={"column": "numbr"})
    with pytest.raises(DataError, match="holds no number"):
        field_of(COLORS * (N // 3), kinds={"column": "number"})


def test_roles_that_are_asked_for():
    raw = raw_of(
        a=np.arange(N) % 5, who=[f"p{i % 6}" for i in range(N)], t=np.arange(N), y=[0, 1] * (N // 2)
    )
    assert [f.role for f in infer_schema(raw, target="y", group="who").fields][1] == "group"
    assert [f.role for f in infer_schema(raw, target="y", order="t").fields][2] == "order"
    assert [f.role for f in infer_schema(raw, target="y", drop=["who"]).fields][1] == "ignored"
    with pytest.raises(DataError, match=r"'whom'.*Did you mean 'who'"):
        infer_schema(raw, target="y", group="whom")
    with pytest.raises(DataError, match="cannot order"):
        infer_schema(raw, target="y", order="who")
    with pytest.raises(PlanError, match="both target and ignored"):
        infer_schema(raw, target="y", drop=["y"])
    with pytest.raises(PlanError, match="exclude each other"):
        infer_schema(raw, target="y", group="who", order="t")


def test_a_target_is_never_guessed():
    raw = raw_of(size=np.arange(N) % 5, price=np.linspace(0, 1, N))
    with pytest.raises(DataError, match=r"--target.*size, price"):
        infer_schema(raw)
    with pytest.raises(DataError, match="Did you mean 'price'"):
        infer_schema(raw, target="Prize")


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["yes", "no"] * (N // 2), "classification"),
        ([1.5, 2.5] * (N // 2), "classification"),
        (COLORS * (N // 3), "classification"),
        (np.arange(N) % 6 + 3, "classification"),
        ((np.arange(N) % 6) * 1000, "regression"),
        (np.linspace(0, 1, N), "regression"),
        (np.arange(N) // 2, "regression"),
    ],
)
def test_task_follows_from_the_target(values, task):
    schema = infer_schema(raw_of(x=np.arange(N) % 5, y=values), target="y")
    assert schema.task == task, schema.task_reason
    assert schema.task_reason


def test_task_can_be_overridden():
    raw = raw_of(x=np.arange(N) % 5, y=np.arange(N) % 6)
    assert infer_schema(raw, target="y", task="regression").task == "regression"
    assert infer_schema(raw, target="y", kinds={"y": "number"}).task == "regression"


@pytest.mark.parametrize(
    ("values", "task", "message"),
    [
        ([1.5, 2.5, 3.5, "lots"] * (N // 4), "regression", "row 4 holds 'lots'"),
        (["one"] * N, None, "one class alone, 'one'"),
        ([5.0] * N, None, "one class alone, '5'"),
        ([None] * N, None, "no value in any row"),
        ([f"name {i}" for i in range(N)], None, "60 classes in 60 rows"),
        (np.linspace(0, 1, N), "classification", "--task regression"),
    ],
)
def test_targets_that_cannot_be_learned(values, task, message):
    with pytest.raises(DataError, match=message):
        infer_schema(raw_of(x=np.arange(N) % 5, y=values), target="y", task=task)


def test_no_input_left_says_why():
    raw = raw_of(id=np.arange(N), y=["a", "b"] * (N // 2))
    with pytest.raises(UserError, match="id: an identifier"):
        infer_schema(raw, target="y")


def test_rows_without_target_are_dropped_and_counted():
    raw = raw_of(x=np.arange(N) % 5, y=["a", "b", None] * (N // 3))
    usable = drop_unusable(raw, infer_schema(raw, target="y"))
    assert len(usable) == 40
    assert len(usable.problems) == 1
    assert "20 rows" in usable.problems[0].reason
    assert usable.locate(2) == "row 4"


def test_too_little_data_is_refused():
    raw = raw_of(x=[1, 2, 3, 4, 5], y=["a", "b", "a", "b", "a"])
    with pytest.raises(DataError, match=r"5 rows .* at least 10"):
        drop_unusable(raw, infer_schema(raw, target="y"))


def test_given_test_rows_of_an_unknown_class_are_named():
    given = np.array(["train"] * 40 + ["test"] * 20, dtype=object)
    raw = raw_of(given, x=np.arange(N) % 5, y=["a", "b"] * 20 + ["a", "c"] * 10)
    with pytest.raises(DataError, match="row 42 has the class 'c'"):
        drop_unusable(raw, infer_schema(raw, target="y"))


def test_given_training_rows_of_one_class_are_refused():
    given = np.array(["train"] * 40 + ["test"] * 20, dtype=object)
    raw = raw_of(given, x=np.arange(N) % 5, y=["a"] * 40 + ["a", "c"] * 10)
    with pytest.raises(DataError, match="one class alone in the training rows, 'a'"):
        drop_unusable(raw, infer_schema(raw, target="y"))
