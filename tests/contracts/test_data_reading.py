"""What reading promises: values, types, splits, names of rows, for every kind of source."""

import gzip
import io
import struct

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fathom.core.errors import DataError
from fathom.core.progress import Silent
from fathom.core.schema import Field, Schema
from fathom.data.cells import MISSING
from fathom.data.formats import FORMATS
from fathom.data.opening import open_picture
from fathom.data.raw import Raw
from fathom.data.read import read, read_rows
from fathom.data.table import Table

# Text as people write it: no surrogates, no control characters, and not what stands for missing.
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc"), include_characters='\n,;\t|"'),
    min_size=1,
    max_size=12,
).filter(lambda text: text.strip() == text and text.lower() not in MISSING)
# Latin letters that cannot be read as numbers, Booleans or infinity.
WORD = TEXT.map(lambda text: f"w{text}")


def picture(path, size=(7, 9), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def idx_bytes(array):
    head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.tobytes()


def schema_of(*inputs, target="y"):
    fields = [Field(name, "number", "input", "") for name in inputs]
    return Schema("classification", (*fields, Field(target, "category", "target", "")))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    words=st.lists(WORD, min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    seed=st.integers(0, 99),
)
def test_a_table_survives_its_way_through_a_file(
    tmp_path, words, delimiter, encoding, line_end, seed
):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "whole": rng.integers(-9, 9, len(words)),
            "text": words,
            "real": rng.normal(size=len(words)).round(6),
            "other": rng.choice(["left", "right"], len(words)),
        }
    )
    path = tmp_path / "t.csv"
    text = frame.to_csv(index=False, sep=delimiter, lineterminator=line_end)
    path.write_bytes(text.encode(encoding))
    raw = read(path)
    assert raw.table.names == tuple(frame.columns)
    assert raw.table["whole"].tolist() == frame["whole"].tolist()
    assert raw.table["text"].tolist() == words
    assert np.allclose(raw.table["real"], frame["real"], rtol=1e-12)
    assert raw.table["other"].tolist() == frame["other"].tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,x\n2,y\n", {"a": [1, 2], "b": ["x", "y"]}),
        (" a , b \n1,  x\n2,y\n", {"a": [1, 2], "b": ["x", "y"]}),
        ("a;b\n1,5;x\n2,25;y\n", {"a": [1.5, 2.25], "b": ["x", "y"]}),
        ("a|b\n1|x, y\n", {"a": [1], "b": ["x, y"]}),
        (",b\n0,x\n1,y\n", {"Unnamed: 0": [0, 1], "b": ["x", "y"]}),
        ("text\nhello, world\nbye\n", {"text": ["hello, world", "bye"]}),
        ("0,1,2\n5,6,7\n", {"0": [5], "1": [6], "2": [7]}),
        ("a,b\rx,2\ry,4\r", {"a": ["x", "y"], "b": [2, 4]}),
    ],
)
def test_layouts_of_text(tmp_path, text, expected):
    path = tmp_path / "t.txt"
    path.write_bytes(text.encode())
    columns = read(path).table.columns
    assert {name: column.tolist() for name, column in columns.items()} == expected


def test_types_and_missing_values(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("n,b,s,w\n1,True,x,3\n?,False,NA,4\n , ,null,5\n")
    table = read(path).table
    assert table["n"].dtype == "float64"
    assert table["n"].isna().tolist() == [False, True, True]
    assert table["b"].dtype == "boolean"
    assert table["b"].isna().tolist() == [False, False, True]
    assert table["s"].isna().tolist() == [False, True, True]
    assert table["w"].dtype == "int64"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "name,n\nMüller Straße,1\ncafé au lait,2\n"),
        ("cp1252", "año,n\nx,1\n"),
        ("cp1252", "name,n\nÅse,1\n"),
        ("cp1252", "größe,grp,day,street,big\na,1,2,3,4\n"),
        ("gbk", "name,city\n张三,北京\n李四,上海\n王五,广州\n"),
        ("cp1251", "имя,n\nпривет мир как дела,1\n"),
        ("shift_jis", "名前,n\nこれは日本語の文章です。東京に住んでいます,1\n"),
    ],
)
def test_other_encodings_are_read_and_said_aloud(tmp_path, encoding, text):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode(encoding))
    progress = Silent()
    table = read(path, progress=progress).table
    expected = [line.split(",")[0] for line in text.splitlines()]
    assert [table.names[0], *table.columns[table.names[0]]] == expected
    assert "t.csv is not UTF-8" in progress.sentences[0]


