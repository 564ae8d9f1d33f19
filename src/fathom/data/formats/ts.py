"""Files of series, .ts as in the archives of UCR and UEA (the format of sktime and aeon).

A header of lines that begin with @, then @data, then a line for each series: the values of each
channel parted by commas, the channels by colons, what is to be learned at the end. With
@timeStamps true each value is a pair (time,value). A missing value is a question mark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.core.ragged import Ragged
from fathom.data.cells import MISSING
from fathom.data.formats import packed
from fathom.data.formats.encoding import read_utf8
from fathom.data.formats.folders import visible
from fathom.data.formats.memory import SERIES, run_name
from fathom.data.joining import join
from fathom.data.raw import Raw, Signs
from fathom.data.table import Column, Table

SUFFIX = ".ts"
CLASS, TARGET = "class", "target"
_PAIR = re.compile(r"\(([^()]*),([^(),]*)\)")
_TOLD_EVERY = 2_000


@dataclass
class Header:
    """What a file says of itself: whether lines end in a class or a number, and the rest."""

    first: int = 0  # the number of the first line of data, from 1
    target: str = ""
    labels: tuple[str, ...] = ()
    timestamps: bool = False


def recognises(path: Path) -> bool:
    """Whether the file is called so, or the folder holds X_TRAIN.ts and X_TEST.ts alone."""
    if path.is_dir():
        return _pair(path) is not None
    return path.is_file() and packed.suffix(path) == SUFFIX


def read_file(path: Path, *, labelled: bool, progress: Progress, signs: Signs | None = None) -> Raw:
    """Read one file, or the two of a folder. Raises DataError naming the file and the line."""
    if path.is_dir():
        pair = _pair(path)
        assert pair is not None
        train, test = (_read(part, progress) for part in pair)
        return replace(join(train, test, progress), name=run_name(path), source=str(path))
    return _read(path, progress)


def _pair(folder: Path) -> tuple[Path, Path] | None:
    """The training and the test file of a folder that holds nothing else."""
    inside = visible(folder)
    if len(inside) != 2 or any(packed.suffix(p) != SUFFIX or not p.is_file() for p in inside):
        return None
    ends = {p.name.split(".")[0].lower().rsplit("_", 1)[-1]: p for p in inside}
    return (ends["train"], ends["test"]) if set(ends) == {"train", "test"} else None


def _read(path: Path, progress: Progress) -> Raw:
    content, digest = read_utf8(path, progress)
    lines = content.decode("utf-8").splitlines()
    header = _header(lines, path)
    rows: list[Array] = []
    said: list[str | None] = []
    numbers: list[int] = []
    for number, line in enumerate(lines[header.first - 1 :], header.first):
        if not line.strip() or line.startswith(("#", "%")):
            continue
        row, what = _series(line.strip(), header, path, number)
        if rows and row.shape[1] != rows[0].shape[1]:
            raise DataError(
                f"{path} line {number} has {row.shape[1]} channels, line {numbers[0]} has "
                f"{rows[0].shape[1]}: every series needs the same (parted by colons)."
            )
        rows.append(row)
        said.append(what)
        numbers.append(number)
        if len(rows) % _TOLD_EVERY == 0:
            progress.advance(number, len(lines), "series read")
    if not rows:
        raise DataError(f"{path} has no series after @data.")
    columns: dict[str, Column] = {
        SERIES: Ragged.of(rows, np.nan, np.float64, rows[0].shape[1]),
    }
    if header.target:
        columns[header.target] = _targets(said, header.target, path, numbers)
    return Raw(
        name=run_name(path),
        source=str(path),
        table=Table(columns),
        kinds={SERIES: "series"},
        target=header.target or None,
        target_note="" if header.target else "the file has neither @classLabel nor @targetLabel",
        digest=f"sha256:{digest}",
        where=lambda row: f"{path.name} line {numbers[row]}",
    )


def _header(lines: list[str], path: Path) -> Header:
    header, begun = Header(), False
    for number, line in enumerate(lines, 1):
        words = line.strip().split()
        if not words or words[0].startswith(("#", "%")):
            continue
        key, values = words[0].lower(), words[1:]
        if key == "@data":
            header.first = number + 1
            return header
        if not key.startswith("@"):
            raise DataError(_no_data_line(path, number, begun))
        begun = True
        if key in ("@classlabel", "@targetlabel"):
            if values and values[0].lower() == "true":
                header.target = CLASS if key == "@classlabel" else TARGET
                header.labels = tuple(values[1:]) if key == "@classlabel" else ()
        elif key == "@timestamps":
            header.timestamps = bool(values) and values[0].lower() == "true"
    raise DataError(_no_data_line(path, len(lines) + 1, begun))


def _no_data_line(path: Path, number: int, begun: bool) -> str:
    """Why a file whose line `number` should be @data, or a header at least, cannot be read."""
    if begun:
        return (
            f"{path} has no line @data: put one in front of line {number}, between the header "
            "lines, which begin with @, and the first series."
        )
    return (
        f"{path} has no line @data, and line {number} stands where a header should be: begin a "
        "file of series (.ts) with lines such as @classLabel true a b, and put @data before the "
        "series."
    )


def _series(line: str, header: Header, path: Path, number: int) -> tuple[Array, str | None]:
    """The values (steps, channels) of one line, and what is to be learned of it."""
    what: str | None = None
    body = line
    if header.target:
        body, colon, what = line.rpartition(":")
        if not colon:
            raise DataError(
                f"{path} line {number} has no {header.target} after its values: put one at its "
                "end, after a colon (a question mark where it is not known)."
            )
        what = _said(what.strip(), header, path, number)
    else:
        _refuse_label(line, path, number)
    if header.timestamps or body.lstrip().startswith("("):
        return _timed(body, path, number), what
    channels = [_values(part, path, number) for part in body.split(":")]
    longest = max(map(len, channels))
    values = np.full((longest, len(channels)), np.nan)
    for place, channel in enumerate(channels):
        values[: len(channel), place] = channel
    return _stripped(values), what


def _refuse_label(line: str, path: Path, number: int) -> None:
    """Raise DataError where a line ends in a name that the header does not announce."""
    _, colon, last = line.rpartition(":")
    if colon and re.fullmatch(r"\s*[^\W\d][^,()]*", last) and last.strip().lower() not in MISSING:
        raise DataError(
            f"{path} line {number} ends in {last.strip()[:30]!r}, but the header does not say that "
            "lines end in a class: put a line such as @classLabel true a b, with the names of all "
            "classes, above @data (@targetLabel true for numbers)."
        )


def _said(text: str, header: Header, path: Path, number: int) -> str | None:
    if text.lower() in MISSING:
        return None
    if header.labels and text not in header.labels:
        raise DataError(
            f"{path} line {number} has the class {text!r}, but @classLabel names "
            f"{', '.join(header.labels[:20])}: correct one of the two."
        )
    return text


def _values(text: str, path: Path, number: int) -> Array:
    """Numbers parted by commas; nothing at all is a channel without a value."""
    parts = text.split(",") if text.strip() else []
    try:
        values = np.array(parts, dtype=np.float64)
    except ValueError:
        values = np.array([_number(part, path, number) for part in parts])
    return np.where(np.isfinite(values), values, np.nan)


def _number(text: str, path: Path, number: int) -> float:
    word = text.strip()
    try:
        return float("nan") if word.lower() in MISSING else float(word)
    except ValueError:
        raise DataError(
            f"{path} line {number} holds {word[:30]!r}, which is no number: correct it, or write "
            "? for a missing value."
        ) from None


def _timed(text: str, path: Path, number: int) -> Array:
    """Values with their times, channel by channel: a step for every time of any channel."""
    channels: list[dict[float, float]] = []
    for part in re.split(r":(?=\s*\(|\s*$)", text) if text.strip() else []:
        pairs = _PAIR.findall(part)
        if re.sub(r"[,\s]|\(\)", "", _PAIR.sub("", part)):
            raise DataError(
                f"{path} line {number} holds {part.strip()[:30]!r}, where pairs (time,value) "
                "should be (@timeStamps true)."
            )
        channel: dict[float, float] = {}
        for at, value in pairs:
            time = _time(at.strip(), path, number)
            if time in channel:
                raise DataError(
                    f"{path} line {number} has two values at the time {at.strip()}: leave one out."
                )
            channel[time] = _number(value, path, number)
        channels.append(channel)
    times = sorted({time for channel in channels for time in channel})
    values = [[channel.get(time, np.nan) for channel in channels] for time in times]
    return _stripped(np.array(values, dtype=np.float64).reshape(len(times), len(channels) or 1))


def _time(text: str, path: Path, number: int) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return float(pd.Timestamp(text).timestamp())
    except ValueError:
        raise DataError(f"{path} line {number} holds {text[:30]!r}, which is no time.") from None


def _stripped(values: Array) -> Array:
    """The steps up to the last that has any value: files of equal length are filled up with ?."""
    there = np.flatnonzero(~np.isnan(values).all(axis=1))
    return values[: there[-1] + 1 if len(there) else 0]


def _targets(said: list[str | None], name: str, path: Path, numbers: list[int]) -> Column:
    if name == CLASS:
        return pd.Series(said, dtype="str")
    return pd.Series(
        [
            np.nan if text is None else _number(text, path, number)
            for text, number in zip(said, numbers, strict=True)
        ],
        dtype="float64",
    )
