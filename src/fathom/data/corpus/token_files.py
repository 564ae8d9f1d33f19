"""Encoded corpora on disk: what does not fit in memory, taken up by the next run on the same text.

    FATHOM_CACHE/tokens/KEY/          KEY: which text, how it is split, and with which tokenizer
      manifest.json                   the type of the tokens, and of each split its names' stems
      SPLIT.tokens.bin                the tokens, END document END document END
      SPLIT.starts.bin  .sizes.bin  .codes.bin  .numbers.bin      of each document

An entry is written beside and renamed when it is whole, never changed, and counted as used whenever
it is found. As with pictures (`data.cache`), FATHOM_CACHE is the folder, FATHOM_CACHE_LIMIT how
much it may hold, and FATHOM_CACHE_ABOVE the size above which tokens stay on disk.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from fathom.core.files import replacing, storing, write_json
from fathom.core.language import Documents
from fathom.core.prediction import Array
from fathom.data import cache
from fathom.data.corpus.names import Names
from fathom.data.corpus.splits import PARTS

TOKENS_FORMAT = 1

Told = tuple[Array, Array, Names]
"""Of the documents of a split: where each starts, its bytes of UTF-8, and its name."""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """What an entry holds: the type of its tokens, and of each split the stems of its names."""

    dtype: Literal["uint16", "uint32"]
    stems: dict[str, tuple[str, ...]]
    format_version: int = TOKENS_FORMAT


def token_folder() -> Path:
    """Where encoded corpora are kept; it need not exist yet."""
    return cache.cache_folder().parent / cache.TOKENS


def key_of(splits: str, tokenizer: str) -> str:
    """The name of an entry: `splits` tells which text and how it is split, `tokenizer` is JSON."""
    return hashlib.sha256(f"{TOKENS_FORMAT}\0{splits}\0{tokenizer}".encode()).hexdigest()[:48]


def find(folder: Path) -> dict[str, Documents] | None:
    """The documents of each split in an entry; None where there is none that is whole.

    Tokens above `cache.above()` bytes in all are mapped, others are read.
    """
    try:
        content = (folder / cache.MANIFEST).read_bytes()
        manifest = msgspec.json.decode(content, type=Manifest)
        if manifest.format_version != TOKENS_FORMAT or set(manifest.stems) != set(PARTS):
            return None
        held = sum((folder / f"{split}.tokens.bin").stat().st_size for split in PARTS)
        found = {
            split: _documents(folder, split, manifest, mapped=held > cache.above())
            for split in PARTS
        }
    except (OSError, ValueError, msgspec.DecodeError):
        return None
    with suppress(OSError):  # a folder that may only be read serves as well
        os.utime(folder / cache.MANIFEST)
    return found


def _documents(folder: Path, split: str, manifest: Manifest, *, mapped: bool) -> Documents:
    """Raises ValueError where the files do not fit together."""

    def read(what: str, dtype: Any) -> Array:
        return np.fromfile(folder / f"{split}.{what}.bin", dtype)

    path = folder / f"{split}.tokens.bin"
    if mapped and path.stat().st_size:
        # As a plain array: a view of the class memmap is slow to index.
        tokens: Array = np.asarray(np.memmap(path, np.dtype(manifest.dtype), mode="r"))
    else:
        tokens = read("tokens", manifest.dtype)
    starts, sizes = read("starts", np.int64), read("sizes", np.int64)
    names = Names(manifest.stems[split], read("codes", np.int32), read("numbers", np.int64))
    if len(starts) != len(sizes) + 1 or starts[-1] != len(tokens) or len(names) != len(sizes):
        raise ValueError(f"{path} is damaged")
    return Documents(tokens, starts, sizes, names)


class Entry:
    """An entry that is being written: the tokens of each split, then what is said of documents."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, IO[bytes]] = {}

    def append(self, split: str, tokens: Array) -> None:
        """The next tokens of a split."""
        self._file(f"{split}.tokens").write(np.ascontiguousarray(tokens).data)

    def finish(self, dtype: Literal["uint16", "uint32"], told: Mapping[str, Told]) -> None:
        """What is said of the documents of each split."""
        for split, (starts, sizes, names) in told.items():
            for what, values in (
                ("starts", starts),
                ("sizes", sizes),
                ("codes", names.codes),
                ("numbers", names.numbers),
            ):
                self._file(f"{split}.{what}").write(np.ascontiguousarray(values).data)
        stems = {split: names.stems for split, (_, _, names) in told.items()}
        for file in self._open.values():
            file.flush()
            os.fsync(file.fileno())
        write_json(self._folder / cache.MANIFEST, Manifest(dtype, stems))

    def close(self) -> None:
        """Close all files, whatever became of them."""
        for file in self._open.values():
            with suppress(OSError):  # what is left in its buffer when a disk is full
                file.close()

    def _file(self, name: str) -> IO[bytes]:
        if name not in self._open:
            self._open[name] = (self._folder / f"{name}.bin").open("wb")
        return self._open[name]


@contextmanager
def storing_entry(folder: Path, needed: int) -> Iterator[Entry]:
    """Write the entry at `folder`, which is there when the block succeeds, whole or not at all.

    `needed` are the bytes that it will take, about. One that another run finished meanwhile stays.
    Raises StorageError where the disk has no room, or takes nothing.
    """
    root = folder.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cache.no_room(root, error.strerror or str(error)) from None
    cache.make_room(needed, root)
    there = lambda: find(folder) is not None  # noqa: E731
    with storing(root), replacing(folder, keeping=there) as beside:
        entry = Entry(beside)
        try:
            yield entry
        finally:
            entry.close()
