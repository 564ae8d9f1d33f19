"""Reading data: a path, a built-in name, or an object in memory becomes a Raw."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fathom.core.errors import DataError, nearest
from fathom.core.progress import Progress, Silent
from fathom.core.ragged import Ragged
from fathom.core.schema import Kind, Schema, SeriesReading
from fathom.data.file_columns import MEDIA, absolute_paths
from fathom.data.formats import FORMATS, Format, datasets, folders, foreign, memory, shards
from fathom.data.formats.columns import keep_signs
from fathom.data.joining import demand, join
from fathom.data.long_series import fold
from fathom.data.raw import Problem, Raw, Signs
from fathom.data.series_columns import settle

BUILTIN = ("digits", "wine", "breast-cancer", "diabetes")
ARRAYS = ("", ".npz", ".npy")  # endings of what holds arrays; objects in memory have none
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
TEXTS = (".txt", ".md", ".rst", ".text", ".py", ".c", ".js", ".java", ".tex", ".html")
"""Endings of texts: no table, but a corpus."""


@dataclass(frozen=True)
class Series:
    """What is known of series before anything is read.

    `kinds` are those of columns, as they were declared or learned; where `learned`, other columns
    are no series. `reading` says how a long table is folded.
    """

    kinds: Mapping[str, Kind] | None = None
    reading: SeriesReading | None = None
    targets: tuple[str, ...] = ()
    learned: bool = False

    @property
    def wanted(self) -> bool | None:
        """Whether arrays of three axes are series; None where nobody has said."""
        kinds = (self.kinds or {}).values()
        return True if "series" in kinds else False if "image" in kinds else None


def read(
    source: object,
    *,
    test: object | None = None,
    target: str | Sequence[str] | None = None,
    kinds: Mapping[str, Kind] | None = None,
    series: SeriesReading | None = None,
    progress: Progress | None = None,
) -> Raw:
    """Read all rows of a data set that is to be learned from.

    `source` is a path (see `formats.FORMATS`), a pattern such as 'part-*.csv' or a list of paths of
    files with the same columns, a built-in name (digits, wine, breast-cancer, diabetes), a
    DataFrame, a pair of inputs and targets (rows × columns, pictures n × height × width
    (× channels), series n × channels × time or a list of them), or a data set of another library
    (see `formats.datasets`). `test` is a second
    source with the same columns, whose rows become the given test split. `target` is only checked
    to be there. `kinds` of columns tell which lists or arrays are series where that is not clear;
    `series` how a long table, a row for each step, becomes a row for each series. Raises DataError
    with one sentence for anything that cannot be read.
    """
    shown = progress or Silent()
    targets = (target,) if isinstance(target, str) else tuple(target or ())
    asked = Series(kinds or {}, series, targets)
    raw = _read_one(source, labelled=True, progress=shown, series=asked)
    if asked.wanted is None and Path(raw.source).suffix.lower() in ARRAYS:
        raw = _with_turned(raw)
    if target is not None:
        wanted = [target] if isinstance(target, str) else list(target)
        demand(raw, wanted, "the target" if len(wanted) == 1 else "among the targets")
    elif raw.target is not None and raw.target_note:
        shown.say(raw.target_note)
    if test is None:
        return raw
    known: dict[str, Kind] = dict.fromkeys(raw.table.names, "number")
    known |= raw.kinds
    same = Series(known, raw.series_reading, targets, learned=True)
    other = _read_one(test, labelled=True, progress=shown, signs=raw.signs, series=same)
    return join(raw, other, progress=shown)


def _with_turned(raw: Raw) -> Raw:
    """The data, with a remark where series of an array have more channels than steps."""
    column = raw.table.columns.get(memory.SERIES)
    if not isinstance(column, Ragged) or column.values.shape[1] <= column.shape[1]:
        return raw
    reason = (
        f"{column.values.shape[1]:,} channels of {column.shape[1]:,} steps; arrays are read as n × "
        "channels × time: give X.transpose(0, 2, 1) if time comes before the channels"
    )
    return replace(raw, problems=(*raw.problems, Problem("The series", reason)))


def read_rows(source: object, schema: Schema, progress: Progress | None = None) -> Raw:
    """Read rows to predict. The target may be absent; every input of the schema must be there.

    A folder of pictures, sounds or texts may be flat, and one file is enough. Files that cannot be
    read keep their place in the table and are listed in `problems`. Numbers written as text are
    read as they were when the schema was made.
    """
    signs = {field.name: field.decimal_sign for field in schema.inputs if field.decimal_sign}
    known = Series(
        {field.name: field.kind for field in schema.inputs}, schema.series_reading, learned=True
    )
    shown = progress or Silent()
    if isinstance(source, str | os.PathLike) and folders.holds_texts(Path(source), schema):
        raw = _checked(str(source), lambda: folders.read_texts(Path(source), shown))
    else:
        raw = _read_one(source, labelled=False, progress=shown, signs=signs, series=known)
    demand(raw, [field.name for field in schema.inputs], "which the model needs")
    return absolute_paths(raw, [field.name for field in schema.of_kind(*MEDIA)])


def _read_one(
    source: object,
    *,
    labelled: bool,
    progress: Progress,
    series: Series,
    signs: Signs | None = None,
) -> Raw:
    """Read any source; `signs` are kept where it holds numbers as text."""
    raw = _read_any(source, labelled, progress, signs or {}, series.wanted)
    raw = keep_signs(raw, signs or {}, progress.say)
    if series.reading is not None:
        raw = fold(raw, series.reading, series.targets, progress)
    return settle(raw, series.kinds, learned=series.learned)


def _read_any(
    source: object, labelled: bool, progress: Progress, signs: Signs, series: bool | None
) -> Raw:
    if isinstance(source, str | os.PathLike):
        return _read_path(os.fspath(source), labelled, progress, signs, series)
    if shards.are_paths(source):
        paths = [Path(path).expanduser() for path in source]
        return _checked(", ".join(map(str, paths[:2])), lambda: _read_files(paths, progress, signs))
    if memory.recognises(source):
        return memory.read_object(source, series=series)
    if datasets.recognises(source):
        return datasets.read_object(source, progress)
    raise DataError(
        f"Data of the type {type(source).__name__} cannot be read: give a path, a DataFrame, a "
        "pair of inputs and targets, or a data set of PyTorch or Hugging Face."
    )


def _read_files(paths: list[Path], progress: Progress, signs: Signs) -> Raw:
    for path in paths:
        if not path.is_file():
            hint = " Texts themselves, to learn language from, want task='language'."
            text = len(str(path)) > 100 or " " in str(path)
            raise DataError(
                f"There is no file {str(path)[:100]!r}: check the list of paths."
                f"{hint if text else ''}"
            )
    return shards.read_files(paths, progress, signs)


def _read_path(
    source: str, labelled: bool, progress: Progress, signs: Signs, series: bool | None
) -> Raw:
    if not source.strip():
        raise DataError(f"The data is an empty path: give {_formats()}, or a built-in name.")
    path = Path(source).expanduser()
    if not path.exists():
        if files := shards.matching(source):
            raw = _checked(source, lambda: shards.read_files(files, progress, signs))
            return replace(raw, source=source, name=memory.run_name(path))
        return _checked(source, lambda: _read_name(source))
    if not (path.is_file() or path.is_dir()):
        raise DataError(f"{source} is neither a file nor a folder: give one that is.")

    def reading() -> Raw:
        found = _format(path)
        read_file = found.read_series if series and found.read_series else found.read
        return read_file(path, labelled=labelled, progress=progress, signs=signs)

    return replace(_checked(source, reading), source=source)


def _checked(source: str, reading: Callable[[], Raw]) -> Raw:
    """What was read; where the operating system refuses, a sentence says so."""
    try:
        return reading()
    except PermissionError as error:
        raise DataError(
            f"{error.filename or source} may not be read by you: change its permissions."
        ) from None
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}.") from None


def _read_name(source: str) -> Raw:
    """Read a built-in data set, or say what the name might have meant."""
    if source in BUILTIN:
        from fathom.data.formats import builtin  # loads scikit-learn

        return builtin.BUILTIN[source]()
    if source.startswith(("http:", "https:", "ftp:", "s3:", "gs:", "hf:")):
        raise DataError(f"{source} is not on this machine: download it and give the file's path.")
    if SCHEME.match(source) and not Path(source).drive:
        raise DataError(
            f"{source}: sources to act in, such as env: or game:, cannot be read yet; this "
            f"version reads {_formats()} and the built-in data {', '.join(BUILTIN)}."
        )
    path = Path(source).expanduser()
    if shards.is_pattern(source):
        raise DataError(f"No file matches {source!r}: check the pattern and the folder.")
    if path.parent.is_dir():
        beside = [p.name for p in path.parent.iterdir()]
        known = [*beside, *BUILTIN] if path.name == source else beside
        hint = nearest(path.name, known) or f" Built-in data: {', '.join(BUILTIN)}."
        raise DataError(f"There is no file or folder {source!r}.{hint}")
    raise DataError(f"There is no folder {str(path.parent)!r}: check the path {source!r}.")


def _format(path: Path) -> Format:
    for name in FORMATS:
        if FORMATS[name].recognises(path):
            return FORMATS[name]
    if path.suffix.lower() in foreign.ADVICE:
        raise DataError(f"{path} is {foreign.ADVICE[path.suffix.lower()]}.")
    if path.suffix.lower() in TEXTS:
        raise DataError(
            f"{path} is a text: to learn what comes next in such texts, give --task language; to "
            "learn a column from the others, give a table."
        )
    ending = f"the ending {path.suffix!r}" if path.suffix else "no ending"
    raise DataError(f"{path} has {ending}, which is not read; what is read: {_formats()}.")


def _formats() -> str:
    return ", ".join(FORMATS[name].says for name in FORMATS)