def test_unpaired_quotes_lose_no_row(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text('label\ttext\nham\t"so he said\nspam\tbuy "now"\nham\tthe end"\n')
    progress = Silent()
    raw = read(path, progress=progress)
    assert raw.table["text"].tolist() == ['"so he said', 'buy "now"', 'the end"']
    assert "quotes" in progress.sentences[0]


def test_a_quote_within_a_field_is_a_character(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('what,size,note\n12" pipe,3,\nbolt,2,x\n')  # the last column has a gap
    assert read(path).table["what"].tolist() == ['12" pipe', "bolt"]


def test_rows_are_located_by_line(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,x\n2,"y\nz"\n\n3,w\n')
    raw = read(path)
    assert [raw.locate(row) for row in range(3)] == ["t.csv line 2", "t.csv line 3", "t.csv line 6"]
    assert raw.take([2, 0]).locate(0) == "t.csv line 6"


def test_rows_are_counted_from_one(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "y": ["u", "v"]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet").locate(0) == "t.parquet row 1"
    assert read(frame).locate(1) == "row 2"


def test_a_test_file_becomes_the_test_split(tmp_path):
    (tmp_path / "train.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "test.csv").write_text("b,extra,a\n7,0,2.5\n")
    progress = Silent()
    raw = read(tmp_path / "train.csv", test=tmp_path / "test.csv", progress=progress)
    assert raw.given_split.tolist() == ["train", "train", "test"]
    assert raw.table["a"].tolist() == [1.0, 2.0, 2.5]
    assert raw.table["b"].tolist() == ["x", "y", "7"]
    assert raw.locate(2) == "test.csv line 2"
    assert "'extra'" in progress.sentences[0]
    assert raw.name == tmp_path.name.lower()


def test_parquet_keeps_types(tmp_path):
    frame = pd.DataFrame(
        {
            "n": [1, 2, 3],
            "f": [0.5, None, 2.0],
            "b": [True, None, False],
            "c": pd.Categorical(["x", None, "y"]),
            "t": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet").table
    assert table["n"].tolist() == [1, 2, 3]
    assert table["f"].isna().tolist() == [False, True, False]
    assert table["b"].dtype == "boolean"
    assert table["c"].dropna().tolist() == ["x", "y"]
    assert table["t"].dtype.kind == "M"


def test_class_folders(tmp_path):
    for label in ("dog", "cat"):
        for i in range(3):
            picture(tmp_path / label / f"{i}.png")
    picture(tmp_path / ".cache" / "0.png")
    raw = read(tmp_path)
    assert raw.table["label"].tolist() == ["cat"] * 3 + ["dog"] * 3
    assert (raw.target, raw.kinds["image"], raw.given_split) == ("label", "image", None)
    assert raw.locate(4) == "dog/1.png"
    assert open_picture(raw.table["image"][0]).size == (9, 7)


def test_split_folders_above_the_classes(tmp_path):
    for split in ("training", "val", "test"):
        for label in ("a", "b"):
            picture(tmp_path / split / label / "0.png")
    raw = read(tmp_path)
    assert raw.given_split.tolist() == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    assert raw.table["label"].tolist() == ["a", "b"] * 3


def test_train_may_be_a_class(tmp_path):
    for label in ("bus", "car", "train"):
        picture(tmp_path / label / "0.png")
    assert read(tmp_path).table["label"].tolist() == ["bus", "car", "train"]


def test_masks_beside_photographs_are_left_out(tmp_path):
    for label in ("a", "b"):
        for i in range(3):
            picture(tmp_path / label / f"{i}.jpg")
            picture(tmp_path / label / f"{i}.png")
    raw = read(tmp_path)
    assert len(raw) == 6
    assert "6 PNG files" in raw.problems[0].reason


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files(tmp_path, packed):
    rng = np.random.default_rng(0)
    content = {}
    for part, n in (("train", 6), ("t10k", 3)):
        images = rng.integers(0, 255, (n, 5, 4), dtype=np.uint8)
        labels = rng.integers(0, 9, n, dtype=np.uint8)
        content[part] = images, labels
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            data = idx_bytes(array)
            path = tmp_path / f"emnist-letters-{part}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(data) if packed else data)
    raw = read(tmp_path)
    assert raw.given_split.tolist() == ["train"] * 6 + ["test"] * 3
    assert np.array_equal(raw.table["image"][6:], content["t10k"][0])
    assert raw.table["label"][:6].tolist() == [str(code) for code in content["train"][1]]
    assert "t10k" in raw.locate(6)


@pytest.mark.parametrize(
    ("name", "rows", "classes"),
    [("digits", 1797, 10), ("wine", 178, 3), ("breast-cancer", 569, 2), ("diabetes", 442, None)],
)
def test_builtin_data(name, rows, classes):
    raw = read(name)
    assert len(raw) == rows
    assert raw.name == name
    assert raw.target == "target"
    if classes:
        assert raw.table["target"].nunique() == classes
        assert raw.table["target"].dtype == "str"
    if name == "digits":
        assert raw.table["image"].shape == (1797, 8, 8)
        assert raw.table["image"].max() == 255
    if name == "breast-cancer":
        assert set(raw.table["target"]) == {"malignant", "benign"}


def test_arrays_and_frames():
    raw = read((np.eye(3), ["a", "b", "c"]))
    assert raw.table.names == ("x0", "x1", "x2", "target")
    raw = read((pd.DataFrame({"u": [1, 2]}), pd.Series([0.5, 1.5], name="v")))
    assert (raw.table.names, raw.target) == (("u", "v"), "v")
    assert read(pd.DataFrame({"u": [1, 2]}, index=[7, 7])).table["u"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((4, 8, 6), (4, 8, 6)),
        ((4, 8, 6, 1), (4, 8, 6)),
        ((4, 8, 6, 3), (4, 8, 6, 3)),
        ((4, 3, 8, 6), (4, 8, 6, 3)),
    ],
)
def test_pictures_in_arrays(shape, expected):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    pixels.flat[:2] = 0, 255
    image = read((pixels, list("abab"))).table["image"]
    assert image.shape == expected
    assert np.array_equal(read((pixels / 255, list("abab"))).table["image"], image)


def test_digests_follow_the_content(tmp_path):
    for label in "ab":
        picture(tmp_path / label / "0.png")
    before = read(tmp_path).digest
    assert before == read(tmp_path).digest
    assert before.startswith("sha256:")
    picture(tmp_path / "a" / "0.png", seed=1)
    assert read(tmp_path).digest != before
    one, two = np.zeros((2, 2)), np.eye(2)
    assert read(one).digest != read(two).digest


def test_rows_to_predict_need_no_target_and_keep_their_place(tmp_path):
    (tmp_path / "t.csv").write_text("b,a\n1,2\n")
    assert len(read_rows(tmp_path / "t.csv", schema_of("a", "b"))) == 1
    flat = tmp_path / "flat"
    for i in range(3):
        picture(flat / f"{i}.png")
    (flat / "1.png").write_bytes(b"no picture")
    raw = read_rows(flat, schema_of("image"))
    assert raw.table.names == ("image",)
    assert len(raw) == 3
    assert [problem.where for problem in raw.problems] == ["1.png"]
    assert len(read_rows(flat / "0.png", schema_of("image"))) == 1
    picture(tmp_path / "only" / "test" / "0.png")
    assert read_rows(tmp_path / "only", schema_of("image")).table.names == ("image",)


def test_every_format_says_what_it_reads():
    for name in FORMATS:
        assert FORMATS[name].says


def test_tables_are_taken_by_position():
    table = Table({"a": pd.Series([1, 2, 3]), "p": np.arange(6).reshape(3, 2)})
    taken = table.take([2, 0])
    assert taken["a"].tolist() == [3, 1]
    assert list(taken["a"].index) == [0, 1]
    assert taken["p"].tolist() == [[4, 5], [0, 1]]
    assert len(table.take(np.array([True, False, True]))) == 2
    assert table.take([])["p"].shape == (0, 2)
    assert table.frame().columns.tolist() == ["a"]
    assert table.drop(["a"]).names == ("p",)
    assert Raw("x", "", table).locate(1) == "row 2"
    with pytest.raises(ValueError, match="unequal"):
        Table({"a": pd.Series([1]), "b": pd.Series([1, 2])})


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_pictures_of_every_mode_keep_their_brightness(mode):
    grey = np.add.outer(np.arange(20), np.arange(30)).astype(np.uint8) * 5
    image = Image.fromarray(grey.astype(np.uint16) * 257 if mode == "I;16" else grey)
    buffer = io.BytesIO()
    (image if mode == "I;16" else image.convert(mode)).save(buffer, "TIFF")
    opened = open_picture(buffer.getvalue())
    assert opened.mode in ("L", "RGB")
    assert np.array_equal(np.asarray(opened.convert("L")), grey)


def test_transparency_becomes_white_and_pictures_stand_upright(tmp_path):
    Image.new("RGBA", (3, 3), (255, 0, 0, 0)).save(tmp_path / "t.png")
    assert open_picture(tmp_path / "t.png").convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "r.jpg", exif=exif)
    assert open_picture(tmp_path / "r.jpg").size == (20, 30)


def test_large_jpegs_may_be_decoded_smaller(tmp_path):
    Image.new("RGB", (800, 400)).save(tmp_path / "j.jpg")
    assert open_picture(tmp_path / "j.jpg", at_least=100).size == (200, 100)
    assert open_picture(tmp_path / "j.jpg", at_least=1000).size == (800, 400)


def test_what_a_pixel_means_does_not_depend_on_the_pictures_beside_it():
    """A dark array handed in for predicting is scaled as the bright one that was learned."""
    bright = np.linspace(0, 1, 4 * 6 * 6).reshape(4, 6, 6)
    whole = read((bright, list("abab"))).table["image"]
    dark = read((bright[:2], list("ab"))).table["image"]
    assert np.array_equal(whole[:2], dark)
    with pytest.raises(DataError, match="between 0 and 1"):
        read((bright * 255, list("abab")))
