"""The cache of decoded pictures: arrays on disk, taken up by the next run on the same pictures.

    FATHOM_CACHE/pictures/KEY/      KEY: which pictures, and the form that they were brought to
      manifest.json                 the shape, and the rows that cannot be read with why
      pixels.bin                    (n, C, H, W) uint8, nothing else

An entry is written beside and renamed when it is whole, never changed, and counted as used whenever
it is found. It holds nothing that could not be made again: the folder may be deleted at any time.

FATHOM_CACHE is the folder (by default `fathom` in the user's cache folder), FATHOM_CACHE_LIMIT how
much it may hold ('40G' by default): the entries that were not used for longest are removed.
FATHOM_CACHE_ABOVE ('2G'; by default an eighth of the machine's memory) is the size above which
pictures stay on disk and are read batch by batch. None of them changes what is learned.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
from msgspec import Struct

from fathom.core.errors import PlanError, StorageError
from fathom.core.files import replacing, storing, write_json
from fathom.core.memory import machine_memory
from fathom.core.prediction import Array
from fathom.core.stored import StoredArray, StoredFile

CACHE_FORMAT = 1
MANIFEST, PIXELS = "manifest.json", "pixels.bin"
TOKENS = "tokens"  # the folder beside that of pictures (see `corpus.token_files`)
LIMIT = "40G"
MEMORY_SHARE = 1 / 8  # of the machine's memory, above which pictures stay on disk
SPARE = 256 * 2**20  # what is left free on the disk
STALE_SECONDS = 3600.0  # a half-written entry that nobody has written to for so long is abandoned
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


Shape = tuple[int, int, int, int]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """What an entry holds: (n, C, H, W), of each unreadable row its position and why, and the
    positions of pictures that were clipped.
    """

    shape: Shape
    unreadable: dict[int, str]
    clipped: tuple[int, ...] = ()
    format_version: int = CACHE_FORMAT


@dataclass(frozen=True)
class Entry:
    """What was found: the pictures, the rows that cannot be read with why, and the clipped ones."""

    pixels: StoredArray
    unreadable: dict[int, str]
    clipped: tuple[int, ...] = ()


@dataclass(frozen=True)
class Key:
    """What an entry is of: `content` tells which pictures, `form` what they were brought to."""

    content: str
    form: str

    @property
    def name(self) -> str:
        """The name of the entry's folder."""
        return f"{self.content}-{self.form}"


def key_of(digest: str, cells: Iterable[str], form: str) -> Key:
    """The key of the pictures named `cells`, of data with this digest, brought to `form`."""
    content = hashlib.sha256(f"{CACHE_FORMAT}\0{digest}\0".encode())
    for cell in cells:
        content.update(cell.encode("utf-8", "surrogateescape") + b"\0")
    return Key(content.hexdigest()[:32], hashlib.sha256(form.encode()).hexdigest()[:16])


def cache_folder() -> Path:
    """Where decoded pictures are kept; it need not exist yet."""
    named = os.environ.get("FATHOM_CACHE")
    if named:
        return Path(named).expanduser() / "pictures"
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "fathom" / "pictures"


def above() -> int:
    """The bytes above which decoded pictures stay on disk instead of in memory."""
    return _size("FATHOM_CACHE_ABOVE", str(int(MEMORY_SHARE * machine_memory())))


def limit() -> int:
    """The bytes that the cache may hold."""
    return _size("FATHOM_CACHE_LIMIT", LIMIT)


def find(key: Key, shape: Shape) -> Entry | None:
    """The entry of a key; None where there is none that is whole."""
    folder = cache_folder() / key.name
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        if (manifest.format_version, manifest.shape) != (CACHE_FORMAT, shape):
            return None
        stored = StoredArray(StoredFile(folder / PIXELS, manifest.shape))
    except (OSError, ValueError, msgspec.DecodeError):
        return None
    with suppress(OSError):  # a folder that may only be read serves as well
        os.utime(folder / MANIFEST)
    return Entry(stored, manifest.unreadable, manifest.clipped)


