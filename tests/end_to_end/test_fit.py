"""The whole way, as a user goes it: fit, report, predict, repeat, stop, kill, resume."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_wine

import fathom
from fathom.core.errors import PlanError

FILES = (
    "plan.yaml",
    "schema.json",
    "log.jsonl",
    "evidence.json",
    "story.json",
    "card.md",
    "report.html",
    "test_access.jsonl",
    "bundle/bundle.json",
    "bundle/model.safetensors",
    "bundle/baseline.safetensors",
    "bundle/trust.json",
)

# One thread is the quicker for networks as small as these, whatever else the machine does.
ONE = ("--set", "threads=1")


def weights(run: Path) -> bytes:
    return (run / "bundle" / "model.safetensors").read_bytes()


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fathom", "fit", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_step(run: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Until the log shows the step; a progress point, not a time."""
    for _ in range(3000):
        log = run / "log.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        steps = [json.loads(line)["step"] for line in lines if line.endswith("}")]
        if steps and max(steps) >= step:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    raise AssertionError(f"step {step} was not reached")


def test_a_table_from_the_command_line(command):
    outcome = command("fit", "wine", "--steps", "60", "--json", *ONE)
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out.splitlines()[-1])
    assert summary["verdict"] in {"network", "baseline", "level"}
    for name in FILES:
        assert Path("runs/wine", name).stat().st_size > 0, name
    records = {
        r["id"]: r for r in json.loads(Path("runs/wine/evidence.json").read_text())["records"]
    }
    for id in (
        "performance.accuracy",
        "gain.accuracy",
        "gap.accuracy",
        "baseline.boosting.accuracy",
    ):
        low, high = records[id]["interval"]
        assert low <= records[id]["value"] <= high
    assert records["performance.accuracy"]["value"] > 0.85
    assert records["cost.total_seconds"]["figure"]["kind"] == "bars"
    story = json.loads(Path("runs/wine/story.json").read_text())
    assert {"reading", "fitting baselines", "training"} <= set(story["stages"])
    assert 0 < sum(story["stages"].values()) <= story["seconds"] + 1
    assert "fathom fit runs/wine/plan.yaml" in Path("runs/wine/report.html").read_text()


def test_predict_on_new_rows_and_on_bad_ones(command):
    assert command("fit", "wine", "--steps", "40", *ONE).code == 0
    frame = load_wine(as_frame=True).frame.drop(columns="target").head(5)
    dirty = frame.astype(object)
    dirty.loc[2, "alcohol"] = "strong"
    dirty.loc[4] = None
    dirty.to_csv("new.csv", index=False)
    outcome = command("predict", "runs/wine", "new.csv", "-o", "answers.csv")
    assert outcome.code == 0, outcome.err
    assert "alcohol" in outcome.err
    answers = pd.read_csv("answers.csv")
    assert len(answers) == 5
    probabilities = answers.filter(like="probability_").to_numpy()
    assert np.allclose(probabilities[0].sum(), 1.0, atol=1e-6)
    assert (answers["prediction"].iloc[:2] == "class_0").all()
    assert answers["prediction"].isna().tolist() == [False] * 4 + [True]
    assert "inputs" in answers["problem"].iloc[4]
    both = [command("predict", "wine", "new.csv", "--model", m) for m in ("network", "baseline")]
    assert [b.code for b in both] == [0, 0]
    assert both[0].out != both[1].out
    frame.drop(columns="alcohol").to_csv("less.csv", index=False)
    missing = command("predict", "runs/wine", "less.csv")
    assert missing.code == 2
    assert "alcohol" in missing.err


def test_a_plan_repeated_gives_the_same_weights_and_runs_are_numbered(command):
    assert command("fit", "wine", "--steps", "30", "--seed", "3", *ONE).code == 0
    outcome = command("fit", "runs/wine/plan.yaml")
    assert outcome.code == 0, outcome.err
    assert weights(Path("runs/wine-2")) == weights(Path("runs/wine"))
    assert command("fit", "wine", "--steps", "30", "--seed", "3", *ONE).code == 0
    assert weights(Path("runs/wine-3")) == weights(Path("runs/wine"))
    assert command("fit", "wine", "--steps", "30", "--seed", "4", *ONE).code == 0
    assert weights(Path("runs/wine-4")) != weights(Path("runs/wine"))


