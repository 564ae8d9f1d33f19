"""Checkpoints that are damaged, or that the disk refuses, cost a run nothing but time."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import training_runs
from fathom.core.errors import ArtefactError, StorageError
from fathom.core.progress import Silent
from fathom.training import checkpoint
from fathom.training.checkpoint import Checkpoint


def flip_byte(path: Path) -> None:
    content = bytearray((path / "network.safetensors").read_bytes())
    content[-5] ^= 1
    (path / "network.safetensors").write_bytes(content)


def cut_file(path: Path) -> None:
    content = (path / "optimizer.safetensors").read_bytes()
    (path / "optimizer.safetensors").write_bytes(content[:-10])


def remove_file(path: Path) -> None:
    (path / "best.safetensors").unlink()


def spoil_state(path: Path) -> None:
    (path / "state.json").write_text("{not json")


def spoil_manifest(path: Path) -> None:
    (path / "manifest.json").write_text("")


def empty_manifest(path: Path) -> None:
    (path / "manifest.json").write_text('{"files": {}, "format_version": 1}')


def remove_manifest(path: Path) -> None:
    (path / "manifest.json").unlink()


DAMAGES = [
    flip_byte,
    cut_file,
    remove_file,
    spoil_state,
    spoil_manifest,
    empty_manifest,
    remove_manifest,
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], Path]:
    folder = tmp_path_factory.mktemp("finished")
    return training_runs.carry_out("supervised", folder, resume=False), folder


def copy_run(source: Path, target: Path) -> list[Path]:
    """A copy of a run; its checkpoints, the newest first."""
    for path in source.rglob("*"):
        if path.is_file():
            copied = target / path.relative_to(source)
            copied.parent.mkdir(parents=True, exist_ok=True)
            copied.write_bytes(path.read_bytes())
    return checkpoint.saved(target / "checkpoints")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_newest_is_passed_over(
    damage: Callable[[Path], None],
    finished: tuple[dict[str, torch.Tensor], Path],
    tmp_path: Path,
) -> None:
    newest, before = copy_run(finished[1], tmp_path)
    damage(newest)
    found, sentences = checkpoint.load_newest(tmp_path / "checkpoints")
    assert found is not None
    assert found.step == int(before.name.removeprefix("step-"))
    assert len(sentences) == 1
    assert newest.name in sentences[0]


def test_run_resumes_from_the_one_before_and_ends_the_same(
    finished: tuple[dict[str, torch.Tensor], Path], tmp_path: Path
) -> None:
    newest, _ = copy_run(finished[1], tmp_path)
    flip_byte(newest)
    run, heard = training_runs.supervised(), Silent()
    run.trainer(tmp_path, progress=heard).fit(resume=True)
    assert "is damaged" in heard.sentences[0]
    weights = run.network.state_dict()
    assert all(torch.equal(weights[k], finished[0][f"network/{k}"]) for k in weights)


def test_nothing_left_starts_anew_and_says_so(
    finished: tuple[dict[str, torch.Tensor], Path], tmp_path: Path
) -> None:
    for path in copy_run(finished[1], tmp_path):
        cut_file(path)
    run, heard = training_runs.supervised(), Silent()
    run.trainer(tmp_path, progress=heard).fit(resume=True)
    assert "training starts anew" in heard.sentences[1]
    weights = run.network.state_dict()
    assert all(torch.equal(weights[k], finished[0][f"network/{k}"]) for k in weights)


def test_checkpoint_of_another_network_is_refused(
    finished: tuple[dict[str, torch.Tensor], Path], tmp_path: Path
) -> None:
    copy_run(finished[1], tmp_path)
    run = training_runs.supervised()
    run.network.head = nn.Linear(8, 5)  # type: ignore[union-attr]
    with pytest.raises(ArtefactError, match="another network"):
        run.trainer(tmp_path).fit(resume=True)


def test_earlier_run_in_the_folder_is_never_overwritten(
    finished: tuple[dict[str, torch.Tensor], Path], tmp_path: Path
) -> None:
    copy_run(finished[1], tmp_path)
    with pytest.raises(ArtefactError, match="resume it"):
        training_runs.supervised().trainer(tmp_path).fit()


def test_checkpoint_of_other_data_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    training_runs.supervised(steps=12).trainer(tmp_path, identity="data and plan").fit()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for other in ("other data", ""):
        run = training_runs.supervised(steps=12)
        with pytest.raises(ArtefactError, match="other data or with another plan") as caught:
            run.trainer(tmp_path, identity=other).fit(resume=True)
        assert str(tmp_path) in str(caught.value)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    same = training_runs.supervised(steps=12)
    assert same.trainer(tmp_path, identity="data and plan").fit(resume=True).steps == 12


def test_full_disk_is_noticed_and_the_next_save_tries_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: tuple[dict[str, torch.Tensor], Path]
) -> None:
    run, heard = training_runs.supervised(), Silent()
    whole, left = os.fsync, {"full": 0}

    def full(descriptor: int) -> None:
        if run.source.position in (24, 60):  # the saves of two steps, the last one among them
            left["full"] += 1
            if left["full"] % 3 == 0:  # in the middle of the files
                raise OSError(errno.ENOSPC, "No space left on device")
        whole(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    result = run.trainer(tmp_path, progress=heard).fit()
    assert result.steps == 60
    said = [sentence for sentence in heard.sentences if "No space left on device" in sentence]
    assert len(said) == 2
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000036", "step-00000048"]  # no partial folder, and both can be read
    assert checkpoint.load_newest(tmp_path / "checkpoints")[1] == []
    weights = run.network.state_dict()
    assert all(torch.equal(weights[k], finished[0][f"network/{k}"]) for k in weights)


def test_log_waits_out_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fathom.training.log import TrainingLog

    log = TrainingLog(tmp_path / "log.jsonl")
    log.write("step", 1, loss=1.0)
    real = log._append

    def refuse(content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(log, "_append", refuse)
    log.write("step", 2, loss=float("nan"))
    monkeypatch.setattr(log, "_append", real)
    log.write("step", 3, loss=0.5)
    read = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in read] == [1, 2, 3]
    assert read[1]["loss"] is None


def test_log_that_cannot_be_written_to_the_end_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = training_runs.supervised(steps=12)
    trainer = run.trainer(tmp_path)

    def refuse(content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(trainer.log, "_append", refuse)
    with pytest.raises(StorageError, match=r"The disk is full: .*log\.jsonl"):
        trainer.fit()
    assert training_runs.supervised(steps=12).trainer(tmp_path).fit(resume=True).steps == 12


def test_every_kind_of_tensor_survives(tmp_path: Path) -> None:
    shared = torch.randn(3, 4)
    tensors: dict[str, Any] = {
        "scalar": torch.tensor(7),
        "bfloat16": torch.randn(5).bfloat16(),
        "tied": shared,
        "tied again": shared,
        "transposed": shared.T,
        "channels last": torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last),
        "flags": torch.tensor([True, False]),
        "none": torch.empty(0, 3),
    }
    state = {"step": 3, "score": 0.1 + 0.2, "nested": {"list": [1, None, "ä"]}}
    checkpoint.save(tmp_path, Checkpoint(3, {"group": tensors}, state))
    found, _ = checkpoint.load_newest(tmp_path)
    assert found is not None
    assert found.state == state
    for name, tensor in tensors.items():
        read = found.tensors["group"][name]
        assert read.dtype == tensor.dtype
        assert torch.equal(read, tensor), name


def test_two_are_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    for step in range(5):
        checkpoint.save(tmp_path, Checkpoint(step, {"a": {"w": torch.ones(2)}}, {}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000003", "step-00000004"]


def test_no_older_one_goes_before_the_new_one_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in range(2):
        checkpoint.save(tmp_path, Checkpoint(step, {"a": {"w": torch.ones(2)}}, {}))
    write = checkpoint._write

    def lie(path: Path, content: bytes) -> str:
        digest = write(path, content)
        if path.suffix == ".safetensors":
            path.write_bytes(content[:-1] + b"\x01")  # a disk that keeps something else
        return digest

    monkeypatch.setattr(checkpoint, "_write", lie)
    with pytest.raises(ArtefactError, match="differs"):
        checkpoint.save(tmp_path, Checkpoint(2, {"a": {"w": torch.ones(2)}}, {}))
    found, _ = checkpoint.load_newest(tmp_path)
    assert found is not None
    assert found.step == 1


def test_manifest_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, Checkpoint(0, {"a": {"w": torch.ones(2)}}, {}))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"]["../../etc/passwd"] = "0" * 64
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError, match="outside"):
        checkpoint.verify(path)
