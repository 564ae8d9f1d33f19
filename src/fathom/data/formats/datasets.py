"""Data sets in memory: of PyTorch (map-style), of Hugging Face, Arrow tables, lists, splits.

Each example of a PyTorch data set is asked for once. What another library keeps in Arrow is taken
as it is. A mapping from splits to data, such as a DatasetDict, gives the splits. Neither library is
imported here: an object can only come from one that is loaded already.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.core.schema import Kind
from fathom.data.formats import memory
from fathom.data.formats.arrow import from_arrow, named_classes
from fathom.data.formats.names import ORDER, SPLITS, TARGETS
from fathom.data.formats.nested import list_columns
from fathom.data.joining import join
from fathom.data.raw import Raw
from fathom.data.table import Column, Table


class _Vector(list[Any]):
    """What was an array or a tensor of one axis: numbers in columns, where a list is one value."""


def recognises(source: object) -> bool:
    """Whether the object is a data set of another library, a list of examples, or splits."""
    return (
        isinstance(source, Mapping)
        or _of_torch(source)
        or _of_hugging_face(source)
        or (hasattr(source, "__arrow_c_stream__") and not isinstance(source, pd.DataFrame))
        or (isinstance(source, list) and len(source) > 0 and _is_example(source[0]))
    )


def read_object(source: Any, progress: Progress) -> Raw:
    """Read one such object. Raises DataError naming the example or column that cannot be used."""
    if isinstance(source, Mapping):
        return _read_mapping(source, progress)
    if _of_hugging_face(source):
        return _with_usual_target(_arrow_of(source))
    if _of_torch(source) or isinstance(source, list):
        return _read_examples(source, progress)
    return _of_arrow(pa.table(source))


def _is_example(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, tuple) and len(value) == 2)


def _of_torch(source: object) -> bool:
    module = sys.modules.get("torch.utils.data")
    return module is not None and isinstance(source, module.Dataset | module.DataLoader)


def _of_hugging_face(source: object) -> bool:
    named = type(source).__module__.partition(".")[0] == "datasets"
    return named and hasattr(source, "with_format") and not isinstance(source, Mapping)


def _read_mapping(source: Mapping[Any, Any], progress: Progress) -> Raw:
    """Splits by name, or columns by name."""
    found: dict[str, Any] = {}
    left_out = []
    for name, part in source.items():
        split = SPLITS.get(str(name).lower())
        if split is None or split in found:
            left_out.append(str(name))
        else:
            found[split] = part
    if "train" not in found and len(source) > 1:
        if _of_hugging_face(next(iter(source.values()))):
            raise DataError(
                f"The splits are {', '.join(map(str, source))}, of which none is for training: "
                "give one of them, data['NAME'], or name one train."
            )
        try:
            return memory.read_object(pd.DataFrame(source))
        except ValueError as error:
            raise DataError(f"The columns make no table: {error}.") from None
    if left_out and found:
        progress.say(f"{', '.join(left_out)} left out, beside the splits {', '.join(found)}.")
    parts = found or dict(source)
    raws = {split: _read_part(part, str(split), progress) for split, part in parts.items()}
    raw = raws.pop("train", None) or raws.popitem()[1]
    for split in (name for name in ORDER if name in raws):
        raw = join(raw, raws[split], progress, split)
    return replace(raw, source="")


def _read_part(part: Any, split: str, progress: Progress) -> Raw:
    if recognises(part):
        raw = read_object(part, progress)
    elif memory.recognises(part):
        raw = memory.read_object(part)
    else:
        raise DataError(
            f"The split {split!r} is a {type(part).__name__}: give a data set, a DataFrame, or a "
            "pair of inputs and targets."
        )
    before = raw.where
    return replace(raw, source=f"the split {split}", where=lambda row: f"{split} {before(row)}")


def _arrow_of(source: Any) -> pa.Table:
    """The rows of a data set of Hugging Face, in its own order, with what it notes of columns."""
    if not hasattr(source, "__len__"):
        raise DataError(
            "A streamed data set has no length and cannot be read twice: load it without "
            "streaming=True, or give Dataset.from_list(list(data.take(10_000)))."
        )
    if not len(source):
        raise DataError("The data has no rows.")
    table = source.with_format("arrow")[:]
    noted = source.features.arrow_schema.metadata
    return table.replace_schema_metadata(noted)


def _of_arrow(table: pa.Table) -> Raw:
    if not table.num_rows:
        raise DataError("The data has no rows.")
    read = from_arrow(table, "the data")
    digest = f"sha256:{memory.table_digest(read.table)}"
    return Raw("data", "", read.table, kinds=read.kinds, target=read.target, digest=digest)


def _with_usual_target(table: pa.Table) -> Raw:
    """The data with the target that its name tells, where it declares none: as of examples."""
    raw = _of_arrow(table)
    if raw.target is not None:
        return raw
    columns = dict(raw.table.columns)
    for name in set(TARGETS) & set(columns):
        if pa.types.is_nested(table[name].type):
            columns |= (found := _vectors(name, table[name].to_pylist()))
            if name not in found:
                del columns[name]
    target = _target(None, columns)
    return replace(raw, table=Table(columns), target=target, target_note=_guess(target))


def _guess(target: str | tuple[str, ...] | None) -> str:
    """What to say of a target that was told by its name alone."""
    if target is None:
        return ""
    names = repr(target) if isinstance(target, str) else ", ".join(map(repr, target[:5]))
    return f"{names} is taken for the target, going by the name: give another if it is not."


def _read_examples(source: Any, progress: Progress) -> Raw:
    """Ask for each example once and lay out what they hold in columns."""
    _require_map_style(source)
    cells: dict[str, list[Any]] = {}
    total, by_name = len(source), False
    for row in range(total):
        example = _example(source, row)
        by_name = by_name or isinstance(example, Mapping)  # else it stands last, which is no guess
        for name, value in _named(example).items():
            values = cells.setdefault(name, [None] * row)
            values.append(_plain(value, name, row))
        for values in cells.values():
            if len(values) == row:
                values.append(None)  # this example lacks it
        if row % 200 == 0:
            progress.advance(row, total, "examples read")
    columns: dict[str, Column] = {}
    kinds: dict[str, Kind] = {}
    for name in list(cells):
        found, kind = _column(name, cells.pop(name))
        columns |= found
        if kind is not None:
            kinds[name] = kind
    target = _target(source, columns)
    table = Table(columns)
    if not len(table):
        raise DataError("The data has no rows.")
    return Raw(
        name="data",
        source="",
        table=table,
        kinds=kinds,
        target=target,
        target_note=_guess(target) if by_name else "",
        digest=f"sha256:{memory.table_digest(table)}",
        where=lambda row: f"example {row}",
    )


def _require_map_style(source: Any) -> None:
    module = sys.modules.get("torch.utils.data")
    if module is not None and isinstance(source, module.DataLoader):
        raise DataError("A DataLoader gives batches: hand in the data set itself, loader.dataset.")
    if not hasattr(source, "__getitem__") or not hasattr(source, "__len__"):
        raise DataError(
            f"A data set of the type {type(source).__name__} cannot be asked for its examples by "
            "number (it needs __len__ and __getitem__): collect it first, list(data)."
        )


def _example(source: Any, row: int) -> Any:
    try:
        return source[row]
    except Exception as error:  # a user's own code: whatever it raises
        raise DataError(
            f"Example {row} of the data set cannot be read ({type(error).__name__}: {error})."
        ) from error


def _named(example: Any) -> Mapping[str, Any]:
    """The parts of an example by name: of a pair 'input' and 'target'."""
    if isinstance(example, Mapping):
        return {str(name): value for name, value in example.items()}
    if not isinstance(example, tuple | list):
        return {"input": example}
    *inputs, last = example
    if not inputs:
        return {"input": last}
    names = ["input"] if len(inputs) == 1 else [f"input{i}" for i in range(len(inputs))]
    return {**dict(zip(names, inputs, strict=True)), "target": last}


def _plain(value: Any, name: str, row: int) -> Any:
    """A cell as a Python scalar, a list of numbers (one axis), or a picture as uint8."""
    if isinstance(value, Image.Image):
        value = np.asarray(value if value.mode in ("L", "RGB", "RGBA") else value.convert("RGB"))
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray):
        return value
    if value.ndim < 2:
        return _Vector(value.tolist()) if value.ndim else value.item()
    try:
        return memory.pictures(value[None])[0]
    except DataError as error:
        raise DataError(
            f"{name!r} of example {row} is no picture: {error} Transforms such as Normalize are "
            "to be left out: the network learns its own."
        ) from None


def _column(name: str, values: list[Any]) -> tuple[Mapping[str, Column], Kind | None]:
    present = [value for value in values if value is not None]
    pictures = [value for value in present if isinstance(value, np.ndarray)]
    if pictures:
        if len(pictures) < len(values):
            row = next(i for i, v in enumerate(values) if not isinstance(v, np.ndarray))
            raise DataError(f"{name!r} is a picture in other examples, but not in example {row}.")
        return {name: _stacked(pictures)}, "image"
    if present and all(isinstance(value, list) for value in present):
        vector = isinstance(present[0], _Vector) or name in ("input", *TARGETS)
        return _vectors(name, values) if vector else list_columns(name, values), None
    frame = memory.tidy(pd.DataFrame({name: pd.Series(values, dtype=object)}), "the data set")
    return Table.from_frame(frame).columns, None


def _stacked(pictures: Sequence[Array]) -> Column:
    """Pictures of one size as one array; of several sizes as files, which are scaled later."""
    if len({picture.shape for picture in pictures}) == 1:
        return np.stack(pictures)
    files = []
    for picture in pictures:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG")
        files.append(file.getvalue())
    return pd.Series(files, dtype=object)


def _vectors(name: str, values: list[Any]) -> Mapping[str, Column]:
    """A column for each number where all have as many: x0, x1, … of the input of a pair."""
    lengths = {len(value) for value in values if value is not None}
    if lengths == {1}:
        flat = pd.Series([value[0] if value else None for value in values], dtype=object)
        return {name: memory.tidy(pd.DataFrame({name: flat}), "the data set")[name]}
    found = {item for value in values for item in value or ()}
    numbers = all(isinstance(item, int | float) for item in found)
    if name in TARGETS:  # 0 and 1 tell which labels hold; other lists name them
        numbers = found <= {0, 1}
    if len(lengths) != 1 or not numbers:
        return list_columns(name, values)
    matrix = np.array([value or [np.nan] * next(iter(lengths)) for value in values])
    stem = {"input": "x"}.get(name, f"{name}.")
    frame = pd.DataFrame(matrix, columns=[f"{stem}{i}" for i in range(matrix.shape[1])])
    return Table.from_frame(memory.tidy(frame, "the data set")).columns


def _target(source: Any, columns: dict[str, Column]) -> str | tuple[str, ...] | None:
    """The column that is the target by its name, or the columns of labels that may hold at once.

    Classes get their names, where the data set knows them.
    """
    classes = _class_names(source)
    named = [name for name in TARGETS if name in columns]
    several = [name for name in columns if name.rpartition(".")[0] in TARGETS]
    if several and not named:
        names = classes if len(classes) == len(several) else several
        for one, name in zip(several, names, strict=True):
            columns[name] = columns.pop(one)
        return tuple(names)
    if len(named) != 1 or several:
        return None
    column = columns[named[0]]
    if classes and isinstance(column, pd.Series) and pd.api.types.is_integer_dtype(column.dtype):
        columns[named[0]] = named_classes(column, classes, named[0], "the data set")
    return named[0]


def _class_names(source: Any) -> list[str]:
    """`classes`, as data sets of pictures have them, also of one that a Subset was taken from."""
    while source is not None:
        classes = getattr(source, "classes", None)
        if isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes):
            return list(classes)
        source = getattr(source, "dataset", None)
    return []
