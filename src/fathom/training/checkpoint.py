"""Checkpoints that survive a kill, a power cut, a full disk and a flipped byte.

A checkpoint is a folder `checkpoints/step-00000123` of safetensors files, `state.json` and
`manifest.json` with the SHA-256 of both. It is written as a hidden folder, flushed, renamed into
place and read back; only then is an older one removed, and the one before it always stays.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from fathom.core.errors import ArtefactError
from fathom.core.files import fsync_folder, inside, read_json, sha256, to_json

CHECKPOINT_FORMAT = 1
KEPT = 2
_STATE, _MANIFEST, _TENSORS = "state.json", "manifest.json", ".safetensors"

Groups = Mapping[str, Mapping[str, Tensor]]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file `manifest.json`: the SHA-256 of every other file of the checkpoint."""

    files: dict[str, str]
    format_version: int = CHECKPOINT_FORMAT


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after `step` steps: tensors in named groups, and JSON values."""

    step: int
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def save(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint into `folder` and verify it; return its own folder.

    Raises OSError where the disk is full or fails, and ArtefactError where it gives back something
    else than was written; what was there before is then untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = _path(folder, checkpoint.step)
    beside = folder / f".{final.name}.part"
    shutil.rmtree(beside, ignore_errors=True)
    try:
        _write_files(beside, checkpoint)
        beside.rename(final)
        fsync_folder(folder)
    except OSError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    verify(final)
    for old in saved(folder)[KEPT:]:
        shutil.rmtree(old)
    return final


def saved(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the newest first."""
    return sorted(folder.glob("step-*"), reverse=True)


def load_newest(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest undamaged checkpoint, and a sentence for each damaged one that was passed over.

    What is damaged is set aside under the name `damaged-step-…`.
    """
    sentences: list[str] = []
    for path in saved(folder):
        try:
            return load(path), sentences
        except ArtefactError as error:
            sentences.append(f"{error} The checkpoint before it is used.")
            _set_aside(path)
    if sentences:
        sentences[-1] = sentences[-1].replace(
            "The checkpoint before it is used.", "There is none before it: training starts anew."
        )
    return None, sentences


def load(path: Path) -> Checkpoint:
    """Read one checkpoint, once it is verified. Raises ArtefactError where it is damaged."""
    verify(path)
    state = read_json(path / _STATE, dict[str, Any])
    try:
        tensors = {
            file.stem: safetensors.torch.load_file(file) for file in path.glob(f"*{_TENSORS}")
        }
    except SafetensorError as error:
        raise ArtefactError(f"The checkpoint {path} cannot be read: {error}.") from None
    return Checkpoint(int(path.name.removeprefix("step-")), tensors, state)


def verify(path: Path) -> None:
    """Compare every file with the manifest. Raises ArtefactError naming the file that differs."""
    manifest = read_json(path / _MANIFEST, Manifest)
    if manifest.format_version != CHECKPOINT_FORMAT:
        raise ArtefactError(
            f"The checkpoint {path} has format {manifest.format_version}; this version of Fathom "
            f"reads format {CHECKPOINT_FORMAT}."
        )
    if _STATE not in manifest.files:
        raise ArtefactError(f"The checkpoint {path} is damaged: its manifest lists no {_STATE}.")
    for name, expected in manifest.files.items():
        file = inside(path, name)
        if not file.is_file() or sha256(file) != expected:
            what = "differs from its manifest" if file.is_file() else "is missing"
            raise ArtefactError(f"The checkpoint {path} is damaged: {name} {what}.")


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def _write_files(folder: Path, checkpoint: Checkpoint) -> None:
    folder.mkdir()
    digests = {_STATE: _write(folder / _STATE, to_json(checkpoint.state))}
    for group, tensors in checkpoint.tensors.items():
        name = f"{group}{_TENSORS}"
        digests[name] = _write(folder / name, _serialise(tensors))
    _write(folder / _MANIFEST, to_json(Manifest(digests)))
    fsync_folder(folder)


def _serialise(tensors: Mapping[str, Tensor]) -> bytes:
    """The bytes of a file. Each tensor is cloned: the format knows no shared memory."""
    copies = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    content: bytes = safetensors.torch.save(copies)
    return content


def _write(path: Path, content: bytes) -> str:
    """Write and flush one file; return the SHA-256 of what was meant to be written."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


def _set_aside(path: Path) -> None:
    aside = path.with_name(f"damaged-{path.name}")
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)
