"""Sounds, from a folder and from columns: the whole way, small."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

import fathom
from fathom.core.errors import InterruptedRunError
from fathom.training.log import TrainingLog
from tones import tone, tone_folder, write

SMALL = {
    "network.widths": [8, 8],
    "network.depths": [1, 1],
    "network.stem": 8,
    "training.weight_averaging": 0.0,
}


def fit(source, out, **options):
    settings = SMALL | options.pop("settings", {})
    return fathom.fit(
        source, out=out, **({"steps": 40, "budget": "60s"} | options), settings=settings
    )


def weights(run):
    return load_file(run.folder / "bundle" / "model.safetensors")


def equal(one, two):
    return one.keys() == two.keys() and all(np.array_equal(one[n], two[n]) for n in one)


def test_a_folder_of_sounds_is_learned_repeated_and_predicted(tmp_path):
    root = tone_folder(tmp_path / "tones")
    write(root / "low" / "empty.wav", np.zeros((0, 1)))
    (root / "high" / "notes.wav").write_text("no sound at all")
    run = fit(root, tmp_path / "runs")
    assert run["performance.accuracy"].value > 0.8
    assert "baseline.audio.accuracy" in {record.id for record in run.evidence}
    reasons = dict(run["data.unreadable"].figure.data["rows"])
    assert reasons["low/empty.wav"] == "holds no sound"
    assert reasons["high/notes.wav"].startswith("cannot be read as sound")
    statistics = json.loads((run.folder / "schema.json").read_text())["fields"][0]["statistics"]
    assert statistics["rate"] == 4_000
    plan = (run.folder / "plan.yaml").read_text()
    assert "family: audio_convnet" in plan
    assert "hidden_bands: 0.2" in plan
    again = fathom.fit(run.folder / "plan.yaml", out=tmp_path / "again")
    assert equal(weights(run), weights(again))

    new = tmp_path / "new"
    for i, label in enumerate(("low", "high", "high")):
        write(new / f"{i}.flac", tone(label, 100 + i, rate=8_000, channels=2), 8_000)
    (new / "3.wav").write_bytes(b"")
    answers = run.predict(new)
    assert list(answers["file"]) == ["0.flac", "1.flac", "2.flac", "3.wav"]
    assert list(answers["prediction"][:3]) == ["low", "high", "high"]
    assert answers["problem"][3] == "is empty"
    assert pd.isna(answers["prediction"][3])
    alone = run.predict(new / "1.flac")
    assert alone["probability_high"][0] == answers["probability_high"][1]


def test_an_interrupted_run_on_sounds_goes_on_exactly(tmp_path, monkeypatch):
    root = tone_folder(tmp_path / "tones")
    whole = fit(root, tmp_path / "whole", settings={"training.save_every": 10})
    real, stop = TrainingLog.write, [True]

    def interrupting(log, kind, step, **fields):
        real(log, kind, step, **fields)
        if kind == "step" and step == 25 and stop:
            stop.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLog, "write", interrupting)
    with pytest.raises(InterruptedRunError):
        fit(root, tmp_path / "parts", settings={"training.save_every": 10})
    resumed = fit(root, tmp_path / "parts", settings={"training.save_every": 10}, resume=True)
    assert equal(weights(whole), weights(resumed))


@pytest.mark.parametrize("network", ["lstm", "transformer", "mlp"])
def test_every_network_hears(tmp_path, network):
    root = tone_folder(tmp_path / "tones", 40)
    run = fathom.fit(root, out=tmp_path, steps=3, settings={"network": network})
    assert run.predict(root / "low" / "0.wav")["prediction"].notna().all()


def test_a_table_of_paths_and_columns_makes_a_mixed_network(tmp_path):
    rows = []
    for i in range(60):
        label = ("low", "high")[i % 2]
        write(tmp_path / "data" / "calls" / f"{i}.ogg", tone(label, i, 8_000), 8_000)
        rows.append({"call": f"calls/{i}.ogg", "wind": i % 7 + 0.5, "label": label})
    rows[4]["call"] = "calls/gone.ogg"
    pd.DataFrame(rows).to_csv(tmp_path / "data" / "t.csv", index=False)
    run = fathom.fit(tmp_path / "data" / "t.csv", target="label", out=tmp_path, steps=4)
    fields = {f["name"]: f for f in json.loads((run.folder / "schema.json").read_text())["fields"]}
    assert fields["call"]["kind"] == "audio"
    assert "59 of 60 values are sound files" in fields["call"]["reason"]
    assert "no such file" in run["data.unreadable"].sentence
    answers = run.predict(
        pd.DataFrame(rows[:6]).assign(
            call=[str(tmp_path / "data" / row["call"]) for row in rows[:6]]
        )
    )
    assert answers["prediction"].notna().sum() == 5
