"""Delimited text: CSV, TSV and TXT with commas, semicolons, tabs or bars between the fields.

A field that holds one of `cells.MISSING` (or nothing) is missing. Text is UTF-8 or has a byte
order mark; where it is neither, the encoding is detected and said aloud. Every line must have as
many fields as the header: none is ever skipped or filled up in silence. pandas parses; lines are
only looked at one by one to explain what is wrong.
"""

from __future__ import annotations

import csv
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd

from fathom.core.errors import DataError
from fathom.core.progress import Progress
from fathom.data.cells import MISSING
from fathom.data.formats.encoding import to_utf8
from fathom.data.formats.memory import run_name, tidy
from fathom.data.raw import Raw
from fathom.data.table import Table

SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
DELIMITERS = (",", ";", "\t", "|")
# pandas compares letter by letter; what is spelled otherwise still, `cells` knows.
SPELLED = [w for m in sorted(MISSING) for w in (m, m.upper(), m.capitalize())] + ["NaN", "NaT"]
NO_DELIMITER = "\x1f"  # a unit separator, which no text holds: the table has one column
SAMPLE_BYTES = 256 * 1024


@dataclass(frozen=True)
class Layout:
    """How a text is cut into fields; `quoted` tells whether quotes enclose fields."""

    delimiter: str
    quoted: bool = True

    def records(self, content: bytes, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
        """The number of each record's first line, from 1, and its fields; blank lines left out."""
        csv.field_size_limit(2**30)  # long texts are data too
        reader = csv.reader(
            io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline=""),
            delimiter=self.delimiter,
            quoting=csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE,
            skipinitialspace=True,
            strict=strict,
        )
        line = 1
        for fields in reader:
            if len(fields) > 1 or (fields and fields[0].strip()):
                yield line, fields
            line = reader.line_num + 1


def recognises(path: Path) -> bool:
    """Whether the file is called like delimited text."""
    return path.is_file() and path.suffix.lower() in SUFFIXES


def read_file(path: Path, *, labelled: bool, progress: Progress) -> Raw:
    """Read one file of delimited text. Raises DataError naming the file and the line."""
    data = path.read_bytes()
    content, encoding = to_utf8(data, path)
    if encoding:
        progress.say(f"{path.name} is not UTF-8; it was read as {encoding}.")
    layout = find_layout(content, path)
    header = read_header(content, layout, path)
    frame, layout = parse(content, header, layout, path)
    if not layout.quoted:
        progress.say(f"{path.name} holds unpaired quotes: all quotes are taken as characters.")
    plain = content.rstrip(b"\r\n").count(b"\n") == len(frame)
    return Raw(
        name=run_name(path),
        source=str(path),
        table=Table.from_frame(tidy(decimal_commas(frame, layout), path.name)),
        digest=f"sha256:{sha256(data).hexdigest()}",
        where=LineNumbers(path, layout, plain),
    )


def find_layout(content: bytes, path: Path) -> Layout:
    """Find the delimiter: the one that cuts most of the first lines as it cuts the header."""
    best, best_score = Layout(NO_DELIMITER), (0.0, 0, False)
    preferred = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    cut = content.rfind(b"\n", 0, SAMPLE_BYTES) + 1 if len(content) > SAMPLE_BYTES else 0
    for delimiter in DELIMITERS:
        layout = Layout(delimiter)
        records = layout.records(content[: cut or SAMPLE_BYTES])
        widths = [len(fields) for _, (_, fields) in zip(range(100), records, strict=False)]
        if not widths or max(widths) == 1:
            continue
        agree = sum(w == widths[0] for w in widths) / len(widths)
        if widths[0] == 1:  # a header of one name: only a table if all lines below are cut alike
            agree = float(len(set(widths[1:])) == 1 and len(widths) > 2 and widths[1] > 1) / 2
        score = (round(agree, 1), widths[0], delimiter == preferred)
        if agree and score > best_score:
            best, best_score = layout, score
    return best


def read_header(content: bytes, layout: Layout, path: Path) -> list[str]:
    """The names of the columns, stripped; an empty name becomes 'Unnamed: i'."""
    first = next(layout.records(content), None)
    if first is None:
        raise DataError(f"{path} is empty: a table needs a header line and rows below it.")
    names = [name.strip() for name in first[1]]
    if _is_a_row(names):
        raise DataError(
            f"{path} line {first[0]} holds numbers where the names of the columns should be: "
            "put a header line above the rows."
        )
    names = [name or f"Unnamed: {i}" for i, name in enumerate(names)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{path} has more than one column named {', '.join(map(repr, twice))}: "
            "give every column a name of its own."
        )
    return names


