"""Encoding a row alone gives what encoding all rows gives: serving cannot differ from training."""

import io

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fathom.core.blocks import CATEGORIES, NUMBERS
from fathom.core.errors import DataError
from fathom.core.schema import ImageStatistics, Schema
from fathom.data import cells
from fathom.data.encode import encode, input_spec, output_spec, standardise
from fathom.data.hashing import hash_inputs
from fathom.data.infer import infer_schema
from fathom.data.learn import learn, learn_number
from fathom.data.pictures import box_of, decode
from fathom.data.raw import Raw
from fathom.data.read import read
from fathom.data.table import Table

N = 80


def mixed(seed=0):
    generator = np.random.default_rng(seed)
    number = generator.lognormal(size=N)
    number[::7] = np.nan
    pictures = generator.integers(0, 256, (N, 6, 5, 3), dtype=np.uint8)
    frame = pd.DataFrame(
        {
            "number": number,
            "whole": generator.integers(0, 40, N),
            "dirty": [str(v) if i % 40 else "-- " for i, v in enumerate(number.round(2))],
            "color": generator.choice(["red", "green", None, "blue"], N),
            "flag": generator.choice(["yes", "no"], N),
            "when": pd.date_range("2024-01-01", periods=N, freq="37h").strftime("%Y-%m-%d %H:%M"),
            "y": ["b", "a"] * (N // 2),
        }
    )
    table = Table.from_frame(frame).replace("photo", pictures)
    return Raw("mixed", "", table, kinds={"photo": "image"})


def learned(raw, rows=None, **options) -> Schema:
    rows = np.arange(len(raw)) if rows is None else rows
    return learn(infer_schema(raw, target="y", **options), raw.table, rows)


@settings(max_examples=25, deadline=None)
@given(row=st.integers(0, N - 1))
def test_a_row_alone_is_encoded_as_among_all(row):
    raw = mixed()
    schema = learned(raw, np.arange(50))
    all_rows = encode(raw.table, schema).examples
    alone = encode(raw.table.take([row]), schema).examples
    for name, block in all_rows.inputs.items():
        assert np.array_equal(alone.inputs[name][0], block[row], equal_nan=block.dtype.kind == "f")
    assert alone.targets[0] == all_rows.targets[row]


def test_a_row_as_json_or_csv_text_is_encoded_as_among_all():
    raw = mixed()
    schema = learned(raw)
    all_rows = encode(raw.table, schema).examples
    frame = raw.table.frame()
    for row in range(0, N, 9):
        texts = {k: [None if pd.isna(v) else str(v)] for k, v in frame.iloc[row].items()}
        table = Table.from_frame(pd.DataFrame(texts)).replace("photo", raw.table["photo"][[row]])
        alone = encode(table, schema).examples
        assert np.array_equal(alone.inputs[NUMBERS][0], all_rows.inputs[NUMBERS][row], True)
        assert np.array_equal(alone.inputs[CATEGORIES][0], all_rows.inputs[CATEGORIES][row])


def test_blocks_are_as_the_spec_says():
    raw = mixed()
    schema = learned(raw)
    spec, examples = input_spec(schema), encode(raw.table, schema).examples
    assert list(spec.blocks) == list(examples.inputs) == [NUMBERS, CATEGORIES, "photo"]
    numbers, codes = examples.inputs[NUMBERS], examples.inputs[CATEGORIES]
    assert numbers.dtype == np.float32
    assert numbers.shape == (N, len(spec.blocks[NUMBERS].names))
    assert len(spec.blocks[NUMBERS].edges) == numbers.shape[1]
    assert np.nanmax(np.abs(numbers)) < 4
    assert codes.dtype == np.int64
    assert (codes.max(axis=0) < spec.blocks[CATEGORIES].sizes).all()
    photo = spec.blocks["photo"]
    assert examples.inputs["photo"].shape == (N, photo.channels, photo.height, photo.width)
    assert examples.inputs["photo"].dtype == np.uint8
    assert np.array_equal(examples.inputs["photo"].transpose(0, 2, 3, 1), raw.table["photo"])
    assert output_spec(schema).labels == ("a", "b")


def test_a_schema_survives_json():
    schema = learned(mixed())
    assert msgspec.json.decode(msgspec.json.encode(schema), type=Schema) == schema


def test_statistics_see_the_given_rows_alone():
    raw = mixed()
    rows = np.arange(40)
    changed = Table(dict(raw.table.columns))
    frame = changed.frame()
    frame.loc[40:, ["number", "whole"]] = 1e9
    frame.loc[40:, "color"] = "violet"
    other = Table.from_frame(frame).replace("photo", raw.table["photo"])
    schema = infer_schema(raw, target="y")
    assert learn(schema, raw.table, rows) == learn(schema, other, rows)


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(-1e12, 1e12) | st.none(), min_size=1, max_size=120))
def test_edges_increase_and_scales_are_positive(values):
    column = pd.Series(values, dtype="float64")
    statistics = learn_number(column)
    assert statistics.scale > 0
    assert (np.diff(np.float32(statistics.quantiles)) > 0).all()
    assert len(statistics.quantiles) <= 49


