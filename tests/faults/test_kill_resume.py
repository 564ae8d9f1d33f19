"""A run that is killed at the worst moment and resumed ends with the very same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

import training_runs
from fathom.core.errors import InterruptedRunError
from fathom.training import checkpoint


def killed(name: str, folder: Path, renames: int, fsyncs: int) -> None:
    """Carry out a run in a process of its own, which is killed on the way."""
    script = [sys.executable, training_runs.__file__, name, str(folder)]
    done = subprocess.run([*script, str(renames), str(fsyncs)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL


def assert_equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, tensor in left.items():
        assert torch.equal(tensor, right[name]), name


def lines(folder: Path) -> list[dict[str, object]]:
    """The log without what a clock says, and without events."""
    read = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    clocks = ("seconds", "throughput")
    return [
        {k: v for k, v in line.items() if k not in clocks}
        for line in read
        if line["kind"] != "event"
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Tensor], Path]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return training_runs.carry_out("supervised", folder, resume=False), folder


# Renames count the checkpoints in place (step 0 is the first); a save flushes seven times before
# its own rename, and once after it.
@pytest.mark.parametrize(
    ("renames", "fsyncs", "newest"),
    [(3, 2, 24), (3, 8, 24), (4, 1, 36)],
    ids=["just before a save", "inside a save, all but renamed", "right after the rename"],
)
def test_killed_run_resumes_to_the_same_weights(
    renames: int,
    fsyncs: int,
    newest: int,
    undisturbed: tuple[dict[str, Tensor], Path],
    tmp_path: Path,
) -> None:
    killed("supervised", tmp_path, renames, fsyncs)
    assert checkpoint.saved(tmp_path / "checkpoints")[0].name == f"step-{newest:08d}"
    weights = training_runs.carry_out("supervised", tmp_path, resume=True)
    assert_equal(weights, undisturbed[0])
    assert lines(tmp_path) == lines(undisturbed[1])


def test_resuming_a_finished_run_changes_nothing(
    undisturbed: tuple[dict[str, Tensor], Path],
) -> None:
    weights, folder = undisturbed
    before = (folder / "log.jsonl").read_bytes()
    assert_equal(training_runs.carry_out("supervised", folder, resume=True), weights)
    assert (folder / "log.jsonl").read_bytes() == before


def test_resuming_nothing_starts(
    undisturbed: tuple[dict[str, Tensor], Path], tmp_path: Path
) -> None:
    assert_equal(training_runs.carry_out("supervised", tmp_path, resume=True), undisturbed[0])


def test_ctrl_c_finishes_the_step_saves_and_resumes(
    undisturbed: tuple[dict[str, Tensor], Path], tmp_path: Path
) -> None:
    assert threading.current_thread() is threading.main_thread()
    run = training_runs.supervised()

    class Pressing:
        """Says where training is, and presses Ctrl-C during step 29."""

        def stage(self, name: str) -> None: ...
        def say(self, sentence: str) -> None: ...
        def advance(self, done: float, total: float, note: str = "") -> None:
            if done == 29:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRunError):
        run.trainer(tmp_path, progress=Pressing()).fit()
    assert checkpoint.saved(tmp_path / "checkpoints")[0].name == "step-00000029"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert_equal(training_runs.carry_out("supervised", tmp_path, resume=True), undisturbed[0])
