"""What can be read from files: one module for each format, tried in this order."""

from __future__ import annotations

from fathom.core.registry import Registry
from fathom.data.formats import arrays, folders, idx, shards, ts
from fathom.data.formats.tables import TABLES, Format, ReadFile

__all__ = ["FORMATS", "Format", "ReadFile"]

FORMATS: Registry[Format] = Registry("format")
for _name, _table in TABLES.items():
    FORMATS.register(_name)(_table)
FORMATS.register("idx")(Format(idx.recognises, idx.read_file, "IDX files as of MNIST"))
FORMATS.register("arrays")(
    Format(arrays.recognises, arrays.read_file, "NumPy (.npz, .npy)", arrays.read_series)
)
FORMATS.register("ts")(Format(ts.recognises, ts.read_file, "series (.ts)"))
FORMATS.register("shards")(
    Format(shards.recognises, shards.read_file, "folders of tables with the same columns")
)
FORMATS.register("folders")(
    Format(
        folders.recognises,
        folders.read_file,
        "folders with a folder of pictures, sounds or texts per class",
    )
)
