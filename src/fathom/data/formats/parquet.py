"""Parquet tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pyarrow.parquet

from fathom.core.errors import DataError
from fathom.core.files import sha256
from fathom.core.progress import Progress
from fathom.data.formats.memory import run_name, tidy
from fathom.data.raw import Raw
from fathom.data.table import Table

SUFFIXES = (".parquet", ".pq")


def recognises(path: Path) -> bool:
    """Whether the file is called like a Parquet table."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def read_file(path: Path, *, labelled: bool, progress: Progress) -> Raw:
    """Read one Parquet file. Raises DataError where it is damaged or holds nested columns."""
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: write the table again.")
    try:
        table = pyarrow.parquet.ParquetFile(path).read()
        _refuse_nested(table, path)
        frame = table.to_pandas(ignore_metadata=True)
    except (pyarrow.ArrowException, OSError) as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise DataError(
            f"{path} is damaged or no Parquet file ({first}): write it again."
        ) from None
    if frame.empty:
        raise DataError(f"{path} has {len(frame.columns)} columns but no rows.")
    return Raw(
        name=run_name(path),
        source=str(path),
        table=Table.from_frame(tidy(frame, str(path))),
        digest=f"sha256:{sha256(path)}",
        where=lambda row: f"{path.name} row {row + 1}",
    )


def _refuse_nested(table: pyarrow.Table, path: Path) -> None:
    for field in table.schema:
        nested = pyarrow.types.is_nested(field.type) or pyarrow.types.is_map(field.type)
        binary = pyarrow.types.is_binary(field.type) or pyarrow.types.is_large_binary(field.type)
        if nested or binary:
            raise DataError(
                f"Column {field.name!r} of {path} holds {field.type}: spread it over columns of "
                "numbers or text, or leave it out."
            )
