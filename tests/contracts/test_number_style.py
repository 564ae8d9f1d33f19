"""How numbers are written is decided in training, and holds for every file that is read after."""

import msgspec
import pandas as pd
import pytest

from fathom.core.errors import DataError
from fathom.core.progress import Silent
from fathom.core.schema import Field, Schema
from fathom.data.infer import infer_schema
from fathom.data.read import read, read_rows

COMMAS = "x;n;y\n" + "".join(f"{i},5;{i % 7};{'ab'[i % 2]}\n" for i in range(40))
POINTS = "x;n;y\n" + "".join(f"{i}.5;{i % 7};{'ab'[i % 2]}\n" for i in range(40))
THOUSANDS = "x,n,y\n" + "".join(f'"{i + 1},500",{i},{"ab"[i % 2]}\n' for i in range(40))
UNDECIDED = "x;n;y\n" + "".join(f"{i};{i % 7};{'ab'[i % 2]}\n" for i in range(40))


def write(path, text):
    path.write_text(text)
    return path


def schema(tmp_path, text):
    made = infer_schema(read(write(tmp_path / "train.csv", text)), target="y")
    return msgspec.json.decode(msgspec.json.encode(made), type=Schema)


@pytest.mark.parametrize(
    ("training", "rows", "expected"),
    [
        (COMMAS, "x;n\n1,234;1\n", 1.234),
        (COMMAS, 'x,n\n"1,234",1\n', 1.234),
        (COMMAS, "x;n\n1.234;1\n", 1234),
        (COMMAS, "x;n\n1.234,5;1\n", 1234.5),
        (COMMAS, "x;n\n12;1\n", 12),
        (POINTS, "x;n\n1,234;1\n", 1234),
        (POINTS, "x;n\n1.234;1\n", 1.234),
        (POINTS, "x;n\n1e-3;1\n", 0.001),
        (THOUSANDS, "x;n\n1,234;1\n", 1234),
        (THOUSANDS, "x;n\n1.5;1\n", 1.5),
        (UNDECIDED, "x;n\n1,234;1\n", 1.234),
    ],
)
def test_rows_to_predict_are_read_as_the_training_data_was(tmp_path, training, rows, expected):
    learned = schema(tmp_path, training)
    raw = read_rows(write(tmp_path / "new.csv", rows), learned)
    assert raw.table["x"].tolist() == [expected]
    parts = [write(tmp_path / f"part-{i}.csv", rows) for i in range(2)]
    assert read_rows(parts, learned).table["x"].tolist() == [expected] * 2


@pytest.mark.parametrize(("training", "expected"), [(COMMAS, 1.234), (POINTS, 1234)])
def test_text_of_other_forms_is_read_alike(tmp_path, training, expected):
    learned = schema(tmp_path, training)
    lines = write(tmp_path / "new.jsonl", '{"x": "1,234", "n": 1}\n')
    assert read_rows(lines, learned).table["x"].tolist() == [expected]
    frame = pd.DataFrame({"x": ["1,234", None], "n": [1, 2]})
    assert read_rows(frame, learned).table["x"].iloc[0] == expected
    frame.to_parquet(tmp_path / "new.parquet")
    assert read_rows(tmp_path / "new.parquet", learned).table["x"].iloc[0] == expected
    numbers = pd.DataFrame({"x": [1.234], "n": [1]})
    assert read_rows(numbers, learned).table["x"].tolist() == [1.234]


def test_other_columns_decide_for_one_that_training_left_open(tmp_path):
    rows = "x;n\n1;1,234\n"
    with_points = schema(tmp_path, POINTS)
    assert read_rows(write(tmp_path / "a.csv", rows), with_points).table["n"].tolist() == [1234]
    with_commas = schema(tmp_path, COMMAS)
    assert read_rows(write(tmp_path / "a.csv", rows), with_commas).table["n"].tolist() == [1.234]


@pytest.mark.parametrize(
    ("training", "value", "said"),
    [(COMMAS, "3.25", "comma"), (POINTS, "3,25", "point"), (POINTS, "1.234,5", "point")],
)
def test_a_number_that_contradicts_is_named(tmp_path, training, value, said):
    path = write(tmp_path / "new.csv", f"x;n\n1;1\n{value};1\n")
    with pytest.raises(
        DataError, match=rf"new\.csv line 3 has '{value}' in the column 'x'.*{said}"
    ):
        read_rows(path, schema(tmp_path, training))


def test_an_ambiguous_value_is_told(tmp_path):
    progress = Silent()
    read_rows(write(tmp_path / "a.csv", "x;n\n1,234;1\n"), schema(tmp_path, POINTS), progress)
    assert progress.sentences == ["x: 1,234 is read as 1234, as this column was before."]


def test_words_among_numbers_stay_words(tmp_path):
    raw = read_rows(write(tmp_path / "a.csv", "x;n\nnew;1\n2,5;1\n"), schema(tmp_path, COMMAS))
    assert raw.table["x"].tolist() == ["new", "2.5"]


def test_a_test_set_is_read_as_the_training_data(tmp_path):
    train = write(tmp_path / "a.csv", POINTS)
    raw = read(train, test=write(tmp_path / "b.csv", "x;n;y\n1,234;1;a\n"))
    assert raw.table["x"].iloc[-1] == 1234
    with pytest.raises(DataError, match=r"b\.csv line 2"):
        read(train, test=write(tmp_path / "b.csv", "x;n;y\n1,5;1;a\n"))
    assert read(write(tmp_path / "c.csv", UNDECIDED), test=train).signs == {}


def test_the_splits_of_a_folder_and_mixed_shards_are_read_alike(tmp_path):
    (tmp_path / "d").mkdir()
    write(tmp_path / "d" / "train.csv", POINTS)
    write(tmp_path / "d" / "test.csv", "x;n;y\n1,234;1;a\n")
    assert read(tmp_path / "d").table["x"].iloc[-1] == 1234
    first = write(tmp_path / "a.csv", POINTS)
    pd.DataFrame({"x": ["1,234"], "n": [1], "y": ["a"]}).to_parquet(tmp_path / "b.parquet")
    assert read([first, tmp_path / "b.parquet"]).table["x"].iloc[-1] == 1234


def test_a_schema_that_was_written_before_reads_still():
    old = b'{"name": "x", "kind": "number", "role": "input", "reason": ""}'
    assert msgspec.json.decode(old, type=Field).decimal_sign == ""


@pytest.mark.parametrize(
    ("training", "value", "said"),
    [(COMMAS, "3.5", "comma"), (COMMAS, ".25", "comma"), (POINTS, "3,5", "point")],
)
def test_a_number_that_contradicts_the_others_of_its_column_is_named(
    tmp_path, training, value, said
):
    path = write(tmp_path / "train.csv", f"{training}{value};1;a\n")
    with pytest.raises(DataError, match=rf"train\.csv line 42 has '{value}' .*'x'.*other.*{said}"):
        read(path)
