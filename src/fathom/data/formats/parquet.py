"""Arrow tables in files: Parquet, Feather, Arrow IPC.

Their blocks are compressed, so that a small file can be made to fill any memory: what a Parquet
file says of itself is held against its size and the machine's memory before anything is unpacked,
and the other forms are unpacked part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet

from fathom.core.errors import DataError
from fathom.core.files import sha256
from fathom.core.memory import machine_memory
from fathom.core.progress import Progress
from fathom.data.formats import packed
from fathom.data.formats.arrow import from_arrow
from fathom.data.formats.memory import run_name
from fathom.data.raw import Raw, Signs

_WIDTHS = {"BOOLEAN": 1 / 8, "INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8, "INT96": 12}
_OFFSET = 4  # bytes at least of a text, however often it is repeated


def _read_parquet(path: Path) -> pa.Table:
    file = pyarrow.parquet.ParquetFile(path)
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    _require_room(path, int(sum(map(_values_bytes, groups))))
    unpacked = sum(group.total_byte_size for group in groups)
    if unpacked > max(packed.HARMLESS_BYTES, packed.MAX_RATIO * path.stat().st_size):
        raise DataError(
            f"{path} unpacks to {unpacked / 2**30:.1f} GiB, {unpacked // path.stat().st_size:,} "
            "times its size, as files do that are made to fill the memory: if it is what it should "
            "be, write it without compression."
        )
    return file.read()


def _values_bytes(group: Any) -> float:
    """The memory that the values of a row group take at least, once they are unpacked."""
    columns = [group.column(i) for i in range(group.num_columns)]
    return float(sum(c.num_values * _WIDTHS.get(c.physical_type, _OFFSET) for c in columns))


def _within_memory(path: Path, schema: pa.Schema, parts: Iterable[pa.RecordBatch]) -> pa.Table:
    """The table of some parts, none of which is unpacked once those before it fill the memory."""
    kept, total = [], 0
    for part in parts:
        kept.append(part)
        total += part.nbytes
        if total > path.stat().st_size:  # else nothing is compressed, and the file is mapped
            _require_room(path, total)
    return pa.Table.from_batches(kept, schema)


def _require_room(path: Path, needed: int) -> None:
    memory = machine_memory()
    if needed > memory:
        raise DataError(
            f"{path} unpacks to {needed / 2**30:.1f} GiB or more, but this machine has "
            f"{memory / 2**30:.1f} GiB of memory: give a part of its rows or columns."
        )


def _read_ipc(path: Path) -> pa.Table:
    """A file of Arrow's IPC format, or a stream as `datasets` keeps it."""
    with pa.memory_map(str(path)) as source:
        try:
            reader = pyarrow.ipc.open_file(source)
        except pa.ArrowInvalid:
            source.seek(0)
            stream = pyarrow.ipc.open_stream(source)
            return _within_memory(path, stream.schema, stream)
        parts = (reader.get_batch(i) for i in range(reader.num_record_batches))
        return _within_memory(path, reader.schema, parts)


def _read_feather(path: Path) -> pa.Table:
    """A file of Arrow's IPC format, or of Feather's first version, which packs nothing."""
    with path.open("rb") as file:
        first = file.read(4) == b"FEA1"
    return pyarrow.feather.read_table(path) if first else _read_ipc(path)


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
