"""Wording: what the distinct values of a column of strings look like, sentences, names or codes.

Words are counted where spaces part them. Chinese, Japanese, Thai and others write without spaces:
there some characters make a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fathom.core.prediction import Array

LOOKED_AT = 2_000  # of the distinct values, spread evenly over all
PROSE = 3  # words on average, from which values are texts
MOSTLY = 0.9  # share of the values that must look alike
# Scripts without spaces, and about how many of their characters make a word.
_SPACELESS = (
    (re.compile("[\\u3040-\\u30ff\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff]"), 2.0),
    (re.compile("[\\u0e00-\\u0eff\\u1000-\\u109f\\u1780-\\u17ff]"), 5.0),
)
_WORD = re.compile(r"[^\W\d_]{2,}|[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_LINK = re.compile(r"(https?|ftp)://\S+|www\.\S+", re.I)


@dataclass(frozen=True)
class Style:
    """`words` on average; whether most values are `prose` (sentences, titles, addresses), `coded`
    (with digits, and too few words), `emails` or `links`.
    """

    words: float
    prose: bool
    coded: bool
    emails: bool
    links: bool


def style_of(distinct: Array) -> Style:
    """The style of distinct texts (k,) object; of many, of some spread over all."""
    some = [str(text) for text in distinct[:: max(1, len(distinct) // LOOKED_AT)]]
    words = float(np.mean([count_words(text) for text in some]))
    prose = words >= PROSE and _share(_WORD.search, some) >= 0.5
    return Style(
        words=words,
        prose=prose,
        coded=not prose and _share(re.compile(r"\d").search, some) >= MOSTLY,
        emails=_share(_EMAIL.fullmatch, some) >= MOSTLY,
        links=_share(_LINK.fullmatch, some) >= MOSTLY,
    )


def count_words(text: str) -> float:
    """How many words a text has, about; of scripts without spaces some characters make one."""
    count = float(len(text.split()))
    for script, each in _SPACELESS:
        # What spaces part counts once already.
        count += max(0.0, len(script.findall(text)) / each - 1)
    return count


def _share(fits: Callable[[str], object | None], texts: list[str]) -> float:
    return sum(fits(text) is not None for text in texts) / len(texts)
