"""From a bundle and new data to a file of predictions, one row for each row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bundles
from fathom.core.errors import DataError, PlanError
from fathom.core.schema import Kind
from fathom.deployment import predict as module
from fathom.deployment.bundle import Bundle
from fathom.deployment.predict import NO_INPUT, predict, write_predictions

LABELS = ["no", "perhaps", "yes"]
PROBABILITIES = [f"probability_{label}" for label in LABELS]


@pytest.fixture(scope="module")
def made() -> bundles.Made:
    return bundles.make(bundles.people(), "fast")


@pytest.fixture(scope="module")
def bundle(made: bundles.Made, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return made.write(tmp_path_factory.mktemp("people") / "bundle", default="network")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for row, picture in enumerate(bundles.pictures(12)[0]):
        (folder / "learn" / "ab"[row % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / "learn" / "ab"[row % 2] / f"{row}.png")
    return folder


def test_the_form_of_the_answer_and_parity_with_the_predictor(made, bundle):
    told = predict(bundle, bundles.people().drop(columns="fast"))
    frame, wanted = told.frame, made.network.predict(made.examples)
    assert list(frame.columns) == ["row", "prediction", *PROBABILITIES, "confidence", "problem"]
    assert frame["row"].tolist() == list(range(1, 121))
    np.testing.assert_allclose(frame[PROBABILITIES].to_numpy(), wanted.probs, atol=1e-6)
    assert frame["prediction"].tolist() == wanted.names.tolist()
    np.testing.assert_array_equal(frame["confidence"], frame[PROBABILITIES].max(axis=1))
    assert (frame["problem"] == "").all()
    assert told.model == "network"
    assert told.sentences() == []


def test_the_baseline_when_asked_for(made, bundle):
    told = predict(bundle, bundles.people(), model="baseline")
    assert told.model == "boosting"
    wanted = made.baseline.predict(made.examples)
    np.testing.assert_allclose(told.frame[PROBABILITIES].to_numpy(), wanted.probs, atol=1e-12)
    with pytest.raises(PlanError, match="'forest'"):
        predict(bundle, bundles.people(), model="forest")


def test_a_file_says_the_same_as_the_frame(bundle, tmp_path):
    bundles.people().to_csv(tmp_path / "new.csv", index=False)
    one, two = predict(bundle, tmp_path / "new.csv"), predict(bundle, bundles.people())
    pd.testing.assert_frame_equal(one.frame, two.frame, rtol=1e-5)


def test_chunks_make_no_difference(bundle, monkeypatch):
    whole = predict(bundle, bundles.people())
    monkeypatch.setattr(module, "MOST_ROWS", 7)
    pd.testing.assert_frame_equal(predict(bundle, bundles.people()).frame, whole.frame, rtol=1e-5)


def test_numbers(tmp_path):
    table = bundles.people().drop(columns="fast")
    made = bundles.make(table, "weight")
    bundle = made.write(tmp_path / "bundle", default="network")
    told = predict(bundle, table.drop(columns="weight"))
    assert list(told.frame.columns) == ["row", "prediction", "problem"]
    wanted = made.network.predict(made.examples).values
    np.testing.assert_allclose(told.frame["prediction"], wanted, rtol=1e-6)


def test_surprises_are_counted(bundle):
    table = bundles.people()
    table["height"] = table["height"].astype(object)
    table.loc[[1, 2, 3], "height"] = "tall"
    table.loc[4, "town"] = "Atlantis"
    table.loc[5, "town"] = None
    table.loc[6, "since"] = pd.NaT
    told = predict(bundle, table)
    assert told.frame["prediction"].notna().all()
    assert len(told.sentences()) == 2
    assert told.sentences()[0].startswith("3 of 120 values of 'height' cannot be read as a number")
    assert told.sentences()[1].startswith("1 of 120 values of 'town' are none that the model")


def test_columns_beside_those_that_are_needed_do_not_matter(bundle):
    table = bundles.people()
    one = predict(bundle, table.assign(more=1)[["more", *reversed(table.columns)]])
    pd.testing.assert_frame_equal(one.frame, predict(bundle, table).frame)


def test_a_missing_column(bundle):
    with pytest.raises(DataError, match="'town'"):
        predict(bundle, bundles.people().drop(columns="town"))


def test_a_row_without_any_input_gets_no_answer(tmp_path):
    words = [f"{'fine' if i % 2 else 'poor'} weather, day {i} of {i * 7}" for i in range(60)]
    table = pd.DataFrame({"note": words, "heat": np.arange(60) % 13 + 0.5, "y": ["a", "b"] * 30})
    kinds: dict[str, Kind] = {"note": "text"}
    alone = bundles.make(table[["note", "y"]], "y", kinds=kinds).write(
        tmp_path / "alone", default="network"
    )
    told = predict(alone, pd.DataFrame({"note": ["fine weather", "  \n", "", None]}))
    assert told.frame["prediction"].isna().tolist() == [False, True, True, True]
    assert set(told.frame["problem"][1:]) == {NO_INPUT}
    mixed = bundles.make(table, "y", kinds=kinds).write(tmp_path / "mixed", default="network")
    told = predict(mixed, pd.DataFrame({"note": [" ", " "], "heat": [3.0, None]}))
    assert told.frame["prediction"].isna().tolist() == [False, True]


def test_text_files_that_cannot_be_read_get_no_answer(tmp_path):
    for i in range(40):
        (tmp_path / "all" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "all" / "ab"[i % 2] / f"{i}.txt").write_text(f"words {i} and {'xy'[i % 2]}")
    bundle = bundles.make(tmp_path / "all").write(tmp_path / "bundle", default="network")
    new = tmp_path / "new"
    new.mkdir()
    (new / "blank.txt").write_text(" \n ")
    (new / "empty.txt").write_text("")
    (new / "good.txt").write_text("words x")
    told = predict(bundle, new)
    assert told.frame["prediction"].isna().tolist() == [True, True, False]
    assert told.frame["problem"].tolist() == ["is empty", "is empty", ""]
    assert told.sentences() == ["No answer for 2 rows or files, first blank.txt: is empty."]


def test_pictures_that_cannot_be_read_keep_their_place(gallery, tmp_path):
    bundle = bundles.make(gallery / "learn").write(tmp_path / "bundle", default="network")
    new = tmp_path / "new"
    new.mkdir()
    for row, picture in enumerate(bundles.pictures(3, seed=1)[0]):
        Image.fromarray(picture).save(new / f"{row}.png")
    whole = predict(bundle, new).frame
    (new / "1.png").write_bytes((new / "1.png").read_bytes()[:60])
    told = predict(bundle, new)
    assert told.frame["file"].tolist() == ["0.png", "1.png", "2.png"]
    answers = told.frame.drop(columns=["file", "problem"])
    assert answers.iloc[1].isna().all()
    assert answers.iloc[[0, 2]].notna().all(axis=None)
    pd.testing.assert_frame_equal(told.frame.iloc[[0, 2]], whole.iloc[[0, 2]], rtol=1e-4)
    assert told.frame["problem"].map(bool).tolist() == [False, True, False]
    assert "1.png" in told.sentences()[0]
    write_predictions(told, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[2].startswith("1.png,,,,,")
    one = predict(bundle, new / "2.png").frame
    assert one["file"].tolist() == ["2.png"]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_what_is_written_reads_back(bundle, tmp_path, ending):
    told = predict(bundle, bundles.people())
    path = tmp_path / f"out{ending}"
    path.write_text("before")
    write_predictions(told, path)
    read = {
        ".csv": lambda: pd.read_csv(path, keep_default_na=False),
        ".tsv": lambda: pd.read_csv(path, sep="\t", keep_default_na=False),
        ".parquet": lambda: pd.read_parquet(path),
        ".jsonl": lambda: pd.read_json(path, lines=True),
    }[ending]()
    pd.testing.assert_frame_equal(read, told.frame, check_dtype=False)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_where_nothing_can_be_written(bundle, tmp_path):
    told = predict(bundle, bundles.people())
    for path, says in (
        (tmp_path / "out.xlsx", ".csv, .tsv, .parquet, .jsonl"),
        (tmp_path / "out", ".csv, .tsv, .parquet, .jsonl"),
        (tmp_path / "nowhere" / "out.csv", "no folder"),
        (tmp_path / "folder.csv", "cannot be written"),
    ):
        (tmp_path / "folder.csv").mkdir(exist_ok=True)
        with pytest.raises(DataError, match=says):
            write_predictions(told, path)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.csv"]
