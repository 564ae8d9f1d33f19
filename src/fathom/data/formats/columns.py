"""Columns of text become numbers, Booleans or text.

How a number is written is decided for each column on all of its rows: 3.14, 3,14, 1,234.5,
1.234,5, 1 234,5 and 1'234.5 are all read. A column is a number only if every value is; a few
values that are none leave it as text, in which the others are written with a point; one with the
other decimal sign is an error, since it would be read as something else. What was
decided for a column in training is kept in the schema, and holds for every file after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from fathom.core.errors import DataError
from fathom.core.schema import DecimalSign
from fathom.data.cells import MISSING, scalars
from fathom.data.cells import texts as texts_of
from fathom.data.raw import Raw, Signs, row_number

# Arrow compares letter by letter; what is spelled otherwise still, `cells` knows.
SPELLED = [w for m in sorted(MISSING) for w in (m, m.upper(), m.capitalize())] + ["NaN", "NaT"]
BOOLEANS = pa.array(["True", "TRUE", "true", "False", "FALSE", "false"])
SAMPLE = 1000
MOSTLY, FEW_DIRTY = 0.95, 10  # as in `profile`, where a column of numbers may hold a little dirt
_SPACES = " \u00a0\u2009\u202f'\u2019"
COMMA = rf"^[+-]?(\d+|[1-9]\d{{0,2}}([.{_SPACES}]\d{{3}})+)(,\d+)?$"
POINT = rf"^[+-]?(\d+|[1-9]\d{{0,2}}([,{_SPACES}]\d{{3}})+)(\.\d*)?$"
WITH_POINT = rf"{POINT}|^[+-]?(\d+\.\d*|\.\d+)([eE][+-]?\d+)?$"
GROUPED = r"^[+-]?(\d{1,3}|[1-9]\d{0,2}(\.\d{3})+)$"
LONG = r"^[+-]?\d{4,}"
Say = Callable[[str], None]


def to_columns(
    texts: dict[str, pa.ChunkedArray],
    delimiter: str,
    say: Say,
    *,
    signs: Signs | None = None,
    where: Callable[[int], str] = row_number,
) -> tuple[dict[str, Any], Signs]:
    """Every column in the narrowest of int64, float64, Boolean and text that holds all it says.

    With them come the decimal signs of the columns of numbers, where anything in them told.
    `texts` is emptied on the way, so that the memory of a column's text is free before the next.
    `delimiter` parts the fields in the file: where that is a comma, 1,234 is a thousand. `say` is
    told of what could have been read in another way. `signs` were decided before: they are kept,
    and decide where other columns leave it open. Raises DataError, with the row as `where` names
    it, for a number that is written otherwise.
    """
    columns: dict[str, Any] = {}
    grouped: dict[str, pa.ChunkedArray] = {}
    found: dict[str, DecimalSign] = {}
    before = signs or {}
    usual = next(iter(before.values())) if len(set(before.values())) == 1 else ""
    commas = "," in before.values()
    for name in list(texts):
        text = _cleaned(texts.pop(name))
        if kept := before.get(name):
            found[name] = kept
            columns[name] = _as_before(text, name, kept, where, say)
            continue
        column = _numbers(text)
        if column is None:
            column = _booleans(text)
        elif delimiter != "," and _all_match(text, GROUPED):
            grouped[name] = text
        if column is None:
            written = text
            text, numeric, found[name] = _with_points(text, name, delimiter, usual, say)
            _require_one_sign(
                written, found[name], f"column {name!r}, whose other numbers have", where
            )
            commas = commas or (found[name] == "," and _holds(written, ","))
            column = _numbers(text) if numeric else None
        elif pd.api.types.is_float_dtype(column.dtype) and _holds(text, "."):
            found[name] = "."
        columns[name] = _strings(text) if column is None else column
    for name, text in grouped.items():  # 1.234 is a thousand where others are written 3,14
        if commas and _holds(text, "."):
            columns[name] = _numbers(pc.replace_substring(text, ".", ""))
            found[name] = ","
            example = _example(text, ".")
            say(f"{name}: {example} is read as {example.replace('.', '')}, as others have commas.")
    return columns, {name: sign for name, sign in found.items() if sign}


def keep_signs(raw: Raw, signs: Signs, say: Say) -> Raw:
    """The data with its columns of text read as numbers where `signs` says how these are written.

    What came from a text file was read so before. Raises DataError as `to_columns` does.
    """
    table = raw.table
    for name, sign in signs.items():
        if name not in table or name in raw.signs or not pd.api.types.is_string_dtype(table[name]):
            continue
        text = pa.chunked_array([pa.array(texts_of(scalars(table, name)), pa.string())])
        table = table.replace(name, _as_before(text, name, sign, raw.locate, say))
    return replace(raw, table=table, signs={**raw.signs, **signs})


def _as_before(
    text: pa.ChunkedArray, name: str, sign: DecimalSign, where: Callable[[int], str], say: Say
) -> Any:
    """A column whose decimal sign was decided before."""
    column = _numbers(text) if sign == "." or not _holds(text, ".") else None
    if column is not None:
        return column
    fits_other = pc.match_substring_regex(text, POINT if sign == "," else COMMA)
    whose = f"column {name!r}, whose numbers have been read before with"
    _require_one_sign(text, sign, whose, where)
    plain = _pointed(text, sign)
    if pc.all(pc.or_(fits_other, pc.equal(plain, text))).as_py():
        row = pc.index(pc.not_equal(plain, text), True).as_py()
        if row >= 0:
            was, now = text[row].as_py(), plain[row].as_py()
            say(f"{name}: {was} is read as {now}, as this column was before.")
    column = _numbers(plain)
    return _strings(plain) if column is None else column


def _require_one_sign(
    text: pa.ChunkedArray, sign: DecimalSign, whose: str, where: Callable[[int], str]
) -> None:
    """Raise DataError naming the first number that only has a meaning with the other sign."""
    if not sign:
        return
    own, other = (COMMA, WITH_POINT) if sign == "," else (POINT, COMMA)
    fits, fits_other = (pc.match_substring_regex(text, pattern) for pattern in (own, other))
    row = pc.index(pc.and_(fits_other, pc.invert(fits)), True).as_py()
    if row >= 0:
        named, example = ("comma", "3,5") if sign == "," else ("point", "3.5")
        raise DataError(
            f"{where(row)} has {text[row].as_py()!r} in the {whose} a decimal {named}, as in "
            f"{example}: write it so too."
        )


def _pointed(text: pa.ChunkedArray, sign: str) -> pa.ChunkedArray:
    """Numbers with this decimal sign written as 1234.5; all else stays as it is."""
    plain = pc.replace_substring_regex(text, rf"[{'.' if sign == ',' else ','}{_SPACES}]", "")
    plain = pc.replace_substring(plain, ",", ".")
    fits = pc.match_substring_regex(text, COMMA if sign == "," else POINT)
    return plain if pc.all(fits).as_py() else pc.if_else(fits, plain, text)


def _holds(text: pa.ChunkedArray, what: str) -> bool:
    return bool(pc.any(pc.match_substring(text, what)).as_py())


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
    text: pa.ChunkedArray, name: str, delimiter: str, usual: str, say: Say
) -> tuple[pa.ChunkedArray, bool, DecimalSign]:
    """Numbers in another style written as 1234.5, whether there are any, and their decimal sign.

    `usual` is the sign of other columns, which decides where this one leaves it open.
    """
    sample = pc.drop_null(text.slice(0, SAMPLE))
    if max(_share(sample, COMMA), _share(sample, POINT)) < 0.5:
        return text, False, ""
    distinct = pc.drop_null(pc.unique(text))
    shares: dict[DecimalSign, float] = {",": _share(distinct, COMMA), ".": _share(distinct, POINT)}
    sign: DecimalSign = max(shares, key=lambda s: (shares[s], s == ","))
    least = 1.0 if delimiter == "," else MOSTLY  # quoted "1,2" may be a list of two things
    if shares[sign] < least or (1 - shares[sign]) * len(distinct) > FEW_DIRTY:
        return text, False, ""
    comma = _holds(distinct, ",")
    if not comma and not pc.any(pc.match_substring_regex(distinct, rf"\d[.{_SPACES}]\d")).as_py():
        return text, False, ""  # plain numbers among other words: nothing is to be rewritten
    ambiguous = comma and shares[","] == shares["."]
    if ambiguous:
        commas = usual == "," or (not usual and (delimiter != "," or _share(distinct, LONG)))
        sign = "," if commas else "."
    if ambiguous or (delimiter == "," and sign == ","):
        example = _example(text, ",")
        say(f"{name}: {example} is read as {example.replace(',', '.' if sign == ',' else '')}.")
    told = comma or shares[","] != shares["."]
    return _pointed(text, sign), True, sign if told else ""


def _example(text: pa.ChunkedArray, sign: str) -> str:
    found = pc.index(pc.match_substring(text, sign), True).as_py()
    return str(text[max(0, found)].as_py())
