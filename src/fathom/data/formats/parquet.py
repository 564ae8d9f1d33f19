"""Arrow tables in files: Parquet, Feather, Arrow IPC."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet

from fathom.core.errors import DataError
from fathom.core.files import sha256
from fathom.core.progress import Progress
from fathom.data.formats.arrow import from_arrow
from fathom.data.formats.memory import run_name
from fathom.data.raw import Raw, Signs


def _read_parquet(path: Path) -> pa.Table:
    return pyarrow.parquet.ParquetFile(path).read()


def _read_feather(path: Path) -> pa.Table:
    return pyarrow.feather.read_table(path)


def _read_ipc(path: Path) -> pa.Table:
    """A file of Arrow's IPC format, or a stream as `datasets` keeps it."""
    with pa.memory_map(str(path)) as source:
        try:
            return pyarrow.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            return pyarrow.ipc.open_stream(source).read_all()


READERS: dict[str, tuple[str, Callable[[Path], pa.Table]]] = {
    ".parquet": ("Parquet", _read_parquet),
    ".pq": ("Parquet", _read_parquet),
    ".feather": ("Feather", _read_feather),
    ".arrow": ("Arrow", _read_ipc),
    ".ipc": ("Arrow", _read_ipc),
}


def recognises(path: Path) -> bool:
    """Whether the file is called like an Arrow table."""
    return path.is_file() and path.suffix.lower() in READERS


def read_file(path: Path, *, labelled: bool, progress: Progress, signs: Signs | None = None) -> Raw:
    """Read one file. Raises DataError where it is damaged or a column cannot be used."""
    kind, reader = READERS[path.suffix.lower()]
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty: write the table again.")
    try:
        table = reader(path)
    except (pa.ArrowException, OSError) as error:
        first = (str(error).splitlines() or [""])[0].rstrip(".")
        raise DataError(f"{path} is damaged or no {kind} file ({first}): write it again.") from None
    if not table.num_rows:
        raise DataError(f"{path} has {table.num_columns} columns but no rows.")
    read = from_arrow(table, str(path))
    return Raw(
        name=run_name(path),
        source=str(path),
        table=read.table,
        kinds=read.kinds,
        target=read.target,
        digest=f"sha256:{sha256(path)}",
        where=lambda row: f"{path.name} row {row + 1}",
    )
