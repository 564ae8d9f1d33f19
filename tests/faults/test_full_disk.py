"""A disk that takes nothing more is the user's to mend: one sentence that names the file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pandas as pd
import pytest

from fathom.core import files
from fathom.core.errors import DataError, StorageError
from fathom.deployment.predict import Predictions, check_output, write_predictions
from fathom.deployment.surprises import Surprises


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    number = getattr(request, "param", errno.ENOSPC)

    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)


@pytest.mark.parametrize(
    ("full", "reason"),
    [
        (errno.ENOSPC, "The disk is full: "),
        (errno.EDQUOT, "The disk quota is used up: "),
        (errno.EROFS, "The disk is read-only: "),
    ],
    indirect=["full"],
)
def test_file_is_named_and_the_old_one_stays(full: None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "evidence.json"
    path.write_bytes(b"old")
    with pytest.raises(StorageError) as caught:
        files.write_json(path, {"new": 1})
    assert str(caught.value).startswith(f"{reason}{path} could not be written. ")
    assert "--resume" in str(caught.value)
    assert caught.value.exit_code == 2
    assert [p.name for p in tmp_path.iterdir()] == ["evidence.json"]
    assert path.read_bytes() == b"old"


def test_folder_is_named_instead_of_the_hidden_one(full: None, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    with (
        pytest.raises(StorageError, match=r"/bundle could not be written"),
        files.replacing(folder) as beside,
    ):
        files.write_atomic(beside / "bundle.json", b"{}")
    assert list(tmp_path.iterdir()) == []


def test_appended_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="disk is full: /dev/full"):
        files.append_line(Path("/dev/full"), {"a": 1})


@pytest.mark.parametrize("full", [errno.EIO], indirect=True)
def test_other_faults_stay_what_they_are(full: None, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        files.write_atomic(tmp_path / "a", b"")


def test_command_ends_with_one_sentence(command, monkeypatch) -> None:
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if Path(target).name == "evidence.json":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    fit = ("fit", "wine", "--steps", "5", "--set", "threads=1")
    outcome = command(*fit)
    assert outcome.code == 2, outcome.err
    assert "The disk is full" in outcome.err
    assert "evidence.json" in outcome.err
    assert "Traceback" not in outcome.err
    monkeypatch.setattr(Path, "replace", replace)
    assert command(*fit, "--resume").code == 0


def test_predictions_are_not_resumed(full: None, tmp_path: Path) -> None:
    predictions = Predictions(pd.DataFrame({"prediction": [1.0]}), "network", (), Surprises())
    with pytest.raises(DataError, match=r"The disk is full: .*choose another file"):
        write_predictions(predictions, tmp_path / "a.csv")


def test_place_of_predictions_is_checked_beforehand(tmp_path: Path) -> None:
    assert check_output(str(tmp_path / "a.parquet")) == tmp_path / "a.parquet"
    (tmp_path / "folder.csv").mkdir()
    for name, said in (("a.xlsx", "csv"), ("none/a.csv", "no folder"), ("folder.csv", "a folder")):
        with pytest.raises(DataError, match=said):
            check_output(tmp_path / name)
