"""Columns of text become numbers, Booleans or text.

How a number is written is decided for each column on all of its rows: 3.14, 3,14, 1,234.5,
1.234,5, 1 234,5 and 1'234.5 are all read. A column is a number only if every value is; a few
values that are none leave it as text, in which the others are written with a point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fathom.data.cells import MISSING

# Arrow compares letter by letter; what is spelled otherwise still, `cells` knows.
SPELLED = [w for m in sorted(MISSING) for w in (m, m.upper(), m.capitalize())] + ["NaN", "NaT"]
BOOLEANS = pa.array(["True", "TRUE", "true", "False", "FALSE", "false"])
SAMPLE = 1000
MOSTLY, FEW_DIRTY = 0.95, 10  # as in `profile`, where a column of numbers may hold a little dirt
_SPACES = " \u00a0\u2009\u202f'\u2019"
COMMA = rf"^[+-]?(\d+|[1-9]\d{{0,2}}([.{_SPACES}]\d{{3}})+)(,\d+)?$"
POINT = rf"^[+-]?(\d+|[1-9]\d{{0,2}}([,{_SPACES}]\d{{3}})+)(\.\d*)?$"
GROUPED = r"^[+-]?(\d{1,3}|[1-9]\d{0,2}(\.\d{3})+)$"
LONG = r"^[+-]?\d{4,}"
Say = Callable[[str], None]


def to_columns(texts: dict[str, pa.ChunkedArray], delimiter: str, say: Say) -> dict[str, pd.Series]:
    """Every column in the narrowest of int64, float64, Boolean and text that holds all it says.

    `texts` is emptied on the way, so that the memory of a column's text is free before the next.
    `delimiter` parts the fields in the file: where that is a comma, 1,234 is a thousand. `say` is
    told of what could have been read in another way.
    """
    columns: dict[str, Any] = {}
    grouped: dict[str, pa.ChunkedArray] = {}
    commas = False
    for name in list(texts):
        text = _cleaned(texts.pop(name))
        column = _numbers(text)
        if column is None:
            column = _booleans(text)
        elif delimiter != "," and _all_match(text, GROUPED):
            grouped[name] = text
        if column is None:
            text, style = _with_points(text, name, delimiter, say)
            commas = commas or style == ","
            column = _numbers(text) if style else None
        columns[name] = _strings(text) if column is None else column
    for name, text in grouped.items():  # 1.234 is a thousand where others are written 3,14
        if commas and pc.any(pc.match_substring(text, ".")).as_py():
            columns[name] = _numbers(pc.replace_substring(text, ".", ""))
            example = _example(text, ".")
            say(f"{name}: {example} is read as {example.replace('.', '')}, as others have commas.")
    return columns


def _cleaned(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Without spaces in front; what stands for a missing value then is one."""
    if not pc.any(pc.starts_with(text, " ")).as_py():
        return text
    text = pc.utf8_ltrim_whitespace(text)
    missing = pc.is_in(text, value_set=pa.array(SPELLED))
    return pc.if_else(missing, pa.scalar(None, pa.string()), text)


def _numbers(text: pa.ChunkedArray) -> Any:
    """The column as numbers, or None where a value is none."""
    if text.null_count == len(text):
        return pd.Series(np.full(len(text), np.nan))
    if pc.any(pc.ends_with(text, " ")).as_py() or pc.any(pc.starts_with(text, "+")).as_py():
        text = pc.replace_substring_regex(pc.utf8_trim_whitespace(text), r"^\+(\d|\.)", r"\1")
    whole = _cast(text, pa.int64())
    if whole is not None and not _hexadecimal(text):
        return _series(whole if not whole.null_count else whole.cast(pa.float64()))
    real = _cast(text, pa.float64())
    if real is None:
        return None
    if pc.any(pc.greater_equal(pc.abs(real), 2.0**63)).as_py() and _all_match(text, r"^-?\d+$"):
        large = _cast(text, pa.uint64())  # digits beyond that are a name, and keep every one
        return _series(large) if large is not None and not large.null_count else None
    return _series(real)


