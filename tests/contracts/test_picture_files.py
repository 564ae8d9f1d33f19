"""Picture files of every form: each is read as it is seen, or named with the reason."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFile

from fathom.core.budget import Budget
from fathom.core.errors import BudgetError
from fathom.core.progress import Silent
from fathom.data import file_columns, pictures
from fathom.data.encode import encode
from fathom.data.file_columns import find_files
from fathom.data.infer import infer_schema
from fathom.data.learn import learn
from fathom.data.opening import header
from fathom.data.pictures import decode, encode_pictures, foresee, learn_levels
from fathom.data.read import read
from fathom.deployment.surprises import find_surprises
from fathom.planning.prepare import _tell_clipped

RAMP = np.add.outer(np.arange(0, 200, 10), np.arange(0, 55, 2)).astype(np.uint8)  # (20, 28)
COLOUR = np.stack([RAMP, RAMP[::-1], 255 - RAMP], axis=2)


def statistics_of(files, size=None):
    return pictures.learn_pictures("image", pd.Series(files, dtype="str"), size)


def as_seen(path):
    return decode(str(path), statistics_of([str(path)])).transpose(1, 2, 0).squeeze()


@pytest.mark.parametrize(
    ("name", "mode", "options", "off"),
    [
        ("lossless.webp", "RGB", {"lossless": True}, 0),
        ("lossy.webp", "RGB", {"quality": 95}, 12),
        ("packed.tiff", "RGB", {"compression": "tiff_lzw"}, 0),
        ("plain.tif", "RGB", {}, 0),
        ("plain.bmp", "RGB", {}, 0),
        ("palette.gif", "RGB", {}, 30),
        ("palette.png", "P", {}, 51),
        ("plain.ppm", "RGB", {}, 0),
        ("plain.jpg", "RGB", {"quality": 98, "subsampling": 0}, 8),
        ("print.jpg", "CMYK", {"quality": 98, "subsampling": 0}, 8),
        ("print.tif", "CMYK", {}, 2),
        ("alpha.webp", "RGBA", {"lossless": True}, 0),
        ("alpha.png", "RGBA", {}, 0),
        ("plain.jp2", "RGB", {}, 2),
    ],
)
def test_colours_come_out_as_they_went_in(tmp_path, name, mode, options, off):
    Image.fromarray(COLOUR).convert(mode).save(tmp_path / name, **options)
    found = as_seen(tmp_path / name)
    assert found.shape == COLOUR.shape
    assert np.abs(found.astype(int) - COLOUR).max() <= off


def test_black_and_white_and_palettes_with_transparency(tmp_path):
    Image.fromarray(RAMP > 90).save(tmp_path / "one_bit.tiff", compression="group4")
    assert (as_seen(tmp_path / "one_bit.tiff") == (RAMP > 90) * 255).all()
    clear = Image.new("P", (8, 8), 1)
    clear.putpalette([255, 0, 0, 0, 0, 255])
    clear.putpixel((0, 0), 0)
    clear.save(tmp_path / "clear.png", transparency=0)
    found = as_seen(tmp_path / "clear.png")
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[1, 1].tolist() == [0, 0, 255]


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff", "big_endian.tiff"])
def test_sixteen_bits_keep_their_range(tmp_path, name):
    order = ">u2" if name.startswith("big") else "<u2"
    Image.fromarray((RAMP.astype(np.uint16) * 257).astype(order)).save(tmp_path / name)
    assert (as_seen(tmp_path / name) == RAMP).all()


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (RAMP.astype(np.uint16) * 16, (0, 4095)),  # a camera of 12 bits
        (RAMP.astype(np.uint16), (0, 255)),
        (RAMP.astype(np.float32) / 255, (0, 1)),
        (RAMP.astype(np.float32) * 12 - 1000, (-1024, 4095)),  # as in tomography
        (RAMP.astype(np.int32) * 1000, (0, 262144)),
    ],
)
def test_the_levels_of_deep_pictures_are_learned_once_and_never_clip(tmp_path, values, levels):
    Image.fromarray(values).save(tmp_path / "a.tiff")
    dark = np.minimum(values, values.min() + np.ptp(values) / 4).astype(values.dtype)
    Image.fromarray(dark).save(tmp_path / "b.tiff")
    files = [str(tmp_path / "a.tiff"), str(tmp_path / "b.tiff")]
    learned = statistics_of(files)
    found = learned.levels
    assert found is not None
    assert found[0] == levels[0]
    assert found[1] >= values.max()
    if levels[0] == 0:
        assert found == levels
    one, two = (decode(file, learned) for file in files)
    same = values == dark  # a dark picture means the same beside a bright one
    assert (one[0][same] == two[0][same]).all()
    assert len(np.unique(one)) > 100 or levels[1] > 4095
    assert learn_levels(pd.Series([files[1]], dtype="str")) is not None


def deep_folder(root):
    generator = np.random.default_rng(0)
    for i in range(24):
        path = root / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 1000, (12, 12)).astype(np.uint16)
        pixels[0, 0] = 1023
        Image.fromarray(pixels).save(path)
    return root


def test_the_rule_for_deep_pictures_is_told_and_kept_in_the_schema(tmp_path):
    raw = read(deep_folder(tmp_path))
    schema = learn(infer_schema(raw), raw.table, np.arange(len(raw)))
    field = schema.of_kind("image")[0]
    assert "0 to 1,023 become 0 to 255" in field.reason
    assert field.statistics.levels == (0, 1023)
    alone = encode(raw.table.take([5]), schema).examples.inputs["image"][:]
    together = encode(raw.table, schema).examples.inputs["image"][:]
    assert (alone[0] == together[5]).all()
    assert together.max() == 255


def test_of_animations_and_pages_the_first_is_used_and_said(tmp_path):
    frames = [Image.fromarray(np.full((8, 8), v, np.uint8)) for v in (50, 200)]
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(2):
            frames[0].save(tmp_path / label / f"{i}.png")
    frames[0].save(tmp_path / "a" / "x.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "b" / "y.tiff", save_all=True, append_images=frames[1:])
    told = Silent()
    read(tmp_path, progress=told)
    assert told.sentences == [
        "2 files hold several frames or pages, such as a/x.gif: the first of each is used."
    ]
    assert (as_seen(tmp_path / "a" / "x.gif") == 50).all()
    assert (as_seen(tmp_path / "b" / "y.tiff") == 50).all()


def test_too_little_time_for_photographs_is_seen_before_anything_is_learned(tmp_path, monkeypatch):
    Image.new("RGB", (40, 40)).save(tmp_path / "0.jpg")
    column = pd.Series([str(tmp_path / "0.jpg")] * 500, dtype="str")
    clock = iter(np.arange(0.0, 10_000.0, 1.0))  # of which each look takes a second
    opened = []
    monkeypatch.setattr(pictures, "decode", lambda *_: opened.append(1) or np.zeros((3, 64, 64)))
    with pytest.raises(BudgetError, match="Reading the 500 pictures"):
        foresee(column, "sha256:a", Budget(20.0, clock=lambda: float(next(clock))))
    assert len(opened) <= sum(pictures.FORESEEN)
    foresee(column, "sha256:a", Budget(1000.0))


def test_what_the_cache_holds_needs_no_time(tmp_path, monkeypatch):
    Image.new("RGB", (40, 40)).save(tmp_path / "0.jpg")
    column = pd.Series([str(tmp_path / "0.jpg")] * 30, dtype="str")
    size = statistics_of(list(column))
    monkeypatch.setattr(pictures, "KEPT_SECONDS", 0.0)
    encode_pictures(column, size, digest="sha256:a")
    monkeypatch.setattr(pictures, "decode", None)
    foresee(column, "sha256:a", Budget(1e-9))


@pytest.mark.parametrize("absolute", [True, False])
def test_a_picture_that_an_arrow_table_names_counts_for_the_digest(tmp_path, absolute):
    for i in range(4):
        Image.fromarray(RAMP).save(tmp_path / f"{i}.png")
    folder = tmp_path if absolute else Path()
    cells = [{"bytes": None, "path": str(folder / f"{i}.png")} for i in range(4)]
    table = pa.table({"image": cells, "y": ["a", "b"] * 2})
    pq.write_table(table, tmp_path / "t.parquet")

    def digest():
        raw = read(tmp_path / "t.parquet")
        return find_files(raw, infer_schema(raw, target="y"), Silent()).digest

    before = digest()
    assert before == digest()
    Image.fromarray(RAMP + 1).save(tmp_path / "2.png")
    assert digest() != before


def test_pictures_of_a_folder_are_looked_at_once(tmp_path, monkeypatch):
    raw = read(deep_folder(tmp_path))
    monkeypatch.setattr(file_columns, "look_at_all", None)
    assert find_files(raw, infer_schema(raw), Silent()).digest == raw.digest


def test_dev_names_the_validation_split_of_pictures_too(tmp_path):
    for split in ("train", "dev"):
        deep_folder(tmp_path / split)
    assert set(read(tmp_path).given_split) == {"train", "validation"}


def deep(path, high):
    pixels = np.zeros((8, 8), dtype=np.uint16)
    pixels[0, 0] = high
    Image.fromarray(pixels).save(path)
    return str(path)


def test_one_bright_picture_among_many_dark_ones_sets_the_levels(tmp_path):
    files = [deep(tmp_path / "dark.png", 900)] * (2 * pictures.FILE_SAMPLE)
    files[1] = deep(tmp_path / "bright.png", 4000)  # the sample for sizes passes it over
    assert statistics_of(files).levels == (0, 4095)


def test_pictures_beyond_the_levels_are_counted_also_when_they_come_from_the_cache(
    tmp_path, monkeypatch
):
    files = [deep(tmp_path / f"{i}.png", 1000) for i in range(4)]
    learned = statistics_of(files)
    files[2] = deep(tmp_path / "bright.png", 5000)
    column = pd.Series(files, dtype="str")
    monkeypatch.setattr(pictures, "KEPT_SECONDS", 0.0)
    for above in ("1G", "1G", "0"):
        monkeypatch.setenv("FATHOM_CACHE_ABOVE", above)
        beyond = set()
        encode_pictures(column, learned, digest="sha256:a", clipped=beyond)
        assert beyond == {2}
    beyond = set()
    encode_pictures(column, learned, digest="sha256:b", clipped=beyond)  # straight to the disk
    assert beyond == {2}


def test_clipped_pictures_are_told_when_learning_and_when_predicting(tmp_path):
    raw = read(deep_folder(tmp_path / "data"))
    schema = learn(infer_schema(raw), raw.table, np.arange(len(raw)))
    bright = deep(tmp_path / "data" / "a" / "0.png", 3000)
    told = Silent()
    encoded = encode(raw.table, schema)
    _tell_clipped(raw, schema, encoded, told)
    (sentence,) = told.sentences
    assert sentence.startswith("1 of 24 pictures in 'image', first a/0.png, hold values beyond 0")
    found = find_surprises(raw.table, schema, encoded)
    assert [(name, count) for (name, _), count in found.items()] == [("image", 1)]
    assert str(raw.table["image"][0]) == bright


def test_a_header_is_read_without_the_pixels(tmp_path, monkeypatch):
    file = deep(tmp_path / "a.png", 9)
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    assert header(file) == ((8, 8), True)
