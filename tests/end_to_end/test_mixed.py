"""The whole way with texts and pictures among the columns, and no option but the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import fathom
from fathom.core.files import read_json
from fathom.core.schema import Schema
from fathom.run import Run

WORDS = ["soft", "blue", "warm", "long", "worn", "new", "fine", "short"]
ROWS = 150


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """A price, a season, a note, a code and the path of a picture; note and picture tell."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    rows = []
    for i in range(ROWS):
        warm = bool(generator.random() < 0.5)
        pixels = generator.integers(0, 90, (16, 16, 3)) + (90 if warm else 0)
        path = folder / f"{i}.png"
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        words = [*generator.choice(WORDS, 4), "woollen" if warm else "linen", str(i)]
        rows.append(
            {
                "photo": str(path),
                "price": generator.normal(20, 5),
                "season": generator.choice(["summer", "winter", "spring"]),
                "note": " ".join(words),
                "code": f"K-{i:04d}",
                "label": "warm" if warm else "light",
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def run(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("runs")
    settings = {"threads": 1}
    return fathom.fit(table, target="label", steps=25, settings=settings, out=out)


def test_every_column_is_what_it_looks_like(run: Run) -> None:
    schema = read_json(run.folder / "schema.json", Schema)
    kinds = {f.name: (f.kind, f.role) for f in schema.fields}
    assert kinds["photo"] == ("image", "input")
    assert kinds["note"] == ("text", "input")
    assert kinds["season"] == ("category", "input")
    assert kinds["code"] == ("category", "ignored")


def test_network_and_methods_see_the_texts_and_what_they_say_is_told(run: Run) -> None:
    assert run["performance.accuracy"].value > 0.8
    assert run["baseline.mixture.accuracy"].value > 0.8
    assert run["fields"].figure is not None
    assert {r.id for r in run.evidence if r.group == "fields"} == {
        "fields",
        *(f"fields.{name}" for name in ("photo", "price", "season", "note")),
    }
    assert "What it goes by" in Path(run.report()).read_text(encoding="utf-8")


def test_rows_are_predicted_and_unknown_words_and_gaps_are_answered(
    run: Run, table: pd.DataFrame
) -> None:
    strange = table.drop(columns="label").head(4)
    strange.loc[strange.index[0], "note"] = None
    strange.loc[strange.index[1], "note"] = "entirely other words ψ"
    for model in ("network", "baseline"):
        answers = run.predict(strange, model=model)
        assert answers["prediction"].isin(["warm", "light"]).all()


def test_the_plan_repeats_to_the_same_weights(
    run: Run, table: pd.DataFrame, tmp_path: Path
) -> None:
    again = fathom.fit(table, plan=run.folder / "plan.yaml", out=tmp_path)
    first, second = ((r.folder / "bundle" / "model.safetensors").read_bytes() for r in (run, again))
    assert first == second


def test_parts_that_attend_show_what_they_look_at(table: pd.DataFrame, tmp_path: Path) -> None:
    settings = {
        "threads": 1,
        "network": "mixed",
        "network.fields.note.family": "transformer",
        "network.fields.photo.family": "vit",
    }
    done = fathom.fit(table, target="label", steps=2, settings=settings, out=tmp_path)
    figure = done["features.attention"].figure
    assert figure is not None
    items = figure.data["items"]
    assert [item["title"].split(",")[0] for item in items] == ["photo"] * 2 + ["note"] * 2
    assert items[0]["maps"][0]["image"].startswith("data:image/png")
    assert items[2]["maps"][0]["labels"][0] == "<start>"
    assert "'note'" in done["features.attention_reach"].sentence
