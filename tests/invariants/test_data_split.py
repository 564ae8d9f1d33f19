"""A split covers every row once, and keeps together what must not straddle."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.core.errors import DataError
from fathom.data.infer import infer_schema
from fathom.data.raw import Raw
from fathom.data.split import CAPS, PARTS, split
from fathom.data.table import Table


def raw_of(n, seed=0, classes=2, given=None, **columns) -> Raw:
    generator = np.random.default_rng(seed)
    data = {"x": generator.normal(size=n), "z": generator.normal(size=n), **columns}
    if "y" not in data:
        data["y"] = [f"c{i % classes}" for i in range(n)]
    return Raw("toy", "", Table.from_frame(pd.DataFrame(data)), given_split=given)


def covered_once(splits, n):
    rows = np.concatenate(list(splits.parts().values()))
    return np.array_equal(np.sort(rows), np.arange(n))


def part_of(splits, n):
    part = np.empty(n, dtype=object)
    for name, rows in splits.parts().items():
        part[rows] = name
    return part


@settings(max_examples=40, deadline=None)
@given(n=st.integers(10, 300), seed=st.integers(0, 5), classes=st.integers(2, 4))
def test_every_row_once_and_every_class_trains(n, seed, classes):
    raw = raw_of(n, seed, classes)
    schema = infer_schema(raw, target="y")
    splits = split(raw, schema, seed=seed)
    assert covered_once(splits, n)
    assert all(len(rows) for rows in splits.parts().values())
    assert set(raw.table["y"].iloc[splits.train]) == set(raw.table["y"])
    again = split(raw, schema, seed=seed)
    assert all(np.array_equal(getattr(splits, p), getattr(again, p)) for p in PARTS)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 20), min_size=8, max_size=60), seed=st.integers(0, 5))
def test_groups_never_straddle(sizes, seed):
    who = np.repeat([f"p{i}" for i in range(len(sizes))], sizes)
    n = len(who)
    raw = raw_of(n, seed, who=who, y=np.random.default_rng(seed).normal(size=n))
    schema = infer_schema(raw, target="y", task="regression", group="who")
    splits = split(raw, schema, seed=seed)
    assert covered_once(splits, n)
    assert pd.Series(part_of(splits, n)).groupby(who).nunique().max() == 1


@settings(max_examples=40, deadline=None)
@given(times=st.lists(st.integers(0, 30), min_size=20, max_size=200), seed=st.integers(0, 3))
def test_time_runs_from_train_to_test(times, seed):
    times = np.array([*range(31, 35), *times])  # at least four different ones
    raw = raw_of(len(times), seed, t=times, y=np.arange(len(times)) * 0.5)
    schema = infer_schema(raw, target="y", task="regression", order="t")
    splits = split(raw, schema, seed=seed)
    assert covered_once(splits, len(times))
    for older, newer in pairwise(PARTS):
        assert times[getattr(splits, older)].max() < times[getattr(splits, newer)].min()


def test_strata_keep_their_proportions():
    y = np.repeat(["common", "rare"], [2700, 300])
    raw = raw_of(3000, y=np.random.default_rng(0).permutation(y))
    splits = split(raw, infer_schema(raw, target="y"), seed=3)
    for rows in splits.parts().values():
        share = (raw.table["y"].iloc[rows] == "rare").mean()
        assert abs(share - 0.1) < 1.5 / len(rows) + 0.002
    assert "stratified by class" in splits.how


def test_a_number_is_stratified_by_tenths():
    raw = raw_of(3000, y=np.random.default_rng(0).lognormal(size=3000))
    splits = split(raw, infer_schema(raw, target="y"), seed=3)
    tenth = pd.qcut(raw.table["y"], 10, labels=False)
    counts = np.bincount(tenth.iloc[splits.test], minlength=10)
    assert counts.max() - counts.min() <= 2


def test_copies_stay_together_and_the_sentence_says_so():
    once = raw_of(400)
    raw = Raw("toy", "", once.table.take(np.tile(np.arange(400), 3)))
    splits = split(raw, infer_schema(raw, target="y"), seed=0)
    part = part_of(splits, 1200).reshape(3, 400)
    assert (part[0] == part[1]).all()
    assert (part[0] == part[2]).all()
    assert "1,200 rows that are copies" in splits.how


def test_chance_repeats_of_coarse_columns_are_no_copies():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "sex": generator.choice(["m", "f"], 900),
            "deck": generator.choice(["1", "2", "3"], 900),
            "y": generator.choice(["a", "b"], 900),
        }
    )
    raw = Raw("toy", "", Table.from_frame(frame))
    assert "copies" not in split(raw, infer_schema(raw, target="y"), seed=0).how


def test_equal_pictures_stay_together():
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (60, 6, 6), dtype=np.uint8)
    table = Table({"image": np.concatenate([pixels, pixels]), "y": pd.Series(["a", "b"] * 60)})
    raw = Raw("toy", "", table, kinds={"image": "image"})
    splits = split(raw, infer_schema(raw, target="y"), seed=0)
    part = part_of(splits, 120)
    assert (part[:60] == part[60:]).all()


@pytest.mark.parametrize("named", [("train", "test"), ("train", "validation"), PARTS[::3]])
def test_given_splits_are_never_altered(named):
    given = np.array([named[i % 5 == 0] for i in range(500)], dtype=object)
    raw = raw_of(500, given=given)
    splits = split(raw, infer_schema(raw, target="y"), seed=0)
    assert covered_once(splits, 500)
    assert np.array_equal(getattr(splits, named[1]), np.flatnonzero(given == named[1]))
    assert set(np.concatenate([splits.train, splits.calibration])) <= set(
        np.flatnonzero(given == "train")
    )
    assert "as given" in splits.how


def test_large_data_spends_its_rows_on_training():
    raw = raw_of(300_000)
    sizes = {
        name: len(rows)
        for name, rows in split(raw, infer_schema(raw, target="y"), seed=0).parts().items()
    }
    assert all(abs(sizes[name] - cap) <= 2 for name, cap in CAPS.items())


def test_a_class_of_one_row_trains():
    raw = raw_of(50, y=["a", "b"] * 24 + ["a", "single"])
    for seed in range(5):
        assert 49 in split(raw, infer_schema(raw, target="y"), seed=seed).train


def test_too_few_groups_are_refused():
    raw = raw_of(90, who=["p", "q", "r"] * 30)
    with pytest.raises(DataError, match="--group who makes 3 separate groups"):
        split(raw, infer_schema(raw, target="y", group="who"), seed=0)


def test_too_few_times_are_refused():
    raw = raw_of(90, t=[1, 2, 3] * 30)
    with pytest.raises(DataError, match="'t' has 3 distinct values"):
        split(raw, infer_schema(raw, target="y", order="t"), seed=0)