def test_resume_of_nothing_starts_and_of_a_finished_run_does_nothing(command):
    assert command("fit", "wine", "--steps", "10", "--resume", *ONE).code == 0
    before = weights(Path("runs/wine"))
    again = command("fit", "wine", "--steps", "10", "--resume", *ONE)
    assert again.code == 0
    assert "finished" in again.err
    assert weights(Path("runs/wine")) == before
    assert not Path("runs/wine-2").exists()


def test_python_on_a_frame_and_on_arrays(tmp_path):
    frame = load_diabetes(as_frame=True, scaled=False).frame
    run = fathom.fit(frame, target="target", steps=60, out=tmp_path, settings={"threads": 1})
    assert run["performance.rmse"].value < frame["target"].std()
    assert run.report().exists()
    again = fathom.load(run.folder)
    assert again["performance.rmse"] == run["performance.rmse"]
    predicted = again.predict(frame.drop(columns="target").head(7))
    assert predicted["prediction"].between(0, 500).all()
    digits = load_digits()
    pictures = (digits.images * 15).astype(np.uint8)
    run = fathom.fit(
        (pictures[:600], digits.target[:600]),
        steps=60,
        out=tmp_path,
        name="pictures",
        settings={"threads": 1},
    )
    said = run.predict(pictures[600:700])["prediction"].astype(int)
    assert (said.to_numpy() == digits.target[600:700]).mean() > 0.8


@pytest.mark.slow
def test_killed_twice_and_resumed_is_bit_for_bit_undisturbed(tmp_path):
    arguments = ("wine", "--steps", "1200", "--set", "save_every=400", "--budget", "6s", *ONE)
    undisturbed = start(*arguments, "--out", "calm", cwd=tmp_path)
    assert undisturbed.wait(120) == 0, undisturbed.communicate()
    for step in (30, 600):  # before the first save, and between two
        killed = start(*arguments, "--resume", cwd=tmp_path)
        wait_for_step(tmp_path / "runs/wine", step, killed)
        killed.send_signal(signal.SIGKILL)
        killed.wait(30)
        assert not (tmp_path / "runs/wine/report.html").exists()
    resumed = start(*arguments, "--resume", cwd=tmp_path)
    assert resumed.wait(120) == 0, resumed.communicate()
    assert not (tmp_path / "runs/wine-2").exists()
    assert weights(tmp_path / "runs/wine") == weights(tmp_path / "calm/wine")
    steps = [
        json.loads(line) for line in (tmp_path / "runs/wine/log.jsonl").read_text().splitlines()
    ]
    logged = [line["step"] for line in steps if line["kind"] == "step"]
    assert logged == sorted(set(logged))


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    arguments = ("digits", "--steps", "4000", "--budget", "12s", *ONE)
    process = start(*arguments, cwd=tmp_path)
    wait_for_step(tmp_path / "runs/digits", 20, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    assert any((tmp_path / "runs/digits/checkpoints").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("data", ["breast-cancer", "diabetes"])
def test_the_budget_is_kept(tmp_path, data):
    started = time.monotonic()
    process = start(data, "--budget", "15s", cwd=tmp_path)
    assert process.wait(120) == 0, process.communicate()
    assert time.monotonic() - started <= 15 * 1.05 + 5


def test_a_plan_for_data_in_memory_is_repeated_from_python(tmp_path):
    frame = load_wine(as_frame=True).frame
    options = {"out": tmp_path, "settings": {"threads": 1}}
    first = fathom.fit(frame, target="target", steps=20, **options)
    plan = first.folder / "plan.yaml"
    again = fathom.fit(frame, plan=plan, out=tmp_path)
    assert weights(again.folder) == weights(first.folder)
    with pytest.raises(PlanError, match="memory"):
        fathom.fit(str(plan), out=tmp_path)
