"""Near duplicates are found, what only looks alike is not, and splits keep them on one side."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter, ImageOps
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_digits

from fathom.core.budget import Budget
from fathom.core.progress import Silent
from fathom.data import parallel, repeats
from fathom.data.audit import audit
from fathom.data.hashing import hash_inputs
from fathom.data.infer import infer_schema
from fathom.data.near_pictures import OutOfTimeError, near_pictures
from fathom.data.near_rows import near_rows, rounded
from fathom.data.perceptual import (
    codes_of,
    frequencies,
    nominated,
    turned,
    turned_frequencies,
    upright,
)
from fathom.data.raw import Raw
from fathom.data.repeats import LEAST_CHAIN, Near, _units, find_repeats
from fathom.data.small_pictures import of_arrays, small_pictures
from fathom.data.split import split
from fathom.data.table import Table


def photos(n, side=64, seed=0):
    """Different pictures with structure at all scales, (n, side, side) uint8."""
    generator = np.random.default_rng(seed)
    scales = [gaussian_filter(generator.normal(size=(n, side, side)), (0, s, s)) for s in (1, 3, 9)]
    x = sum(layer / layer.std() for layer in scales)
    return np.clip(128 + 35 * x, 0, 255).astype(np.uint8)


def saved_anew(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=50)
    return Image.open(file)


CHANGES = {
    "saved anew": saved_anew,
    "scaled": lambda i: i.resize((48, 48), Image.Resampling.BILINEAR),
    "brighter": lambda i: i.point(lambda v: min(255, int(1.1 * v))),
    "darker": lambda i: i.point(lambda v: int(0.9 * v)),
    "cropped": lambda i: i.crop((2, 0, 64, 62)),
    "blurred": lambda i: i.filter(ImageFilter.GaussianBlur(0.8)),
    "mirrored": ImageOps.mirror,
    "turned": lambda i: i.rotate(90),
    "mirrored and turned": lambda i: ImageOps.flip(i).rotate(90),
}


def raw_of_pictures(pictures, given=None, **columns):
    table = Table({"image": pictures, "y": pd.Series(["a", "b"] * (len(pictures) // 2)), **columns})
    return Raw("toy", "", table, given_split=given, kinds={"image": "image"})


@pytest.mark.parametrize("change", CHANGES)
def test_changed_pictures_are_found_and_no_others(change):
    base = photos(120)
    changed = [np.asarray(CHANGES[change](Image.fromarray(p)).convert("L")) for p in base[:40]]
    small = np.concatenate([of_arrays(base), of_arrays(np.stack(changed))])
    found = {tuple(pair) for pair in near_pictures(small)}
    planted = {(i, 120 + i) for i in range(40)}
    assert found <= planted
    assert len(found) >= 36


def test_pictures_that_only_look_alike_are_not_joined():
    digits = (load_digits().images * 15.9).astype(np.uint8)
    assert len(np.unique(near_pictures(of_arrays(digits)))) <= 0.005 * len(digits)


def test_blank_pictures_are_no_near_duplicates():
    small = np.zeros((50, 32, 32), dtype=np.uint8) + np.arange(50, dtype=np.uint8)[:, None, None]
    assert len(near_pictures(small)) == 0
    assert len(near_pictures(small[:1])) == 0


def test_codes_within_six_bits_are_nominated():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 2**63, 500, dtype=np.uint64)
    flipped = codes.copy()
    for bit in range(6):  # in six different octets
        flipped ^= np.uint64(1) << generator.integers(8 * bit, 8 * bit + 8, 500).astype(np.uint64)
    found = {
        tuple(sorted(p)) for pairs in nominated(np.concatenate([codes, flipped])) for p in pairs
    }
    assert {(i, 500 + i) for i in range(500)} <= found


def test_frequencies_stand_up_alike_in_every_orientation():
    picture = photos(20, 32)
    expected = codes_of(upright(frequencies(picture)))
    for turns in range(4):
        for mirrored in (picture, picture[:, :, ::-1]):
            other = np.rot90(mirrored, turns, axes=(1, 2))
            assert (codes_of(upright(frequencies(other))) == expected).all()


@pytest.mark.parametrize("turn", range(8))
def test_frequencies_are_turned_as_pictures_are(turn):
    picture = photos(20, 32)
    expected = frequencies(turned(picture, turn))
    assert np.abs(turned_frequencies(frequencies(picture), turn) - expected).max() < 1e-5


def test_near_pictures_stay_on_one_side_and_the_record_shows_them():
    base = photos(100)
    raw = raw_of_pictures(
        np.concatenate([base, np.clip(base.astype(int) + 9, 0, 255)]).astype("u1")
    )
    schema = infer_schema(raw, target="y")
    splits = split(raw, schema, seed=0)
    part = np.empty(200, dtype=object)
    for name, rows in splits.parts().items():
        part[rows] = name
    assert (part[:100] == part[100:]).all()
    assert "200 near duplicates kept together" in splits.how
    record = next(
        r
        for r in audit(raw, schema, seed=0, budget=Budget(9)).records
        if r.id == "data.near_duplicates"
    )
    assert record.value == 1.0
    assert len(record.figure.data["items"]) == 8
    assert "row 1 and row 101" in record.sentence


def test_near_straddlers_of_given_splits_are_counted_apart_from_exact_ones():
    base = photos(100)
    test = np.concatenate(
        [base[:6], np.clip(base[6:10].astype(int) + 9, 0, 255), photos(10, seed=9)]
    )
    given = np.array(["train"] * 100 + ["test"] * 20, dtype=object)
    raw = raw_of_pictures(np.concatenate([base, test]).astype(np.uint8), given)
    schema = infer_schema(raw, target="y")
    records = {r.id: r for r in audit(raw, schema, seed=0, budget=Budget(9)).records}
    straddlers = records["data.straddlers"]
    assert straddlers.value == 0.5
    assert "6 of 20 given test pictures (30.0 %) have the inputs" in straddlers.sentence
    assert "4 more (20.0 %) are nearly the same as one" in straddlers.sentence
    assert split(raw, schema, seed=0).test.tolist() == list(range(100, 120))  # never altered
    near = records["data.near_duplicates"].sentence
    assert "8 of them have such a one on the other side of the split that is given" in near


def test_picture_files_that_take_too_long_are_said_to_be_left_out(tmp_path):
    for i, pixels in enumerate(photos(20)):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    files = pd.Series([str(tmp_path / f"{i}.png") for i in range(20)])
    raw = raw_of_pictures(files)
    schema = infer_schema(raw, target="y")
    ticks = iter(np.arange(0, 1e6, 100.0))
    slow = Budget(1000, clock=lambda: next(ticks))
    found = find_repeats(raw, schema, seed=0, budget=slow)
    assert not found.near.searched
    assert "near duplicates not looked for" in split(raw, schema, seed=0, repeats=found).how
    records = audit(raw, schema, seed=0, budget=Budget(9), repeats=found).records
    record = next(r for r in records if r.id == "data.near_duplicates")
    assert record.status == "skipped"
    assert "--set data.near_duplicates=true" in record.reason
    ticks = iter(np.arange(0, 1e6, 100.0))
    assert find_repeats(raw, schema, seed=0, wanted=True, budget=slow).near.searched


def test_files_and_arrays_make_the_same_small_pictures(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (4, 48, 64, 3), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    files = pd.Series([str(tmp_path / f"{i}.png") for i in range(4)] + [str(tmp_path / "none.png")])
    of_files = small_pictures(files, Silent())
    difference = of_files[:4].astype(int) - small_pictures(pixels, Silent())
    assert np.abs(difference).max() <= 2
    assert not of_files[4].any()


def table(n=400, seed=0):
    generator = np.random.default_rng(seed)
    frame = pd.DataFrame(generator.lognormal(3, 1, (n, 4)), columns=list("abcd"))
    frame["city"] = generator.choice(["New York", "Bath", "São Paulo"], n)
    frame["y"] = generator.choice(["no", "yes"], n)
    return frame


def near_in(frame, **options):
    raw = Raw("toy", "", Table.from_frame(frame))
    schema = infer_schema(raw, target="y", **options)
    return near_rows(schema, raw.table, hash_inputs(schema, raw.table))


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.assign(city=f["city"].str.upper() + " "),
        lambda f: f.assign(
            a=f["a"].astype("float32").astype(float), b=f["b"].map("{:.6g}".format).astype(float)
        ),
        lambda f: f.assign(c=f["c"] + 0.002 * f["c"].std()),
    ],
)
def test_changed_rows_are_found_and_no_others(change):
    frame = table()
    pairs = near_in(pd.concat([frame, change(frame.iloc[:50])], ignore_index=True))
    found = {tuple(pair) for pair in pairs}
    assert found <= {(i, 400 + i) for i in range(50)}
    assert len(found) >= 45


def test_rows_that_differ_in_substance_are_none():
    frame = table()
    other = frame.iloc[:50].assign(c=frame["c"] + frame["c"].std())
    assert len(near_in(pd.concat([frame, other], ignore_index=True))) == 0
    exact = pd.concat([frame, frame.iloc[:50]], ignore_index=True)
    assert len(near_in(exact)) == 0  # exact copies are counted elsewhere


def test_coarse_rows_that_agree_by_chance_are_none():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": generator.normal(size=2000),
            "sex": generator.choice(["m", "f"], 2000),
            "age": generator.integers(20, 60, 2000),
            "y": generator.choice(["a", "b"], 2000),
        }
    )
    assert len(near_in(frame)) == 0


def test_numbers_round_to_six_digits():
    values = np.array([1.00000049, 123456.7, -0.000123456789, 0.0, np.nan, 1e36])
    expected = [1.0, 123457.0, -0.000123457, 0.0, np.nan, 1e36]
    assert np.allclose(rounded(values), expected, rtol=1e-12, atol=0, equal_nan=True)


def test_a_long_chain_is_not_joined_and_counted():
    hashes, copied = np.arange(5000, dtype=np.uint64), np.zeros(5000, dtype=bool)
    chain = np.stack([np.arange(400), np.arange(1, 401)], axis=1)
    short = np.array([[1000, 2000]])
    units, too_long = _units(hashes, copied, np.concatenate([chain, short]))
    assert too_long == 401
    assert units[1000] == units[2000]
    assert np.bincount(units).max() == 2
    units, too_long = _units(hashes, copied, chain[: LEAST_CHAIN - 1])
    assert too_long == 0
    assert np.bincount(units).max() == LEAST_CHAIN


def test_pairs_follow_their_rows():
    near = Near(np.array([[0, 3], [1, 2]]), "some")
    assert near.take(np.array([0, 2, 3]), 4).pairs.tolist() == [[0, 2]]


@pytest.mark.parametrize("part", [20, 1000])  # foreseen, and seen on the way
def test_pictures_that_take_too_long_to_compare_are_said_to_be_left_out(monkeypatch, part):
    monkeypatch.setattr(repeats, "PART", part)
    monkeypatch.setattr(repeats, "LOOKING_SHARE", 1e9)
    raw = raw_of_pictures(photos(200))
    schema = infer_schema(raw, target="y")
    ticks = iter(np.arange(0.0, 1e6))
    budget = Budget(16.0, clock=lambda: float(next(ticks)))
    found = find_repeats(raw, schema, seed=0, budget=budget)
    assert not found.near.searched
    assert "comparing 200 pictures takes" in found.near.why_not
    assert find_repeats(raw, schema, seed=0, wanted=True, budget=budget).near.searched
    assert find_repeats(raw, schema, seed=0, budget=Budget(1000.0)).near.searched


def test_comparing_stops_while_it_is_under_way(monkeypatch):
    monkeypatch.setattr(parallel, "MOST_WORKERS", 2)
    asked, asked_to_the_end = [], []
    near_pictures(photos(50, 32), go_on=lambda: asked_to_the_end.append(1) or True)
    with pytest.raises(OutOfTimeError):
        near_pictures(photos(50, 32), go_on=lambda: asked.append(1) or len(asked) < 3)
    assert 3 <= len(asked) < len(asked_to_the_end) / 4  # what is under way may still ask