def test_a_value_far_off_is_far_off_and_not_missing():
    far = standardise(np.array([1e308, -1e308, 0.0, np.nan]), 0.0, 1e-9)
    assert far[:3].tolist() == pytest.approx([4, -4, 0])
    assert np.isnan(far[3])


def test_categories_by_count_then_name_rare_and_unknown():
    color = ["red"] * 5 + ["blue"] * 5 + ["green"] * 9 + ["once"] + [None]
    y = ["a", "b"] * 10 + ["a"]
    raw = Raw("toy", "", Table.from_frame(pd.DataFrame({"color": color, "y": y})))
    schema = learned(raw)
    assert schema.inputs[0].statistics.vocabulary == ("green", "blue", "red")
    asked = Table.from_frame(pd.DataFrame({"color": ["green", "once", "violet", None, "red"]}))
    encoded = encode(asked, schema).examples
    assert encoded.inputs[CATEGORIES][:, 0].tolist() == [2, 1, 1, 0, 4]
    assert encoded.targets is None


def test_unreadable_numbers_count_as_missing():
    raw = mixed()
    schema = learned(raw)
    table = raw.table.replace("whole", pd.Series(["about 7"] * N))
    encoded = encode(table, schema)
    place = input_spec(schema).blocks[NUMBERS].names.index("whole")
    assert np.isnan(encoded.examples.inputs[NUMBERS][:, place]).all()
    assert encoded.unreadable == {}


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["10", "9", "100", "9"], ("9", "10", "100")),
        ([2.0, 1.0, 2.0, 1.0], ("1", "2")),
        (["no", "yes", "maybe", "no"], ("maybe", "no", "yes")),
        ([True, False, True, False], ("False", "True")),
    ],
)
def test_classes_are_sorted_as_numbers_or_names(values, labels):
    frame = pd.DataFrame({"x": np.arange(40) % 7, "y": pd.Series(values * 10)})
    raw = Raw("toy", "", Table.from_frame(frame))
    schema = learned(raw, task="classification")
    assert schema.labels == labels
    targets = encode(raw.table, schema).examples.targets
    assert [schema.labels[t] for t in targets[:4]] == [cells.text_of(v) for v in values]


def test_regression_targets_stay_in_their_units():
    y = np.linspace(100, 300, 40)
    raw = Raw("toy", "", Table.from_frame(pd.DataFrame({"x": np.arange(40) % 7, "y": y})))
    schema = learned(raw)
    assert np.array_equal(encode(raw.table, schema).examples.targets, y)
    output = output_spec(schema)
    assert (output.center, output.scale) == pytest.approx((y.mean(), y.std()))


def test_unseen_classes_and_missing_columns_are_named():
    raw = mixed()
    schema = learned(raw)
    with pytest.raises(DataError, match="class 'c' of 'y' was never seen"):
        encode(raw.table.replace("y", pd.Series(["c"] * N)), schema)
    with pytest.raises(DataError, match="no usable value of the target"):
        encode(raw.table.replace("y", pd.Series([None] * N)), schema)
    with pytest.raises(DataError, match="no column 'whole'"):
        encode(raw.table.drop(["whole"]), schema)


def test_times_have_cyclic_parts_where_they_vary():
    when = pd.date_range("2020-01-01", periods=400, freq="D").strftime("%d.%m.%Y")
    frame = pd.DataFrame({"when": when, "y": ["a", "b"] * 200})
    raw = Raw("toy", "", Table.from_frame(frame))
    schema = learned(raw)
    assert schema.inputs[0].statistics.parts == (
        "seconds", "year_sin", "year_cos", "week_sin", "week_cos",
    )  # fmt: skip
    numbers = encode(raw.table, schema).examples.inputs[NUMBERS]
    assert np.allclose(numbers[:, 3] ** 2 + numbers[:, 4] ** 2, 1, atol=1e-6)
    assert np.allclose(numbers[7:, 3], numbers[:-7, 3], atol=1e-5)


@pytest.mark.parametrize("same", [[1, 1.0, "1", " 1 ", "1.0", np.int64(1), np.float32(1)]])
def test_one_value_in_many_guises(same):
    assert {cells.text_of(value) for value in same} == {"1"}


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, "", " ", "?", "NA", "nan"])
def test_what_counts_as_missing(missing):
    assert cells.text_of(missing) is None


def photo(folder, name, size, color, **options):
    path = folder / name
    Image.new("RGB", size, color).save(path, **options)
    return str(path)


def folder_of_pictures(tmp_path):
    paths = [
        photo(tmp_path, f"{i}.{'jpg' if i % 2 else 'png'}", (90, 120), (i * 6, 50, 250 - i * 6))
        for i in range(40)
    ]
    table = Table({"image": pd.Series(paths), "y": pd.Series(["a", "b"] * 20)})
    return Raw("photos", "", table, kinds={"image": "image"})