def _is_a_row(names: list[str]) -> bool:
    """Whether a first line is a row: a third of it numbers, and not rising ones as years do."""
    numbers = [float(name) for name in names if re.fullmatch(r"[+-]?\d+(\.\d*)?", name)]
    rising = all(a < b for a, b in pairwise(numbers)) and all(n % 1 == 0 for n in numbers)
    return 3 * len(numbers) >= len(names) and bool(numbers) and not rising


def parse(
    content: bytes, header: list[str], layout: Layout, path: Path
) -> tuple[pd.DataFrame, Layout]:
    """Parse all rows. Returns the layout too, since quotes may turn out to be plain characters."""
    try:
        frame = _pandas(content, header, layout)
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        literal = _without_quotes(content, header, layout)
        if literal is None:
            raise _ragged(content, header, layout, path) or DataError(
                f"{path} cannot be cut into columns: {' '.join(str(error).split())}."
            ) from None
        return _pandas(content, header, literal), literal
    if frame.empty:
        raise DataError(f"{path} has a header but no rows below it.")
    if len(frame) < content.count(b"\n") - 1:  # some fields hold line ends, or quotes are unpaired
        literal = _without_quotes(content, header, layout)
        if literal is not None:
            return _pandas(content, header, literal), literal
    if frame.iloc[:, -1].isna().any():  # pandas fills short rows up: find out whether it did
        problem = _ragged(content, header, layout, path)
        if problem:
            raise problem
    return frame, layout


def _pandas(content: bytes, header: list[str], layout: Layout) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            io.BytesIO(content),
            sep=layout.delimiter,
            quoting=csv.QUOTE_MINIMAL if layout.quoted else csv.QUOTE_NONE,
            header=0,
            names=header,
            index_col=False,
            skipinitialspace=True,
            keep_default_na=False,
            na_values=SPELLED,
            low_memory=False,
        )


def _without_quotes(content: bytes, header: list[str], layout: Layout) -> Layout | None:
    """The layout with plain quotes, if quotes enclose no fields here and the lines fit without.

    Text that was never quoted when it was written may begin with a quote; the parser would join
    the lines up to the next one, and lose rows.
    """
    literal = replace(layout, quoted=False)
    if _well_quoted(content, layout):
        return None
    fits = all(len(fields) == len(header) for _, fields in literal.records(content))
    return literal if fits else None


def _well_quoted(content: bytes, layout: Layout) -> bool:
    """Whether every quote that opens a field is closed at the end of one."""
    try:
        for _ in layout.records(content, strict=True):
            pass
    except csv.Error:
        return False
    return True


def _ragged(content: bytes, header: list[str], layout: Layout, path: Path) -> DataError | None:
    """The error for the first line that does not fit the header, or None where all fit."""
    last = 0
    for line, fields in layout.records(content):
        if len(fields) != len(header):
            return DataError(
                f"{path} line {line} has {len(fields)} fields, but the header has {len(header)}: "
                f"correct that line, or put fields that hold {layout.delimiter!r} in quotes."
            )
        last = line
    if content.count(b'"') % 2 and not _well_quoted(content, layout):  # 12" is a length
        return DataError(
            f"{path} line {last} opens a quote that is never closed: close it, or double it "
            "if it belongs to the text."
        )
    return None


def decimal_commas(frame: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Turn columns of numbers such as 3,14 into numbers, where no comma parts the fields."""
    if layout.delimiter == ",":
        return frame
    changed: dict[str, Any] = {}
    for name in frame.columns:
        column = frame[name]
        present = column.dropna()
        if not pd.api.types.is_string_dtype(column.dtype) or present.empty:
            continue
        if present.str.fullmatch(r"[+-]?\d+(,\d+)?").all():
            changed[name] = pd.to_numeric(column.str.replace(",", "."))
    return frame.assign(**changed)


@dataclass(frozen=True)
class LineNumbers:
    """Names a row by its file and line. Lines are counted only once a row is asked for.

    `plain` tells that each row is one line, directly below the header.
    """

    path: Path
    layout: Layout
    plain: bool

    def __call__(self, row: int) -> str:
        """'reviews.csv line 17'."""
        line = row + 2 if self.plain else self._lines[row + 1]
        return f"{self.path.name} line {line}"

    @cached_property
    def _lines(self) -> list[int]:
        content, _ = to_utf8(self.path.read_bytes(), self.path)
        return [line for line, _ in self.layout.records(content)]