def holds(content: str) -> bool:
    """Whether these pictures are there in some form."""
    return any(cache_folder().glob(f"{content}-*/{MANIFEST}"))


class Writer:
    """An entry that is being written: blocks of pictures in order, then what is said of rows."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.unreadable: dict[int, str] = {}
        self.clipped: set[int] = set()

    def append(self, pictures: Array) -> None:
        """The next pictures, (m, C, H, W) uint8."""
        self._file.write(np.ascontiguousarray(pictures).data)


@contextmanager
def storing_entry(key: Key, shape: Shape) -> Iterator[Writer]:
    """Write the entry of `key`, which is there when the block succeeds, whole or not at all.

    An entry that another run finished meanwhile stays. Raises StorageError where the folder cannot
    be written, the disk has no room, or the entry alone is above the limit.
    """
    root = cache_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise no_room(root, error.strerror or str(error)) from None
    make_room(int(np.prod(shape)))
    there = lambda: find(key, shape) is not None  # noqa: E731
    with storing(root), replacing(root / key.name, keeping=there) as folder:
        with (folder / PIXELS).open("wb") as file:
            writer = Writer(file)
            yield writer
            file.flush()
            os.fsync(file.fileno())
        write_json(
            folder / MANIFEST, Manifest(shape, writer.unreadable, tuple(sorted(writer.clipped)))
        )


def make_room(needed: int, root: Path | None = None) -> None:
    """Remove the entries that were not used for longest until `needed` bytes more are allowed.

    `root` is a folder of entries of another kind, if it is not that of pictures; each kind may hold
    as much. Raises StorageError, and removes nothing, where they are above the limit alone, or the
    disk has no room for them even with the cache empty.
    """
    root, most = root or cache_folder(), limit()
    if needed > most:
        reason = f"FATHOM_CACHE_LIMIT allows {_bytes(most)}, and {_bytes(needed)} are needed"
        raise StorageError(_what(root), reason, "Raise it")
    entries = sorted(_entries(root))
    held = sum(size for _, size, _ in entries)
    free = shutil.disk_usage(root).free
    if free + held < needed + SPARE:
        raise no_room(root, f"The disk has {_bytes(free)} free, and {_bytes(needed)} are needed")
    for _, size, folder in entries:
        if held + needed <= most and free >= needed + SPARE:
            break
        shutil.rmtree(folder, ignore_errors=True)
        held -= size
        free = shutil.disk_usage(root).free
    if free < needed + SPARE:  # files that somebody still reads take up room until then
        raise no_room(root, f"The disk has {_bytes(free)} free, and {_bytes(needed)} are needed")


def no_room(root: Path, reason: str) -> StorageError:
    """The sentence for a cache folder that takes no more."""
    ways = "Free some space, or name another folder with FATHOM_CACHE"
    return StorageError(_what(root), reason, ways)


def _what(root: Path) -> str:
    what = "encoded texts" if root.name == TOKENS else "decoded pictures"
    return f"the cache of {what} in {root}"


def _entries(root: Path) -> Iterator[tuple[float, int, Path]]:
    """When each entry was last used, its bytes and its folder; abandoned ones count as oldest."""
    for folder in root.iterdir():
        with suppress(OSError):
            size = sum(file.stat().st_size for file in folder.iterdir())
            if not folder.name.startswith("."):
                yield (folder / MANIFEST).stat().st_mtime, size, folder
            elif time.time() - _last_written(folder) > STALE_SECONDS:
                yield 0.0, size, folder


def _last_written(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))


def _size(variable: str, default: str) -> int:
    text = os.environ.get(variable) or default
    parts = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", text.strip().upper())
    if not parts:
        raise PlanError(f"{variable} is {text!r}, which is no size: write 500M, 2G or 0.")
    return int(float(parts[1]) * _UNITS[parts[2]])


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"
