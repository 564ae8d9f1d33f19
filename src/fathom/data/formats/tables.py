"""The formats of one table in one file, any of which may also come in several files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fathom.core.progress import Progress
from fathom.core.registry import Registry
from fathom.data.formats import delimited, parquet, records
from fathom.data.raw import Raw, Signs


class ReadFile(Protocol):
    """Reads one path. `labelled` asks for what training needs; without, targets may be absent.

    `signs` says how the numbers of columns are written, where that was decided before.
    """

    def __call__(
        self, path: Path, *, labelled: bool, progress: Progress, signs: Signs | None = None
    ) -> Raw:
        """The rows of the path."""


@dataclass(frozen=True)
class Format:
    """A format: whether it reads a path, how, and how a list of formats for people names it.

    `read_series` reads what could be something else, too, where it is known to be series.
    """

    recognises: Callable[[Path], bool]
    read: ReadFile
    says: str
    read_series: ReadFile | None = None


TABLES: Registry[Format] = Registry("format of tables")
TABLES.register("delimited")(
    Format(delimited.recognises, delimited.read_file, "tables (.csv, .tsv, .txt)")
)
TABLES.register("records")(
    Format(records.recognises, records.read_file, "JSON (.jsonl, .ndjson, .json)")
)
TABLES.register("parquet")(
    Format(parquet.recognises, parquet.read_file, "Arrow tables (.parquet, .feather, .arrow)")
)
