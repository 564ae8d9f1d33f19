"""Data that cannot be read: one sentence, naming the place and the way out, never a traceback."""

import gzip
import os
import re
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fathom.core.blocks import NUMBERS
from fathom.core.budget import Budget
from fathom.core.errors import BudgetError, DataError
from fathom.core.schema import Field, ImageStatistics, Schema
from fathom.data import opening
from fathom.data.audit import after_encoding, audit
from fathom.data.encode import encode
from fathom.data.infer import infer_schema
from fathom.data.learn import learn
from fathom.data.pictures import encode_pictures
from fathom.data.prepare import drop_unusable
from fathom.data.read import read, read_rows
from fathom.data.split import split


def reason(source, **options):
    with pytest.raises(DataError) as caught:
        read(source, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith((".", "?"))
    return sentence


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["is empty"]),
        (b" \n\n", ["is empty"]),
        (b"a,b\n", ["no rows"]),
        (b"a,b\n1,2\n3\n", ["line 3 has 1 fields", "header has 2"]),
        (b"a,b\n1,2\n3,4,5\n", ["line 3 has 3 fields", "header has 2"]),
        (b"a,b\n1,2,3\n4,5,6\n", ["line 2 has 3 fields"]),
        (b'a,b\n"x\ny",1\n\nz\n', ["line 5 has 1 fields"]),
        (b"a,b,a\n1,2,3\n", ["more than one column named 'a'"]),
        (b"5.1,3.5,setosa\n4.9,3.0,setosa\n", ["line 1", "header line"]),
        (b'a,b\n1,"x\n2,3,4\n', ["line 2", "quote"]),
        (b"PK\x03\x04rest", ["ZIP archive or an Excel workbook"]),
        (bytes(range(256)) * 4, ["no text"]),
        (b"a,b\n\x81\x8d\x8f\xff\xfe\x81,2\n", ["line 2", "UTF-8"]),
        (b"\xff\xfea\x00,\x00b", ["utf-16"]),
    ],
)
def test_broken_text(tmp_path, content, parts):
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    sentence = reason(path)
    assert "table.csv" in sentence
    for part in parts:
        assert part in sentence


@pytest.mark.parametrize("content", [b"", b"PAR1 and nothing", b"a,b\n1,2\n"])
def test_broken_parquet(tmp_path, content):
    (tmp_path / "t.parquet").write_bytes(content)
    assert "t.parquet" in reason(tmp_path / "t.parquet")


