"""Files that survive a crash: written beside, flushed to the disk, then renamed into place."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fathom.core.errors import ArtefactError, StorageError

# What the user can mend, and how; every other OSError stays what it is.
REFUSALS = {
    errno.ENOSPC: ("The disk is full", "Free some space"),
    errno.EDQUOT: ("The disk quota is used up", "Free some space"),
    errno.EROFS: ("The disk is read-only", "Make it writable"),
}

T = TypeVar("T")


def fsync_folder(folder: Path) -> None:
    """Flush a folder's entries, without which a rename may be lost in a power cut."""
    if os.name == "nt":
        return  # Windows opens no folder, and keeps its entries safe by itself
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """While `path` is written: a disk that is full or read-only becomes a StorageError naming it.

    Nested, the outermost path is named.
    """
    try:
        yield
    except StorageError as error:
        raise StorageError(path, error.reason, error.way_out) from None
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise StorageError(path, *REFUSALS[error.errno]) from None


def write_atomic(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: a reader sees the old file or the new one, never a part.

    Raises StorageError where the disk is full or read-only.
    """
    beside = _beside(path, "part")
    with storing(path):
        try:
            with beside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        fsync_folder(path.parent)


def _beside(path: Path, what: str) -> Path:
    """A hidden name of nobody else's: other threads and machines may write to the same place."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.{what}")


def _never() -> bool:
    return False


@contextmanager
def replacing(folder: Path, keeping: Callable[[], bool] = _never) -> Iterator[Path]:
    """A hidden folder to write into, which takes the place of `folder` when the block succeeds.

    Until then whatever stands at `folder` is untouched; after an error it still is. What stands
    there in the end, perhaps another process's, stays where `keeping` says so. The files must be
    flushed by whoever writes them (`write_atomic` does). Raises StorageError, naming `folder`.
    """
    beside, before = _beside(folder, "part"), _beside(folder, "old")
    with storing(folder):
        beside.mkdir(parents=True)
        try:
            yield beside
            _take_place(beside, folder, before, keeping)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        fsync_folder(folder.parent)
    shutil.rmtree(before, ignore_errors=True)


def _take_place(beside: Path, folder: Path, before: Path, keeping: Callable[[], bool]) -> None:
    """Rename `beside` to `folder`, what stood there first to `before`."""
    try:
        beside.rename(folder)  # to look first would leave a moment for others
    except OSError:
        if not folder.exists():
            raise
    else:
        return
    if keeping():
        return
    folder.rename(before)
    try:
        beside.rename(folder)
    except OSError:
        before.rename(folder)
        raise


def append_line(path: Path, value: Any) -> None:
    """Append one JSON line. Raises StorageError where the disk is full or read-only."""
    with storing(path), path.open("ab") as file:
        file.write(msgspec.json.encode(value) + b"\n")


def read_lines(path: Path) -> list[Any]:
    """The JSON lines of a file; a last line that a crash cut short is left out."""
    if not path.exists():
        return []
    values = []
    for line in path.read_bytes().splitlines():
        try:
            values.append(msgspec.json.decode(line))
        except msgspec.DecodeError:
            break
    return values


def to_json(value: Any) -> bytes:
    """Indented JSON, fields in the order of their definition."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def write_json(path: Path, value: Any) -> None:
    """Write a typed value as indented JSON, atomically."""
    write_atomic(path, to_json(value))


def read_json(path: Path, kind: type[T]) -> T:
    """Read and check a JSON file against its type. Raises ArtefactError naming file and key."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        raise ArtefactError(
            f"{path} is missing: the folder is incomplete or not Fathom's."
        ) from None
    except msgspec.DecodeError as error:
        raise ArtefactError(f"{path} is damaged or of another version: {error}.") from None


def inside(folder: Path, name: str) -> Path:
    """`folder / name`, refused where it would lead out of the folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ArtefactError(
            f"{name!r} in {folder} points outside of that folder; it was not opened."
        )
    return path


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
