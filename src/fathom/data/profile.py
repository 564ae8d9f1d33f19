"""Profile: the facts of one column over all rows, and the kind that they speak for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fathom.core.prediction import Array
from fathom.core.schema import Kind
from fathom.data import cells
from fathom.data.wording import Style, style_of

MOSTLY = 0.95  # share of the present values that must be numbers for a number column with dirt
FEW_DIRTY = 10  # and at most so many different texts among them that are none
MINIMUM_FOR_IDENTIFIERS = 20  # below this, distinct values are no sign of an identifier
FEW_NAMES = 50  # so few values that hardly repeat tell nothing by their parts
MOST_PHRASES = 1000  # sentences that repeat are categories up to so many
NOTHING = "every value is missing"  # why a column is of no use

# Names that say what a column is, where its values alone cannot: zip codes look like quantities.
_CODE_NAME = re.compile(r"(^|[\W_])(zip|zipcode|postal|postcode|code|fips|icd)([\W_]|$)", re.I)
_ID_NAME = re.compile(
    r"(^|[\W_])(id|ids|uuid|guid|index|idx|num|no|nr|number|key|rowid|row|rownum|serial)$"
    r"|^unnamed: \d+$|^$",
    re.I,
)
_CAMEL_ID = re.compile(r"[a-z](Id|ID)$")
_TIME_NAME = re.compile(r"year|date|time|month|day|hour|week|quarter", re.I)


@dataclass(frozen=True)
class Profile:
    """What stands in a scalar column: counts over all n rows, its texts and its numbers."""

    name: str
    n: int
    missing: int
    codes: Array  # (n,) into `distinct`, -1 where missing
    distinct: Array  # (k,) texts (object); numbers where the column is stored as numbers
    values: Array  # (k,) float64: the distinct values as numbers, NaN where they are none
    is_datetime: bool

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.n - self.missing

    @property
    def dirty(self) -> Array:
        """Mask over `distinct`: texts that are no numbers."""
        mask: Array = np.isnan(self.values)
        return mask

    @property
    def counts(self) -> Array:
        """Rows of each distinct value, (k,)."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.distinct))

    @property
    def figures(self) -> str:
        """'14 distinct values in 891 rows, 177 missing'."""
        gap = f", {self.missing:,} missing" if self.missing else ""
        noun = "value" if len(self.distinct) == 1 else "values"
        return f"{len(self.distinct):,} distinct {noun} in {self.n:,} rows{gap}"

    @property
    def whole(self) -> bool:
        """Whether every number is an integer."""
        numbers = self.values[~self.dirty]
        return bool(len(numbers)) and bool((numbers == np.round(numbers)).all())


@dataclass(frozen=True)
class Finding:
    """A kind with its reason; `use` is False where the column should not be an input."""

    kind: Kind
    reason: str
    use: bool = True
    layout: str | None = None


def profile(name: str, column: pd.Series[Any]) -> Profile:
    """The facts of a scalar column."""
    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        # Numbers are not written out as texts: a wide table holds millions of distinct ones.
        finite = column.where(np.isfinite(cells.numbers(column)))
        raw_codes, raw_distinct = pd.factorize(finite if finite.isna().any() else column)
        codes, distinct = np.asarray(raw_codes), np.asarray(raw_distinct)
        values = cells.bounded(distinct.astype(np.float64))
    else:
        codes, distinct = cells.codes_and_texts(column)
        values = cells.parse_numbers(distinct)
    is_datetime = pd.api.types.is_datetime64_any_dtype(dtype)
    return Profile(name, len(codes), int((codes < 0).sum()), codes, distinct, values, is_datetime)


def judge(facts: Profile) -> Finding:
    """The kind that a column's values speak for, and whether it is worth being an input."""
    if len(facts.distinct) < 2:
        return _judge_constant(facts)
    if facts.is_datetime:
        return Finding("time", f"dates: {facts.figures}")
    if len(facts.distinct) == 2 and (facts.dirty.all() or facts.whole):
        return Finding("boolean", f"two values, {_quoted(facts.distinct, ' and ')}")
    if _mostly_numbers(facts):
        return _judge_numbers(facts)
    layout = find_layout(facts)
    if layout is not None:
        written = "ISO dates" if layout == cells.ISO else f"dates written as {layout}"
        reason = f"{written}: {facts.figures}{_ambiguity(facts, layout)}"
        return Finding("time", reason, layout=layout)
    return _judge_texts(facts)


def _judge_constant(facts: Profile) -> Finding:
    if not facts.present:
        return Finding("category", NOTHING, use=False)
    value = _quoted(facts.distinct)
    if facts.missing:  # 'Y' or nothing: to be there is what it says
        return Finding("category", f"{value} in {facts.present:,} of {facts.n:,} rows, else empty")
    kind: Kind = "category" if facts.dirty[0] else "number"
    return Finding(kind, f"a constant: only {value}", use=False)