def test_parquet_cut_short_or_of_bytes(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"a": [b"1", b"2"], "y": ["u", "v"]}).to_parquet(path)
    with pytest.raises(DataError, match="a: bytes, of which 0 of 2 are pictures"):
        infer_schema(read(path), target="y")
    pd.DataFrame({"a": range(100)}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert "damaged" in reason(path)


def test_names_that_do_not_exist(tmp_path):
    (tmp_path / "reviews.csv").write_text("a\n1\n")
    assert "Did you mean 'reviews.csv'?" in reason(str(tmp_path / "review.csv"))
    assert "Did you mean 'digits'?" in reason("digit")
    assert "There is no folder" in reason(str(tmp_path / "nowhere" / "x.csv"))
    assert "download it" in reason("https://example.org/x.csv")
    assert "env:" in reason("env:CartPole-v1")
    assert "empty path" in reason("")


def test_files_of_unknown_type(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"x")
    sentence = reason(tmp_path / "t.xlsx")
    assert ".xlsx" in sentence
    assert ".csv" in sentence
    os.mkfifo(tmp_path / "pipe.csv")
    assert "neither a file nor a folder" in reason(tmp_path / "pipe.csv")
    assert "int" in reason(5)


def test_no_permission(tmp_path, monkeypatch):
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n")

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "permissions" in reason(path)
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "permissions" in reason(tmp_path)


def test_a_test_file_that_does_not_fit(tmp_path):
    for name, text in {
        "train.csv": "a,b\n1,x\n",
        "short.csv": "a\n1\n",
        "foreign.csv": "a,b\n1,x\nhello,y\n",
    }.items():
        (tmp_path / name).write_text(text)
    assert "column 'b'" in reason(tmp_path / "train.csv", test=tmp_path / "short.csv")
    sentence = reason(tmp_path / "train.csv", test=tmp_path / "foreign.csv")
    assert "'hello' in foreign.csv line 3" in sentence
    assert "Did you mean 'b'?" in reason(tmp_path / "train.csv", target="B")


def test_missing_columns_are_named_in_prediction(tmp_path):
    (tmp_path / "t.csv").write_text("age\n1\n")
    fields = [Field(name, "number", "input", "") for name in ("age", "wage", "city")]
    schema = Schema("classification", (*fields, Field("y", "category", "target", "")))
    with pytest.raises(DataError, match="'wage', 'city'"):
        read_rows(tmp_path / "t.csv", schema)


def picture(path, size=(6, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def test_folders_that_hold_no_classes_of_pictures(tmp_path):
    for name in ("empty", "tables", "flat", "json/a", "splits/test"):
        (tmp_path / name).mkdir(parents=True)
    assert "empty folder" in reason(tmp_path / "empty")
    (tmp_path / "tables" / "a.csv").write_text("a\n1\n")
    (tmp_path / "tables" / "model.bin").write_text("")
    assert "a.csv" in reason(tmp_path / "tables")
    picture(tmp_path / "flat" / "0.png")
    assert "no class folder" in reason(tmp_path / "flat")
    (tmp_path / "json" / "a" / "x.json").write_text("{}")
    assert "a/x.json" in reason(tmp_path / "json")
    picture(tmp_path / "splits" / "train" / "0.png")
    picture(tmp_path / "splits" / "test" / "0.png")
    assert "none named train" in reason(tmp_path / "splits")
    assert "one picture" in reason(tmp_path / "flat" / "0.png")


def test_names_that_are_not_utf8(tmp_path):
    picture(tmp_path / "a" / "0.png")
    (tmp_path / "a" / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    assert "not UTF-8" in reason(tmp_path)


def test_broken_pictures_are_named_and_left_out(tmp_path):
    for i in range(4):
        picture(tmp_path / "a" / f"{i}.png")
        picture(tmp_path / "b" / f"{i}.png")
    (tmp_path / "a" / "bad.png").write_bytes(b"nothing")
    (tmp_path / "a" / "zero.png").write_bytes(b"")
    (tmp_path / "b" / "notes.txt").write_text("x")
    picture(tmp_path / "loose.png")
    (tmp_path / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    raw = read(tmp_path)
    assert len(raw) == 8
    named = {problem.where for problem in raw.problems}
    assert named == {"a/bad.png", "a/zero.png", "b/gone.png", "b/notes.txt", "loose.png"}


def test_pictures_cut_short_or_too_large(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "p.png")
    (tmp_path / "p.png").write_bytes((tmp_path / "p.png").read_bytes()[:3000])
    with pytest.raises(DataError, match="cannot be read as a picture"):
        opening.open_picture(tmp_path / "p.png")
    picture(tmp_path / "large.png", (50, 50))
    monkeypatch.setattr(opening, "MAX_PIXELS", 2000)
    with pytest.raises(DataError, match="too many"):
        opening.open_picture(tmp_path / "large.png")
    with pytest.raises(DataError, match="no such file"):
        opening.open_picture(tmp_path / "absent.png")


@pytest.mark.filterwarnings("ignore")
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    form=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]),
    changes=st.lists(st.tuples(st.integers(0, 150), st.integers(0, 255)), max_size=8),
    length=st.integers(0, 2000),
)
def test_damaged_pictures_never_raise_anything_else(tmp_path, form, changes, length):
    path = tmp_path / "p"
    grey = np.add.outer(np.arange(30), np.arange(40)).astype(np.uint8)
    Image.fromarray(grey).convert("RGB").save(path, form)
    data = bytearray(path.read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    try:
        assert opening.open_picture(bytes(data[:length])).mode in ("L", "RGB")
    except DataError as error:
        assert str(error)


def idx_bytes(array, kind=8):
    head = bytes((0, 0, kind, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


IMAGES, LABELS = np.zeros((5, 4, 4), np.uint8), np.arange(5, dtype=np.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "part"),
    [
        (idx_bytes(IMAGES), None, "lacks its labels"),
        (idx_bytes(IMAGES), idx_bytes(LABELS[:4]), "4 labels"),
        (idx_bytes(IMAGES)[:-3], idx_bytes(LABELS), "only 77"),
        (idx_bytes(IMAGES) + b"x", idx_bytes(LABELS), "has more"),
        (idx_bytes(IMAGES, kind=0x0D), idx_bytes(LABELS), "begins with 00 00 0d 03"),
        (b"", idx_bytes(LABELS), "begins with nothing"),
        (bytes((0, 0, 8, 3)) + b"\xff" * 12, idx_bytes(LABELS), "too large"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0), idx_bytes(LABELS), "begins with 1f 8b"),
    ],
)
def test_broken_idx_files(tmp_path, images, labels, part):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(images)
    if labels is not None:
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
    sentence = reason(tmp_path)
    assert part in sentence
    assert "train-" in sentence


def test_a_packed_idx_file_cut_short(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (50, 9, 9), dtype=np.uint8)
    packed = gzip.compress(idx_bytes(noise))
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(packed[:-100])
    assert "damaged" in reason(tmp_path)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ((np.zeros((4, 3)), [1, 2, 3]), "4 rows of inputs"),
        ((np.zeros(4), [1, 2, 3, 4]), "shape (4,)"),
        ((np.zeros((4, 5, 6, 7)), [1, 2, 3, 4]), "1, 3 or 4 channels"),
        ((np.full((2, 5, 5), -1.0), [1, 2]), "floats from 0 to 1"),
        ((np.full((2, 5, 5), np.nan), [1, 2]), "floats from 0 to 1"),
        (pd.DataFrame({"a": [{"b": 1}, {"b": 2}]}), "Column 'a'"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column named 'a'"),
        (pd.DataFrame({"a": [1j]}), "complex"),
        (pd.DataFrame(), "no rows"),
    ],
)
def test_objects_that_are_no_data(source, part):
    assert part in reason(source)


def test_pictures_that_fail_at_decoding_are_taken_out_of_every_count(tmp_path):
    generator = np.random.default_rng(0)
    for i in range(60):
        path = tmp_path / "cat" / f"{i}.jpg" if i < 40 else tmp_path / "dog" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        pixels = generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    broken = ["cat/0.jpg", "cat/7.jpg", "dog/50.jpg"]
    for name in broken:
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:700])
    raw = read(tmp_path)
    schema = infer_schema(raw)
    before = audit(raw, schema, seed=0, budget=Budget(9))
    splits = split(raw, schema, seed=0)
    learned = learn(schema, raw.table, splits.train)
    unreadable = encode(raw.table, learned).unreadable
    found, kept = after_encoding(before, raw, learned, splits, unreadable)
    records = {record.id: record for record in found.records}
    assert [r.id for r in found.records] == [r.id for r in before.records]
    assert records["data.unreadable"].value == 3
    assert "cat/0.jpg" in records["data.unreadable"].sentence
    assert records["data.rows"].value == 57
    assert records["data.imbalance"].figure.data["values"] == [38, 19]
    assert records["data.small_classes"].value == 1
    rows = np.sort(np.concatenate(list(kept.parts().values())))
    assert [raw.locate(row) for row in np.setdiff1d(np.arange(60), rows)] == broken
    counts = ", ".join(f"{len(part)} {name}" for name, part in kept.parts().items())
    assert kept.how == f"{counts}; stratified by class; 3 unreadable rows left out."
    assert after_encoding(before, raw, learned, splits, {}) == (before, splits)


