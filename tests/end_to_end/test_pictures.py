"""Pictures beside columns, and from the disk: the whole way, small."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file

import fathom
from fathom.core.errors import DataError
from fathom.data.infer import infer_schema
from fathom.data.read import read


def drawings(root, count=120):
    """Bright or dark pictures, a third of which only the column `wet` tells apart."""
    generator = np.random.default_rng(0)
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        label = "day" if i % 2 else "night"
        light = 170 if label == "day" else 80
        pixels = generator.normal(light, 30, (12, 12, 3)).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{i}.png")
        rows.append({"photo": f"{root.name}/{i}.png", "wet": i % 3, "label": label})
    return pd.DataFrame(rows)


@pytest.fixture
def table(tmp_path):
    frame = drawings(tmp_path / "data" / "img")
    frame.to_csv(tmp_path / "data" / "t.csv", index=False)
    return tmp_path / "data" / "t.csv"


def fit(source, out, **options):
    small = {"network": "mlp", "network.width": 32, "network.depth": 1}
    settings = small | options.pop("settings", {})
    return fathom.fit(source, out=out, steps=20, budget="30s", settings=settings, **options)


def weights(run):
    return load_file(run.folder / "bundle" / "model.safetensors")


def test_a_table_of_paths_learns_from_pictures_and_columns(table, tmp_path, monkeypatch):
    Image.new("RGB", (5, 5)).save(table.parent / "img" / "7.png")
    (table.parent / "img" / "8.png").unlink()
    run = fit(table, tmp_path / "runs", target="label")
    schema = json.loads((run.folder / "schema.json").read_text())
    kinds = {f["name"]: (f["kind"], f["role"]) for f in schema["fields"]}
    assert kinds["photo"] == ("image", "input")
    assert kinds["wet"][1] == "input"
    reason = next(f["reason"] for f in schema["fields"] if f["name"] == "photo")
    assert "119 of 120 values are picture files" in reason
    assert str(table.parent) in reason
    assert "line 10" in run["data.unreadable"].sentence
    new = tmp_path / "new"
    drawings(new / "img", 10).drop(columns="label").to_csv(new / "new.csv", index=False)
    monkeypatch.chdir(tmp_path)  # relative to the table, not to where one stands
    answers = run.predict(new / "new.csv")
    assert list(answers["row"]) == list(range(1, 11))
    assert answers["prediction"].notna().all()
    (new / "img" / "3.png").unlink()
    answers = run.predict(new / "new.csv")
    assert "no such file" in answers["problem"][3]
    assert answers["prediction"].notna().sum() == 9


def test_kinds_are_told_with_reasons_and_can_be_overridden(table, tmp_path):
    schema = infer_schema(read(table), target="label")
    assert schema.of_kind("image")[0].reason.startswith("paths of pictures: all 120")
    moved = tmp_path / "alone.csv"
    moved.write_text(table.read_text())
    schema = infer_schema(read(moved), target="label")
    field = next(f for f in schema.fields if f.name == "photo")
    assert field.kind == "category"
    assert f"only 0 of 120 values are picture files (looked for in {tmp_path}" in field.reason
    with pytest.raises(DataError, match="looked for in the folder of the table"):
        fit(moved, tmp_path, target="label", settings={"data.kinds.photo": "image"})
    frame = pd.read_csv(table)
    frame["photo"] = [str(table.parent / name) for name in frame["photo"]]
    assert infer_schema(read(frame), target="label").of_kind("image")
    frame["photo"] = [open(name, "rb").read() for name in frame["photo"]]  # noqa: PTH123, SIM115
    run = fit(frame, tmp_path, target="label")
    assert run.predict(frame.drop(columns="label"))["prediction"].notna().all()


def test_weights_do_not_depend_on_where_the_pictures_lie(tmp_path, monkeypatch):
    frame = drawings(tmp_path / "all")
    for name, label in zip(frame["photo"], frame["label"], strict=True):
        (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / name).rename(tmp_path / "photos" / label / name.split("/")[1])
    memory = fit(tmp_path / "photos", tmp_path / "runs")
    monkeypatch.setenv("FATHOM_CACHE_ABOVE", "0")
    disk = fit(tmp_path / "photos", tmp_path / "runs")
    one, two = weights(memory), weights(disk)
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)
    for name in ("performance.accuracy", "performance.log_loss", "baseline.pictures.accuracy"):
        assert memory[name].value == disk[name].value
