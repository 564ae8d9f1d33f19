"""What can be read from files: one module for each format, tried in this order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fathom.core.progress import Progress
from fathom.core.registry import Registry
from fathom.data.formats import delimited, idx, parquet, pictures
from fathom.data.raw import Raw


class ReadFile(Protocol):
    """Reads one path. `labelled` asks for what training needs; without, targets may be absent."""

    def __call__(self, path: Path, *, labelled: bool, progress: Progress) -> Raw:
        """The rows of the path."""


@dataclass(frozen=True)
class Format:
    """A format: whether it reads a path, how, and how a list of formats for people names it."""

    recognises: Callable[[Path], bool]
    read: ReadFile
    says: str


FORMATS: Registry[Format] = Registry("format")
FORMATS.register("delimited")(
    Format(delimited.recognises, delimited.read_file, "tables (.csv, .tsv, .txt)")
)
FORMATS.register("parquet")(Format(parquet.recognises, parquet.read_file, "tables (.parquet)"))
FORMATS.register("idx")(Format(idx.recognises, idx.read_file, "IDX files as of MNIST"))
FORMATS.register("pictures")(
    Format(pictures.recognises, pictures.read_file, "folders with a folder of pictures per class")
)
