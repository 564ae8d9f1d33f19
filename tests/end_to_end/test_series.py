"""Series from a file to predictions: fit, predict, repeat; and a long table, the same way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import fathom
from fathom.core.errors import DataError, PlanError
from fathom.core.files import read_json
from fathom.core.schema import Schema
from fathom.planning.plan import load_plan

ROWS = 120


def waves(count, seed):
    """A bump that is early or late in noise; uneven lengths, two channels, gaps."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    rows = []
    for label in labels:
        length = int(generator.integers(24, 40))
        row = 0.3 * generator.normal(size=(2, length))
        start = 2 if label else length - 12
        row[0, start : start + 10] += 3 * np.hanning(10)
        row[1, generator.integers(0, length)] = np.nan
        rows.append(row.round(3))
    return rows, np.array(["late", "early"])[labels]


def as_ts(rows, labels):
    lines = ["@problemName bumps", "@timeStamps false", "@classLabel true early late", "@data"]
    for row, label in zip(rows, labels, strict=True):
        channels = [",".join("?" if np.isnan(v) else str(v) for v in channel) for channel in row]
        lines.append(":".join([*channels, label]))
    return "\n".join(lines) + "\n"


def as_long(rows, labels):
    parts = [
        pd.DataFrame({"who": f"s{i}", "at": range(row.shape[1]), "a": row[0], "b": row[1]})
        for i, row in enumerate(rows)
    ]
    ages = [part.assign(age=20 + i % 7, y=labels[i]) for i, part in enumerate(parts)]
    return pd.concat(ages).sample(frac=1.0, random_state=0)


def fit(source, folder, **options):
    return fathom.fit(source, out=folder, steps=40, settings=options.pop("settings", {}), **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    for split, count, seed in (("TRAIN", ROWS, 0), ("TEST", 60, 1)):
        (folder / f"Bumps_{split}.ts").write_text(as_ts(*waves(count, seed)))
    settings = {"network.filters": 4, "network.depth": 1, "augmentation.jitter": 0.1}
    test = folder / "Bumps_TEST.ts"
    return fit(folder / "Bumps_TRAIN.ts", folder / "runs", test=test, settings=settings)


def test_both_models_learn_and_the_bundle_predicts_a_file(run, tmp_path):
    values = {record.id: record.value for record in run.evidence}
    assert values["performance.roc_auc"] > 0.9
    plan = load_plan(run.folder / "plan.yaml")
    assert set(plan.baselines) == {"constant", "series"}
    assert plan.network.__struct_config__.tag == "series_convnet"
    rows, labels = waves(30, 2)
    path = tmp_path / "new.ts"
    path.write_text(as_ts(rows, ["?"] * 30))
    for model in ("network", "baseline"):
        frame = run.predict(path, model=model)
        assert (frame["prediction"] == labels).mean() > 0.8
    padded = np.full((30, 2, 40), np.nan)
    for i, row in enumerate(rows):
        padded[i, :, : row.shape[1]] = row
    again = run.predict(padded, model="network")
    np.testing.assert_allclose(
        again["confidence"], run.predict(path, model="network")["confidence"], atol=1e-6
    )


def test_the_plan_gives_the_same_weights_again(run, tmp_path):
    again = fathom.fit(str(run.folder / "plan.yaml"), out=tmp_path)
    frames = [r.predict(padded_noise(), model="network") for r in (run, again)]
    pd.testing.assert_frame_equal(*frames)


def padded_noise():
    return np.random.default_rng(3).normal(size=(5, 2, 30))


def test_other_channels_and_empty_series_are_said(run):
    with pytest.raises(DataError, match="have 3 channels, but the model has learned 2 channels"):
        run.predict(np.ones((4, 3, 30)))
    frame = run.predict(np.stack([np.full((2, 30), np.nan), np.ones((2, 30))]))
    assert "a value in none" in frame["problem"][0]
    assert frame["prediction"].isna().tolist() == [True, False]


def test_a_long_table_goes_all_the_way(tmp_path):
    path = tmp_path / "steps.csv"
    as_long(*waves(ROWS, 0)).to_csv(path, index=False)
    settings = {"data.series_id": "who", "series_time": "at", "network.scalars.width": 8}
    run = fit(path, tmp_path / "runs", target="y", settings=settings)
    plan = load_plan(run.folder / "plan.yaml")
    assert (plan.data.series_id, plan.data.series_time) == ("who", "at")
    assert plan.network.__struct_config__.tag == "mixed"
    schema = read_json(run.folder / "schema.json", Schema)
    assert schema.series_reading.channels == ("a", "b")
    rows, labels = waves(20, 5)
    frame = run.predict(as_long(rows, labels).drop(columns="y"), model="baseline")
    truth = dict(zip([f"s{i}" for i in range(20)], labels, strict=True))
    assert len(frame) == 20
    assert (frame["prediction"] == frame["who"].map(truth)).mean() > 0.8


def test_a_time_alone_says_nothing(tmp_path):
    frame = as_long(*waves(ROWS, 0))
    with pytest.raises(PlanError, match="series_id"):
        fit(frame, tmp_path, target="y", settings={"series_time": "at"})
