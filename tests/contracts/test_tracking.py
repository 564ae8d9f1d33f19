"""Trackers get what log.jsonl gets; a resumed run goes on with the same; faults cost nothing."""

from __future__ import annotations

import sys

import pytest
import torch

import fathom.tracking as room
from fathom.core.errors import MissingExtraError, PlanError
from fathom.core.files import read_json, read_lines
from fathom.core.progress import Silent
from fathom.core.record import Record
from fathom.tracking import Tracking, check_tracker, tracking
from fathom.training.log import TrainingLog

pytestmark = pytest.mark.usefixtures("few_rounds")

RECORDS = (
    Record("performance.accuracy", "performance", "Good.", value=0.9),
    Record("verdict", "verdict", "Level.", value="level"),
)


def run(name, folder, steps, *, until=-1, done=False, offset=0.0):
    """A training as the log sees it, from the step after `until`."""
    folder.mkdir(exist_ok=True)
    silent = Silent()
    with tracking(name, folder, silent) as tracked:
        tracked.parameters({"network": {"depth": 2}, "seed": 0})
        log = TrainingLog(folder / "log.jsonl", tracked if tracked.on else None)
        log.keep_until(until)
        for step in range(until + 1 if until > 0 else 1, steps + 1):
            phases = {"one": {"loss": step + offset}}
            log.write("step", step, loss=step + offset, grad_norm=None, phases=phases)
            log.write("validation", step, score=0.5)
        if done:
            tracked.records(RECORDS)
    return silent.sentences


def test_tensorboard_has_the_log_and_a_resume_replaces_what_is_done_again(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert run("tensorboard", tmp_path, 6) == []
    assert run("tensorboard", tmp_path, 8, until=4, done=True, offset=100.0) == []
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    points = [(e.step, e.value) for e in events.Scalars("train/loss")]
    assert points == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 105), (6, 106), (7, 107), (8, 108)]
    assert len(events.Scalars("validation/score")) == 8
    assert events.Scalars("evidence/performance.accuracy")[0].step == 8
    assert "network.depth" in str(events.Tensors("plan/text_summary"))


def test_mlflow_has_the_log_and_a_resume_goes_on_with_the_same_run(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "wine"
    assert run("mlflow", folder, 6) == []
    state = read_json(folder / "tracking.json", dict)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    assert client.get_run(state["run_id"]).info.status == "KILLED"
    assert run("mlflow", folder, 8, until=4, done=True) == []
    assert read_json(folder / "tracking.json", dict) == state
    found = client.get_run(state["run_id"])
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "wine"
    assert found.data.params["network.depth"] == "2"
    assert found.data.tags["verdict"] == "level"
    assert found.data.metrics["evidence/performance.accuracy"] == 0.9
    steps = [point.step for point in client.get_metric_history(state["run_id"], "train/loss")]
    assert sorted(steps) == list(range(1, 9))


def test_mlflow_keeps_what_a_checkpoint_stands_on_and_drops_what_is_done_again(
    tmp_path, monkeypatch
):
    pytest.importorskip("mlflow")
    from fathom.tracking.to_mlflow import open_tracker

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    folder = tmp_path / "wine"
    folder.mkdir()
    tracker = open_tracker(folder)
    tracked = Tracking(tracker, Silent())
    log = TrainingLog(folder / "log.jsonl", tracked)
    log.keep_until(-1)

    def sent():
        history = tracker.client.get_metric_history(tracker.run_id, "train/loss")
        return sorted((point.step, point.value) for point in history)

    for step in range(1, 4):
        log.write("step", step, loss=float(step))
    log.flush()  # as the trainer does before it saves; a kill right behind it loses nothing
    assert sent() == [(1, 1.0), (2, 2.0), (3, 3.0)]
    log.write("step", 4, loss=float("4"))
    log.keep_until(3)  # rolled back: step 4 is done again
    log.write("step", 4, loss=5.0)
    log.flush()
    assert sent() == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 5.0)]
    assert tracked.on


class Faulty:
    """A tracker that dies on its third call."""

    calls = 0

    def __getattr__(self, name):
        def method(*arguments):
            self.calls += 1
            if self.calls == 3:
                raise RuntimeError("the server is gone")

        return method


def test_a_tracker_that_fails_costs_one_sentence(tmp_path):
    silent, faulty = Silent(), Faulty()
    tracked = Tracking(faulty, silent)
    log = TrainingLog(tmp_path / "log.jsonl", tracked)
    for step in range(1, 9):
        log.write("step", step, loss=1.0)
    tracked.close()
    assert faulty.calls == 3
    assert len(silent.sentences) == 1
    assert "the server is gone" in silent.sentences[0]
    assert len(read_lines(tmp_path / "log.jsonl")) == 8


def test_a_store_that_is_not_there_costs_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    sentences = run("mlflow", tmp_path / "run", 3, done=True)
    assert len(sentences) == 1
    assert sentences[0].startswith("Nothing is tracked: mlflow cannot be used (its server cannot")
    assert "Connection refused" in sentences[0]
    assert "HTTP" not in sentences[0]


def test_unknown_and_missing_trackers(monkeypatch):
    check_tracker(None)
    with pytest.raises(PlanError, match="tensorboard"):
        check_tracker("tensorbord")
    for package in room.TRACKERS.values():
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"fathom-learn\[track\]"):
        check_tracker("mlflow")


def test_a_tracked_run_and_devices(command, tmp_path):
    pytest.importorskip("tensorboard")
    outcome = command(
        *("fit", "wine", "--steps", "10", "--set", "threads=1", "--track", "tensorboard")
    )
    assert outcome.code == 0, outcome.err
    assert list((tmp_path / "runs/wine/tensorboard").glob("events*"))
    assert command("fit", "wine", "--device", "gpu").code == 2
    if not torch.cuda.is_available():
        (tmp_path / "new.csv").write_text("a\n1\n")
        for verb in (("fit", "wine"), ("predict", "runs/wine", "new.csv")):
            refused = command(*verb, "--device", "cuda:1")
            assert refused.code == 2
            assert "use --device cpu" in refused.err
