"""Predicting: from a file, a folder or an object in memory to one answer for each of its rows."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fathom.core.blocks import CATEGORIES, NUMBERS
from fathom.core.errors import DataError, StorageError
from fathom.core.examples import Examples
from fathom.core.files import write_atomic
from fathom.core.prediction import Prediction
from fathom.core.progress import Progress, Silent
from fathom.core.ragged import Ragged
from fathom.core.schema import AudioStatistics, ImageStatistics, Schema
from fathom.data import cells
from fathom.data.encode import MISSING_CODE, Encoded, encode
from fathom.data.raw import Problem, Raw
from fathom.data.read import read_rows
from fathom.data.series import without_values
from fathom.data.table import Table
from fathom.deployment.bundle import Bundle
from fathom.deployment.surprises import Surprises, find_surprises

# Rows that are encoded and predicted at once: so memory does not grow with the data.
MOST_ROWS, MOST_VALUES = 4096, 2**27
NO_INPUT = "has a value in none of its inputs"


@dataclass(frozen=True)
class Predictions:
    """What the model called `model` says of each row, in the order of the rows.

    `frame` has the columns `row` (1-based) or `file`, then `prediction`; for classes a
    `probability_LABEL` for each label and `confidence`, the largest of them; and `problem`. Of
    several labels at once `prediction` is a JSON list of those that hold, such as '["a", "c"]',
    beside a `probability_LABEL` for each. Where a row could not be read, `problem` says why and its
    answer is empty; elsewhere `problem` is an empty text. `problems` lists such rows, and files
    that were left out. `surprises` counts values that the model could not take for what they are.
    """

    frame: pd.DataFrame
    model: str
    problems: tuple[Problem, ...]
    surprises: Surprises

    def sentences(self) -> list[str]:
        """What somebody who relies on these predictions should be told."""
        rows = len(self.frame)
        told = [
            f"{count:,} of {rows:,} values of {name!r} {what}."
            for (name, what), count in self.surprises.items()
        ]
        if self.problems:
            first, count = self.problems[0], len(self.problems)
            what = "row or file" if count == 1 else "rows or files, first"
            reason = first.reason.rstrip(".")
            told.append(f"No answer for {count:,} {what} {first.where}: {reason}.")
        return told


def predict(
    bundle: Bundle,
    source: object,
    *,
    model: str | None = None,
    progress: Progress | None = None,
) -> Predictions:
    """Predict every row of `source`: a path, a DataFrame or an array; see `data.read.read_rows`.

    `model` is 'network' or 'baseline', by default the one that was better on validation. Raises
    DataError where the source cannot be read or lacks a column, PlanError for another model.
    """
    predictor = bundle.predictor(model)
    answers: list[pd.DataFrame] = []
    unreadable: dict[int, str] = {}
    surprises: Surprises = Counter()
    shown = progress or Silent()
    shown.stage("reading")
    raw = read_rows(source, bundle.schema, progress=shown)
    why_unread = {problem.where: problem.reason for problem in raw.problems}
    shown.stage("predicting")
    for start, table, encoded in _chunks(raw.table, bundle.schema):
        bad = encoded.unreadable | dict.fromkeys(_blank_rows(encoded.examples), NO_INPUT)
        bad = {row: why_unread.get(raw.locate(start + row), reason) for row, reason in bad.items()}
        answers.append(_answer(predictor.predict(encoded.examples), list(bad)))
        unreadable |= {start + row: reason for row, reason in bad.items()}
        surprises += find_surprises(table, bundle.schema, encoded)
        shown.advance(start + len(table), len(raw), "rows")
    frame = pd.concat(answers, ignore_index=True)
    frame.insert(0, *_places(raw, bundle.schema))
    frame["problem"] = [unreadable.get(row, "") for row in range(len(raw))]
    return Predictions(frame, predictor.name, _problems(raw, unreadable), surprises)


def _chunks(table: Table, schema: Schema) -> Iterator[tuple[int, Table, Encoded]]:
    """The position of each chunk's first row, its raw rows, and its examples."""
    images = [f.statistics for f in schema.inputs if isinstance(f.statistics, ImageStatistics)]
    sounds = [f.statistics for f in schema.inputs if isinstance(f.statistics, AudioStatistics)]
    values = sum(s.height * s.width * s.channels for s in images) + sum(s.length for s in sounds)
    size = min(MOST_ROWS, max(1, MOST_VALUES // max(1, values)))
    for start in range(0, max(len(table), 1), size):
        rows = table.take(np.arange(start, min(start + size, len(table))))
        yield start, rows, encode(rows, schema, targets=False)


def _blank_rows(examples: Examples) -> list[int]:
    """Rows in which every input is missing, or a blank text: to answer them would be to guess."""
    blank = np.ones(len(examples), dtype=bool)
    for name, block in examples.inputs.items():
        if name == NUMBERS:
            blank &= np.isnan(block[:]).all(axis=1)
        elif name == CATEGORIES:
            blank &= (block[:] == MISSING_CODE).all(axis=1)
        elif name in examples.written:
            texts = examples.take(np.flatnonzero(blank)).texts(name)
            blank[blank] = [not text.strip() for text in texts]
        elif np.issubdtype(block.dtype, np.floating) and isinstance(block, Ragged):
            blank[blank] = without_values(block.take(np.flatnonzero(blank)))
        else:
            return []  # a picture or sound is there, or the row is unreadable for want of it
    rows: list[int] = np.flatnonzero(blank).tolist()
    return rows


def _answer(prediction: Prediction, unreadable: list[int]) -> pd.DataFrame:
    """A prediction as columns; the cells of unreadable rows are empty."""
    columns = prediction.columns()
    texts = {n: pd.Series(c, dtype="str") if c.dtype == object else c for n, c in columns.items()}
    frame = pd.DataFrame(texts)
    frame.iloc[unreadable] = None
    return frame


def _places(raw: Raw, schema: Schema) -> tuple[str, list[str] | list[int]]:
    """The first column: file names for a folder of files, else ids or 1-based row numbers."""
    if schema.series_reading is not None:
        id = schema.series_reading.id
        return id, [str(text) for text in cells.texts(cells.scalars(raw.table, id))]
    inputs = [field.name for field in schema.inputs]
    of_files = [f.name for f in schema.of_kind("image") if isinstance(raw.table[f.name], pd.Series)]
    if raw.looked_at & {*inputs} or any(raw.kinds.get(name) == "image" for name in of_files):
        # A name that is no UTF-8 must not spoil the whole file.
        names = [raw.locate(row) for row in range(len(raw))]
        return "file", [name.encode("utf-8", "replace").decode() for name in names]
    return "row", list(range(1, len(raw) + 1))


def _problems(raw: Raw, unreadable: dict[int, str]) -> tuple[Problem, ...]:
    """The unreadable rows, then what reading left out besides."""
    rows = [Problem(raw.locate(row), reason) for row, reason in sorted(unreadable.items())]
    named = {problem.where for problem in rows}
    return (*rows, *(problem for problem in raw.problems if problem.where not in named))


def check_output(path: str | Path) -> Path:
    """The path of predictions to be written, with ~ expanded; checked before any work is done.

    Raises DataError for an ending that is not known, and where the folder is missing.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() not in WRITERS:
        raise DataError(
            f"Predictions cannot be written to {path}: its ending must be one of "
            f"{', '.join(WRITERS)}."
        )
    if path.is_dir():
        raise DataError(f"{path} cannot be written: it is a folder; choose another file.")
    if not path.parent.is_dir():
        raise DataError(
            f"{path} cannot be written: there is no folder {path.parent}; make it first."
        )
    return path


def write_predictions(predictions: Predictions, path: str | Path) -> None:
    """Write the frame as CSV, TSV, Parquet or JSON lines, which the ending of `path` tells.

    The file appears whole or not at all. Raises DataError for another ending, or where nothing can
    be written.
    """
    path = check_output(path)
    try:
        write_atomic(path, WRITERS[path.suffix.lower()](predictions.frame))
    except StorageError as error:
        raise DataError(f"{error.reason}: {path} was not written; choose another file.") from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}): choose another file."
        ) from None


def _csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def _tsv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False, sep="\t").encode()


def _parquet(frame: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()


def _jsonl(frame: pd.DataFrame) -> bytes:
    lines = frame.to_json(orient="records", lines=True, force_ascii=False, double_precision=15)
    return lines.encode()


WRITERS: dict[str, Callable[[pd.DataFrame], bytes]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".jsonl": _jsonl,
}