def find_layout(facts: Profile) -> str | None:
    """The layout of `cells.LAYOUTS` in which every distinct text is a time; None where none is."""
    texts = facts.distinct[facts.dirty]
    if not len(texts) or len(texts) < len(facts.distinct) or not _could_be_times(texts[:50]):
        return None
    fitting = [x for x in cells.LAYOUTS if _fits(texts[:50], x) and _fits(texts, x)]
    return fitting[0] if fitting else None


def _could_be_times(texts: Array) -> bool:
    return all(re.search(r"\d", text) and 6 <= len(text) <= 35 for text in texts)


def _fits(texts: Array, layout: str) -> bool:
    return not np.isnan(cells.parse_times(texts, layout)).any()


def _ambiguity(facts: Profile, layout: str) -> str:
    swapped = layout.replace("%m", "%_").replace("%d", "%m").replace("%_", "%d")
    if swapped == layout or swapped not in cells.LAYOUTS or not _fits(facts.distinct, swapped):
        return ""
    return f" (day and month cannot be told apart; {swapped} would fit as well)"


def _mostly_numbers(facts: Profile) -> bool:
    dirty = facts.dirty
    share = facts.counts[~dirty].sum() / facts.present
    return bool(share >= MOSTLY) and int(dirty.sum()) <= FEW_DIRTY


def _judge_numbers(facts: Profile) -> Finding:
    if _leading_zeros(facts.distinct[~facts.dirty]):
        return Finding("category", f"codes with leading zeros: {facts.figures}")
    if facts.whole and _CODE_NAME.search(facts.name):
        return _too_many(facts) or Finding("category", f"codes, by its name: {facts.figures}")
    if _numbered_rows(facts):
        return Finding("number", f"an identifier: {facts.figures}, all of them whole", use=False)
    unread = facts.distinct[facts.dirty]
    dirt = f"; {_quoted(unread[:3])} counted as missing" if len(unread) else ""
    return Finding("number", f"numbers: {facts.figures}{dirt}")


def _numbered_rows(facts: Profile) -> bool:
    """Whether whole numbers only count or name the rows: all different, and in an even sequence,
    or under a name such as `PassengerId`.
    """
    unique = len(facts.distinct) == facts.present and facts.present >= MINIMUM_FOR_IDENTIFIERS
    if not (unique and facts.whole and not facts.dirty.any()):
        return bool(
            facts.whole
            and looks_like_id(facts.name)
            and len(facts.distinct) > 0.9 * facts.present
            and facts.present >= MINIMUM_FOR_IDENTIFIERS
        )
    if looks_like_id(facts.name):
        return True
    contiguous = np.ptp(facts.values) == len(facts.values) - 1
    return bool(contiguous) and not _TIME_NAME.search(facts.name)


def looks_like_id(name: str) -> bool:
    """Whether a column's name says that it names rows: `id`, `customerID`, `row_number`."""
    return bool(_ID_NAME.search(name.strip()) or _CAMEL_ID.search(name.strip()))


def _judge_texts(facts: Profile) -> Finding:
    """A text, a category, or an identifier, by how often values repeat and how they look."""
    if facts.present < MINIMUM_FOR_IDENTIFIERS:
        return Finding("category", facts.figures)
    style, repeating = style_of(facts.distinct), len(facts.distinct) <= 0.5 * facts.present
    told = f"texts of {style.words:.0f} words"
    if style.prose and not repeating:
        return Finding("text", f"{told}: {facts.figures}")
    if style.prose and len(facts.distinct) > MOST_PHRASES:
        return Finding("text", f"{told}, too many to be categories: {facts.figures}")
    return Finding("category", facts.figures) if repeating else _judge_names(facts, style)


def _judge_names(facts: Profile, style: Style) -> Finding:
    """Names, codes and addresses that hardly repeat: read by their parts, or identifiers.

    Codes that are shared by some rows say by their parts what the rows have in common, such as the
    deck in a cabin's number; codes of which each row has its own only name it.
    """
    if style.emails:
        return Finding("category", f"e-mail addresses, which name rows: {facts.figures}", use=False)
    own = len(facts.distinct) > 0.95 * facts.present
    few = len(facts.distinct) <= FEW_NAMES
    if (style.coded and (own or looks_like_id(facts.name)) and not style.links) or (few and own):
        return Finding("category", f"an identifier: {facts.figures}", use=False)
    if few:
        return Finding("category", facts.figures)
    what = "web addresses" if style.links else "codes" if style.coded else "names"
    return Finding("text", f"{what} that repeat too little, read by their parts: {facts.figures}")


def _too_many(facts: Profile) -> Finding | None:
    share = len(facts.distinct) / facts.present
    if share <= 0.5 or len(facts.distinct) <= FEW_NAMES:
        return None
    return Finding("category", f"too few repeats to learn from: {facts.figures}", use=False)


def _leading_zeros(texts: Array) -> bool:
    return texts.dtype == object and any(re.fullmatch(r"0\d+", text) for text in texts)


def _quoted(texts: Sequence[str] | Array, joint: str = ", ") -> str:
    return joint.join(repr(cells.text_of(text)) for text in texts)