def _hexadecimal(text: pa.ChunkedArray) -> bool:
    """Whether Arrow took 0x1F for a number, which nothing else here does."""
    return any(pc.any(pc.match_substring(text, x)).as_py() for x in "xX")


def _cast(text: pa.ChunkedArray, to: pa.DataType) -> Any:
    try:
        return pc.cast(text, to)
    except pa.ArrowInvalid:
        return None


def _series(column: pa.ChunkedArray) -> Any:
    return pd.Series(np.array(column.to_numpy()))  # a copy that may be written to


def _booleans(text: pa.ChunkedArray) -> Any:
    first = pc.drop_null(text.slice(0, SAMPLE)).slice(0, 1)
    if len(first) and not pc.is_in(first, value_set=BOOLEANS)[0].as_py():
        return None
    known = pc.is_in(pc.drop_null(text), value_set=BOOLEANS)
    if not pc.all(known).as_py():
        return None
    true = pc.equal(pc.utf8_lower(text), "true")
    if true.null_count:
        return pd.Series(true.to_pandas(types_mapper={pa.bool_(): pd.BooleanDtype()}.get))
    return pd.Series(np.array(true.to_numpy()))


def _strings(text: pa.ChunkedArray) -> Any:
    return pd.Series(text.to_pandas()).astype("str").rename(None)


def _all_match(text: pa.ChunkedArray, pattern: str) -> bool:
    """Whether every present value matches; few are looked at where the first ones do not."""
    for part in (text.slice(0, SAMPLE), text):
        if not pc.all(pc.match_substring_regex(part, pattern)).as_py():
            return False
    return True


def _share(text: pa.Array, pattern: str) -> float:
    return float(pc.mean(pc.match_substring_regex(text, pattern)).as_py() or 0)


def _with_points(
    text: pa.ChunkedArray, name: str, delimiter: str, say: Say
) -> tuple[pa.ChunkedArray, str]:
    """Numbers in another style written as 1234.5, and the decimal sign: '' for no numbers."""
    sample = pc.drop_null(text.slice(0, SAMPLE))
    if max(_share(sample, COMMA), _share(sample, POINT)) < 0.5:
        return text, ""
    distinct = pc.drop_null(pc.unique(text))
    shares = {",": _share(distinct, COMMA), ".": _share(distinct, POINT)}
    sign = max(shares, key=lambda s: (shares[s], s == ","))
    least = 1.0 if delimiter == "," else MOSTLY  # quoted "1,2" may be a list of two things
    if shares[sign] < least or (1 - shares[sign]) * len(distinct) > FEW_DIRTY:
        return text, ""
    comma = pc.any(pc.match_substring(distinct, ",")).as_py()
    if not comma and not pc.any(pc.match_substring_regex(distinct, rf"\d[.{_SPACES}]\d")).as_py():
        return text, ""  # plain numbers among other words: nothing is to be rewritten
    ambiguous = comma and shares[","] == shares["."]
    if ambiguous:
        sign = "," if delimiter != "," or _share(distinct, LONG) else "."
    if ambiguous or (delimiter == "," and sign == ","):
        example = _example(text, ",")
        say(f"{name}: {example} is read as {example.replace(',', '.' if sign == ',' else '')}.")
    plain = pc.replace_substring_regex(text, rf"[{'.' if sign == ',' else ','}{_SPACES}]", "")
    plain = pc.replace_substring(plain, ",", ".")
    if shares[sign] < 1:
        matches = pc.match_substring_regex(text, COMMA if sign == "," else POINT)
        plain = pc.if_else(matches, plain, text)
    return plain, sign if comma else "."


def _example(text: pa.ChunkedArray, sign: str) -> str:
    found = pc.index(pc.match_substring(text, sign), True).as_py()
    return str(text[max(0, found)].as_py())