def test_files_are_brought_to_one_size_in_their_shape(tmp_path):
    raw = folder_of_pictures(tmp_path)
    schema = learn(infer_schema(raw, target="y"), raw.table, np.arange(40), image_size=32)
    encoded = encode(raw.table, schema)
    assert encoded.examples.inputs["image"].shape == (40, 3, 36, 28)
    assert np.abs(encoded.examples.inputs["image"][3].mean(axis=(1, 2)) - [18, 50, 232]).max() < 3
    alone = encode(raw.table.take([3]), schema).examples.inputs["image"][0]
    assert np.array_equal(alone, encoded.examples.inputs["image"][3])


def test_unreadable_pictures_are_zeros_with_a_reason(tmp_path):
    raw = folder_of_pictures(tmp_path)
    schema = learn(infer_schema(raw, target="y"), raw.table, np.arange(40), image_size=16)
    (tmp_path / "5.jpg").write_bytes(b"no picture")
    (tmp_path / "6.png").unlink()
    encoded = encode(raw.table, schema)
    assert set(encoded.unreadable) == {5, 6}
    assert not encoded.examples.inputs["image"][[5, 6]].any()
    assert all(reason for reason in encoded.unreadable.values())


def test_no_readable_picture_is_an_error(tmp_path):
    raw = folder_of_pictures(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="'image'"):
        learn(infer_schema(raw, target="y"), raw.table, np.arange(40))


def test_grey_pictures_have_one_channel_and_transparency_is_white(tmp_path):
    grey = ImageStatistics(8, 8, 1, (0.0,), (1.0,))
    color = ImageStatistics(8, 8, 3, (0.0,) * 3, (1.0,) * 3)
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.png")
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (decode(str(tmp_path / "grey.png"), grey) == 77).all()
    assert decode(str(tmp_path / "grey.png"), color).shape == (3, 8, 8)
    assert (decode(str(tmp_path / "clear.png"), color) == 255).all()
    assert (decode(np.zeros((8, 8, 4), np.uint8), color) == 255).all()


def test_pictures_on_their_side_are_turned(tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # to be turned by 90 degrees clockwise
    image = Image.new("RGB", (40, 20), "black")
    image.paste((255, 255, 255), (0, 0, 20, 20))
    image.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    pixels = decode(str(tmp_path / "turned.jpg"), ImageStatistics(40, 20, 1, (0.0,), (1.0,)))
    assert pixels[0, :15].min() > 200
    assert pixels[0, 25:].max() < 50


def test_a_large_photograph_decoded_small_is_like_the_full_one(tmp_path):
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (12, 9, 3), dtype=np.uint8))
    full = coarse.resize((900, 1200), Image.Resampling.BICUBIC)
    stream = io.BytesIO()
    full.save(stream, "JPEG", quality=95)
    (tmp_path / "photo.jpg").write_bytes(stream.getvalue())
    size = ImageStatistics(64, 48, 3, (0.0,) * 3, (1.0,) * 3)
    small = decode(str(tmp_path / "photo.jpg"), size).astype(int)
    exact = np.asarray(full.resize((48, 64), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.abs(small - exact).mean() < 2


@pytest.mark.parametrize(
    ("shape", "box"),
    [((100, 100), (64, 64)), ((95, 100), (64, 64)), ((120, 90), (72, 56)), ((90, 120), (56, 72))],
)
def test_boxes_keep_area_and_shape(shape, box):
    assert box_of(*shape, 64) == box


@pytest.mark.parametrize(
    "word", [*sorted(cells.MISSING), "None", "NONE", "NaN", "N/A", "Null", "NaT"]
)
def test_the_same_rows_from_csv_parquet_and_memory_are_encoded_the_same(tmp_path, word):
    generator = np.random.default_rng(0)
    number = generator.normal(size=N).astype(object)
    number[::50] = word
    color = generator.choice(np.array(["red", "blue", word], dtype=object), N)
    frame = pd.DataFrame({"number": number, "color": color, "y": ["b", "a"] * (N // 2)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.astype(str).to_parquet(tmp_path / "t.parquet")
    raws = [read(source) for source in (tmp_path / "t.csv", tmp_path / "t.parquet", frame)]
    schemas = [learned(raw) for raw in raws]
    codes = [encode(raw.table, schemas[0]).examples for raw in raws]
    hashes = [hash_inputs(schemas[0], raw.table) for raw in raws]
    for schema, examples, of_rows in zip(schemas, codes, hashes, strict=True):
        assert [f.statistics for f in schema.fields] == [f.statistics for f in schemas[0].fields]
        assert np.array_equal(examples.inputs[NUMBERS], codes[0].inputs[NUMBERS], equal_nan=True)
        assert np.array_equal(examples.inputs[CATEGORIES], codes[0].inputs[CATEGORIES])
        assert np.array_equal(of_rows, hashes[0])
    missing = examples.inputs[CATEGORIES][:, 0] == 0
    assert np.array_equal(missing, color == word)
