"""Series: what is read as one, from files and from memory, and what is said where it cannot be."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fathom.core.errors import DataError
from fathom.core.progress import Silent
from fathom.core.ragged import Ragged
from fathom.core.schema import SeriesReading
from fathom.data.audits.columns import column_records
from fathom.data.encode import encode, input_spec
from fathom.data.infer import infer_schema
from fathom.data.learn import learn
from fathom.data.read import read, read_rows
from fathom.data.series import learn_series

HEADER = "@problemName x\n@timeStamps false\n@classLabel true up down\n@data\n"


def rows_of(column):
    assert isinstance(column, Ragged)
    return [row.T.tolist() for row in column]


def written(tmp_path, text, name="x.ts"):
    path = tmp_path / name
    path.write_text(text)
    return path


def waves(count=40, seed=0):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(20, 40, count)
    return [np.cumsum(generator.normal(size=length)).round(3) for length in lengths]


def read_ts(tmp_path, body, header=HEADER):
    return read(written(tmp_path, header + body))


def test_ts_with_channels_gaps_and_uneven_lengths(tmp_path):
    raw = read_ts(tmp_path, "1,2.5,?:4,5,6:up\n# no series\n7,NaN:8,9:down\n1:2:?\n")
    assert rows_of(raw.table["series"])[2] == [[1.0], [2.0]]
    first, second = list(raw.table["series"])[:2]
    np.testing.assert_array_equal(first, [[1, 4], [2.5, 5], [np.nan, 6]])
    np.testing.assert_array_equal(second, [[7, 8], [np.nan, 9]])
    assert raw.table["class"].tolist()[:2] == ["up", "down"]
    assert raw.table["class"].isna().tolist() == [False, False, True]
    assert raw.locate(1) == "x.ts line 7"
    assert (raw.target, raw.kinds) == ("class", {"series": "series"})


def test_ts_with_times_stands_in_their_order_and_a_number_may_be_learned(tmp_path):
    header = "@timeStamps true\n@targetLabel true\n@data\n"
    raw = read_ts(tmp_path, "(2,5.5),(1,4):(1,7):0.5\n(2024-01-01 10:00:00,3),(4,5):():2\n", header)
    first = next(iter(raw.table["series"]))
    np.testing.assert_array_equal(first, [[4, 7], [5.5, np.nan]])
    assert raw.table["target"].tolist() == [0.5, 2.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@data\n", "no series after @data"),
        ("1,2,3\n", "no line @data"),
        (HEADER + "1,2,3\n", "line 5 has no class"),
        (HEADER + "1,2:sideways\n", "line 5 has the class 'sideways'"),
        (HEADER + "1,2:up\n1,two:up\n", "line 6 holds 'two', which is no number"),
        (HEADER + "1,2:up\n1:2:up\n", "line 6 has 2 channels, line 5 has 1"),
        (
            "@timeStamps true\n@classLabel true a\n@data\n(1,2),(1,3):a\n",
            "two values at the time 1",
        ),
        ("@timeStamps true\n@classLabel true a\n@data\n(1,2),3:a\n", "pairs (time,value)"),
    ],
)
def test_a_broken_ts_file_is_named_by_line(tmp_path, text, said):
    with pytest.raises(DataError) as caught:
        read(written(tmp_path, text))
    assert said in str(caught.value)
    assert "x.ts" in str(caught.value)


def test_a_folder_of_train_and_test(tmp_path):
    for split in ("TRAIN", "TEST"):
        written(tmp_path, HEADER + "1,2:up\n3:down\n", f"Waves_{split}.ts")
    raw = read(tmp_path)
    assert raw.given_split.tolist() == ["train"] * 2 + ["test"] * 2
    both = read(tmp_path / "Waves_TRAIN.ts", test=tmp_path / "Waves_TEST.ts")
    assert rows_of(both.table["series"]) == rows_of(raw.table["series"])


def form(way, tmp_path, series, labels):
    frame = pd.DataFrame({"signal": series, "y": labels})
    if way == "frame":
        return frame
    path = tmp_path / f"rows.{way}"
    if way == "parquet":
        frame.to_parquet(path)
    elif way == "jsonl":
        lines = [{"signal": s.tolist(), "y": y} for s, y in zip(series, labels, strict=True)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    else:
        frame.assign(signal=[str(s.tolist()) for s in series]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("way", ["frame", "parquet", "jsonl", "csv"])
def test_lists_of_uneven_length_are_series_in_every_form(tmp_path, way):
    series, labels = waves(), ["a", "b"] * 20
    source = form(way, tmp_path, series, labels)
    raw = read(source, target="y")
    assert raw.kinds["signal"] == "series"
    assert rows_of(raw.table["signal"]) == [[row.tolist()] for row in series]
    schema = learn(infer_schema(raw, target="y"), raw.table, np.arange(30))
    again = read_rows(form(way, tmp_path, series[:1], labels[:1]), schema)
    assert rows_of(again.table["signal"]) == [[series[0].tolist()]]


@pytest.mark.parametrize("way", ["frame", "parquet", "jsonl", "csv"])
def test_lists_of_equal_length_are_series_where_neighbours_go_together(tmp_path, way):
    labels, generator = ["a", "b"] * 20, np.random.default_rng(0)
    smooth = [row[:20] for row in waves()]
    raw = read(form(way, tmp_path, smooth, labels), target="y")
    assert raw.kinds["signal"] == "series"
    vectors = list(generator.normal(size=(40, 20)).round(3))
    raw = read(form(way, tmp_path, vectors, labels), target="y")
    assert raw.table["signal.19"].tolist() == [row[19] for row in vectors]
    asked = read(form(way, tmp_path, vectors, labels), target="y", kinds={"signal": "series"})
    assert rows_of(asked.table["signal"])[3] == [vectors[3].tolist()]
    columns = read(form(way, tmp_path, smooth, labels), target="y", kinds={"signal": "number"})
    assert columns.table["signal.0"].tolist() == [row[0] for row in smooth]


def test_lists_of_names_stay_lists_and_waves_of_whole_numbers_are_series(tmp_path):
    labels = ["a", "b"] * 20
    names = pd.DataFrame({"signal": [[3, 5, 9], [4]] * 20, "y": labels})
    assert read(names, target="y").table["signal"].tolist()[0] == "[3, 5, 9]"
    counts = [(10 * row).round() for row in waves()]
    whole = [[int(v) for v in row] for row in counts]
    raw = read(pd.DataFrame({"signal": whole, "y": labels}), target="y")
    assert raw.kinds["signal"] == "series"


def test_a_cell_that_is_no_list_is_named(tmp_path):
    series = [str(row.tolist()) for row in waves()]
    series[7] = "[1.5, 'two']"
    path = tmp_path / "rows.csv"
    pd.DataFrame({"signal": series, "y": ["a", "b"] * 20}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"rows.csv line 9 holds .* no list of numbers"):
        read(path, target="y")


def test_what_decides_between_series_and_pictures(tmp_path):
    y = np.arange(6) % 2
    signed = np.random.default_rng(0).normal(size=(6, 4, 10))
    raw = read((signed, y))
    assert raw.kinds == {"series": "series"}
    np.testing.assert_array_equal(next(iter(raw.table["series"])), signed[0].T)
    assert read((np.ones((6, 2, 16)), y)).kinds == {"series": "series"}
    assert read((np.ones((6, 8, 10)), y)).kinds == {"image": "image"}
    assert read((np.ones((6, 8, 10)), y), kinds={"series": "series"}).kinds == {"series": "series"}
    np.savez(tmp_path / "a.npz", x_train=signed, y_train=y, x_test=np.ones((6, 4, 10)), y_test=y)
    raw = read(tmp_path / "a.npz")
    assert raw.kinds == {"series": "series"}
    assert len(raw.table["series"]) == 12
    filled = np.concatenate([signed, np.full((6, 4, 3), np.nan)], axis=2)
    assert set(read((filled, y)).table["series"].lengths) == {10}
    uneven = [np.ones((3, n)) for n in (4, 9, 2, 4, 5, 6)]
    assert read((uneven, y)).table["series"].lengths.tolist() == [4, 9, 2, 4, 5, 6]


def test_arrays_whose_axes_look_turned_round_are_told_of(tmp_path):
    y = np.arange(6) % 2
    signed = np.random.default_rng(0).normal(size=(6, 24, 6))
    np.savez(tmp_path / "a.npz", X=signed, y=y)
    for source in ((signed, y), tmp_path / "a.npz"):
        (problem,) = read(source).problems
        assert "24 channels of 6 steps" in problem.reason
        assert "transpose(0, 2, 1)" in problem.reason
    assert read((signed, y), kinds={"series": "series"}).problems == ()
    assert read((signed.transpose(0, 2, 1), y)).problems == ()
    for wide in (np.zeros((6, 120, 3)), -np.ones((6, 120, 3))):
        with pytest.raises(DataError, match="transpose"):
            read((wide, y))


def long_table():
    rows = [
        (name, time, 10 * place + time, -time if time else None, place % 2, "ab"[place % 2])
        for time in (2, 0, 1)
        for place, name in enumerate(["u", "v", "w"])
    ]
    columns = ["id", "at", "x", "z", "side", "y"]
    return pd.DataFrame(rows[:-1], columns=columns)  # w lacks its time 1


def test_a_long_table_becomes_a_row_for_each_series():
    reading = SeriesReading("id", "at")
    raw = read(long_table(), target="y", series=reading)
    assert raw.table.names == ("id", "side", "y", "series")
    assert raw.table["side"].tolist() == [0, 1, 0]
    assert raw.series_reading.channels == ("x", "z")
    first, _, last = raw.table["series"]
    np.testing.assert_array_equal(first, [[0, np.nan], [1, -1], [2, -2]])
    np.testing.assert_array_equal(last, [[20, np.nan], [22, -2]])
    assert raw.locate(1) == "row 2 (id v)"
    schema = infer_schema(raw, target="y")
    assert {f.name: f.role for f in schema.fields}["id"] == "ignored"
    one = long_table().query("id == 'v'").drop(columns="y").assign(x=1.0)
    again = read_rows(one, schema)
    assert again.table["series"].lengths.tolist() == [3]


def test_what_became_of_a_long_table_and_its_gaps_is_said():
    notes = Silent()
    frame = long_table().assign(x=lambda t: t["x"].where(t["at"] != 1), w=np.nan)
    reading = SeriesReading("id", "at", channels=("x", "z", "w"))
    raw = read(frame, target="y", series=reading, progress=notes)
    schema = infer_schema(raw, target="y")
    told = next(field.reason for field in schema.fields if field.kind == "series")
    assert "8 rows became 3 series of the channels 'x', 'z', 'w', one for each 'id'" in told
    assert "steps are counted, not timed" in told  # w lacks its time 1
    assert any("8 rows became 3 series" in note for note in notes.sentences)
    missing = next(r for r in column_records(raw, schema) if r.id == "data.missing")
    share = 1 - int(frame[["x", "z"]].notna().sum().sum()) / 24  # 8 steps of 3 channels
    assert missing.figure.data["rows"][0] == ["series", f"{100 * share:.1f} %", 3]
    assert "Channel 'w' of series has no value in any row." in missing.sentence
    assert missing.grade != "good"
    even = read(long_table().query("id != 'w'"), target="y", series=SeriesReading("id", "at"))
    assert "counted" not in even.series_note


def test_the_time_that_cannot_be_read_is_named():
    days = pd.date_range("2024-01-01", periods=8, freq="D").strftime("%Y-%m-%d").tolist()
    days[5] = "soon"
    for times in (days, ["1", "2", "3", "4", "5", "soon", "7", "8"]):
        with pytest.raises(DataError, match="row 6 holds 'soon' in 'at'"):
            read(long_table().assign(at=times), target="y", series=SeriesReading("id", "at"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"at": 0}, "row 4 has the same 'id' and 'at' as row 1"),
        ({"id": None}, "row 1 has no value of 'id'"),
        ({"at": "soon"}, "row 1 holds 'soon' in 'at', which is no time"),
        ({"y": list("abcdefgh")}, "target 'y' changes within a series"),
        ({"id": list("abcdefgh")}, "no number column that changes"),
    ],
)
def test_a_long_table_that_is_none_is_said_so(change, said):
    with pytest.raises(DataError) as caught:
        read(long_table().assign(**change), target="y", series=SeriesReading("id", "at"))
    assert said in str(caught.value)


def test_series_are_standardised_by_the_training_rows_alone():
    rows = [np.array([[1.0, 10.0], [3.0, np.nan]]), np.array([[5.0, 30.0]]), np.array([[900.0, 0]])]
    column = Ragged.of(rows, np.nan, np.float64, 2)
    frame = pd.DataFrame({"y": ["a", "b", "a"]})
    raw = read((frame[[]].assign(k=[1, 2, 3]), frame["y"]))
    raw = type(raw)("x", "", raw.table.replace("s", column), kinds={"s": "series"}, target="y")
    schema = learn(infer_schema(raw, drop=("k",)), raw.table, np.array([0, 1]))
    statistics = next(f.statistics for f in schema.inputs)
    assert (statistics.centers, statistics.channels) == ((3.0, 20.0), 2)
    assert (statistics.length, statistics.gaps) == (2, 1 / 6)
    encoded = encode(raw.table, schema).examples.inputs["s"]
    assert encoded.dtype == np.float32
    assert np.isnan(encoded[:]).sum() == 1 + 2 + 2
    assert 3.9 < encoded.row(2)[0, 0] <= 4
    block = input_spec(schema).blocks["s"]
    assert (block.channels, block.length, block.gaps) == (2, 2, True)


def test_very_long_series_are_averaged_and_a_few_longer_ones_cut():
    rows = [np.arange(5_000.0)[:, None] for _ in range(200)] + [np.zeros((40_000, 1))]
    statistics = learn_series(Ragged.of(rows, np.nan, np.float64, 1), "load")
    assert (statistics.every, statistics.length) == (4, 1_875)
    assert statistics.cut == pytest.approx(1 / 201)


def test_a_series_without_a_value_is_an_unreadable_row(tmp_path):
    body = "".join(f"{i},{i + 0.5}:up\n?,?:down\n" for i in range(6))
    raw = read_ts(tmp_path, body)
    schema = learn(infer_schema(raw), raw.table, np.arange(12))
    found = encode(raw.table, schema)
    assert sorted(found.unreadable) == [1, 3, 5, 7, 9, 11]
    assert "has no value" in found.unreadable[1]
