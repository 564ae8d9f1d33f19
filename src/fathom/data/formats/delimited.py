"""Delimited text: CSV, TSV and TXT with commas, semicolons, tabs or bars between the fields.

A field that holds one of `cells.MISSING` (or nothing) is missing. Text is UTF-8 or has a byte
order mark; where it is neither, the encoding is detected and said aloud. Every line must have as
many fields as the header: none is ever skipped or filled up in silence. Arrow parses; lines are
only looked at one by one where it cannot, and to explain what is wrong.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from fathom.core.errors import DataError
from fathom.core.progress import Progress
from fathom.data.formats import packed
from fathom.data.formats.columns import SPELLED, to_columns
from fathom.data.formats.encoding import read_utf8
from fathom.data.formats.lines import LineNumbers
from fathom.data.formats.memory import run_name
from fathom.data.raw import Raw, Signs
from fathom.data.table import Table

SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
DELIMITERS = (",", ";", "\t", "|")
BLOCK_BYTES = 8 * 2**20
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

    def lines_of_rows(self, content: bytes) -> list[int]:
        """The line on which each row below the header begins."""
        return [line for line, _ in self.records(content)][1:]


@dataclass(frozen=True)
class Texts:
    """A file cut into fields: columns of text (null where missing), and how rows are named."""

    path: Path
    table: pa.Table
    layout: Layout
    digest: str
    where: Callable[[int], str]


def recognises(path: Path) -> bool:
    """Whether the file is called like delimited text, packed or not."""
    return path.is_file() and packed.suffix(path) in SUFFIXES


def read_file(path: Path, *, labelled: bool, progress: Progress, signs: Signs | None = None) -> Raw:
    """Read one file of delimited text. Raises DataError naming the file and the line."""
    texts = read_texts(path, progress)
    if not len(texts.table):
        raise DataError(f"{path} has a header but no rows below it.")
    columns = dict(zip(texts.table.column_names, texts.table.columns, strict=True))
    texts = replace(texts, table=None)  # so that each column is free once it is a number
    typed, found = to_columns(
        columns, texts.layout.delimiter, progress.say, signs=signs, where=texts.where
    )
    return Raw(
        name=run_name(path),
        source=str(path),
        table=Table(typed),
        digest=f"sha256:{texts.digest}",
        where=texts.where,
        signs=found,
    )


def read_texts(path: Path, progress: Progress) -> Texts:
    """Cut one file into fields; there may be no rows. Raises DataError naming the file and line."""
    content, digest = read_utf8(path, progress)
    layout = find_layout(content, path)
    header = read_header(content, layout, path)
    table, layout = parse(content, header, layout, path)
    if not layout.quoted:
        progress.say(f"{path.name} holds unpaired quotes: all quotes are taken as characters.")
    plain = _line_ends(content) == len(table)
    where = LineNumbers(path, None if plain else layout.lines_of_rows)
    return Texts(path, table, layout, digest, where)


def _line_ends(content: bytes) -> int:
    """Line ends between the lines; those at the very end are not counted."""
    tail = len(content[-1024:]) - len(content[-1024:].rstrip(b"\r\n"))
    return content.count(b"\n", 0, len(content) - tail)


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


def parse(content: bytes, header: list[str], layout: Layout, path: Path) -> tuple[pa.Table, Layout]:
    """Cut all rows. Returns the layout too, since quotes may turn out to be plain characters."""
    try:
        table = _by_arrow(content, header, layout)
    except pa.ArrowInvalid:
        table = None
    # Fewer rows: some fields hold line ends, some lines are blank, or quotes are unpaired.
    fewer = table is None or len(table) < _line_ends(content)
    if fewer:
        literal = _without_quotes(content, header, layout)
        if literal is not None:
            return _by_records(content, header, literal), literal
    unpaired = fewer and content.count(b'"') % 2
    if table is None or unpaired or _spaced_quotes(content, layout):
        problem = _ragged(content, header, layout, path)
        if problem:
            raise problem
        table = _by_records(content, header, layout)
    return table, layout


def _by_arrow(content: bytes, header: list[str], layout: Layout) -> pa.Table:
    """All rows as columns of text. Raises ArrowInvalid for a line of more or fewer fields."""
    numbered = [str(i) for i in range(len(header))]
    table = pyarrow.csv.read_csv(
        pa.BufferReader(content),
        read_options=pyarrow.csv.ReadOptions(column_names=numbered, block_size=BLOCK_BYTES),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter=layout.delimiter,
            quote_char='"' if layout.quoted else False,
            newlines_in_values=layout.quoted and b'"' in content,
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(numbered, pa.string()),
            null_values=SPELLED,
            strings_can_be_null=True,
            check_utf8=False,  # it was decoded before
        ),
    )
    return table.slice(1).rename_columns(header)


def _by_records(content: bytes, header: list[str], layout: Layout) -> pa.Table:
    """The same line by line, which knows spaces before quotes, and lines of any length."""
    missing = frozenset(SPELLED)
    schema = pa.schema([(name, pa.string()) for name in header])
    parts = []
    records = (fields for _, fields in layout.records(content))
    next(records)  # the header
    while rows := list(islice(records, 50_000)):
        cells = [
            [None if c in missing else c for c in column] for column in zip(*rows, strict=True)
        ]
        parts.append(pa.table([pa.array(c, pa.string()) for c in cells], schema=schema))
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _spaced_quotes(content: bytes, layout: Layout) -> bool:
    """Whether spaces stand before a quote that opens a field, which Arrow takes for text."""
    if not layout.quoted or b' "' not in content:
        return False
    delimiter = re.escape(layout.delimiter.encode())
    return re.search(rb"(?:^|[\r\n]|" + delimiter + rb') +"', content) is not None


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