@pytest.mark.parametrize("values", [["1e200"], ["inf", "-inf"], ["1e308", "-1e308"], ["1" * 60]])
@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.filterwarnings("error")
def test_numbers_beyond_all_bounds_are_far_and_infinite_ones_missing(tmp_path, values, regression):
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(200, 2)), columns=["a", "b"]).astype(object)
    frame["y"] = generator.normal(size=200)
    if not regression:
        frame["y"] = np.where(frame["y"] > 0, "up", "down")
    frame.loc[range(len(values)), "b"] = values
    frame.to_csv(tmp_path / "t.csv", index=False)
    raw = read(tmp_path / "t.csv")
    schema = infer_schema(raw, target="y")
    audit(drop_unusable(raw, schema), schema, seed=0, budget=Budget(9))
    schema = learn(schema, raw.table, np.arange(len(raw)))
    encoded = encode(raw.table, schema).examples.inputs[NUMBERS][: len(values), 1]
    expected = [np.nan if "inf" in v else -4.0 if "-" in v else 4.0 for v in values]
    assert encoded.tolist() == pytest.approx(expected, nan_ok=True)


def test_a_target_beyond_all_bounds_is_named():
    frame = pd.DataFrame({"a": np.arange(50.0) ** 2, "y": np.arange(50) / 7})
    frame.loc[6, "y"] = 1e200
    raw = read(frame)
    schema = infer_schema(raw, target="y")
    with pytest.raises(DataError, match=r"row 7 has 1e\+200 as its 'y'"):
        drop_unusable(raw, schema)


def test_pictures_that_take_too_long_to_read_are_refused_at_once(tmp_path):
    picture(tmp_path / "0.png", (40, 40))
    column = pd.Series([str(tmp_path / "0.png")] * 5000, dtype="str")
    statistics = ImageStatistics(8, 8, 3, (0.0,) * 3, (1.0,) * 3)
    seconds = iter(np.arange(0.0, 1000.0, 10.0))  # a clock of which each look takes 10 s
    budget = Budget(100.0, clock=lambda: float(next(seconds)))
    with pytest.raises(BudgetError, match="Reading the 5,000 pictures takes about") as caught:
        encode_pictures(column, statistics, budget=budget)
    minutes = re.search(r"--budget (\d+)m", str(caught.value))
    assert minutes is not None
    assert int(minutes.group(1)) * 60 >= 3 * 10 * 50
    assert len(encode_pictures(column[:200], statistics, budget=Budget(600.0))[0]) == 200
