"""Texts: a tokenizer learned from the training split, and columns of text as token codes.

The tokenizer is byte-level BPE (Sennrich et al. 2016, arXiv 1508.07909; Radford et al. 2019): every
text can be written with it, whatever its language, and nothing in it is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from msgspec.structs import replace

from fathom.core.blocks import FIRST_TOKEN, PADDING_TOKEN, START_TOKEN, UNKNOWN_TOKEN
from fathom.core.prediction import Array
from fathom.core.quantities import percent_digits
from fathom.core.ragged import Ragged
from fathom.core.schema import TextStatistics
from fathom.data import cells

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = ("<padding>", "<missing>", "<start>")  # in the order of their codes
# Subwords: about one for so many characters of the training texts, within these bounds.
CHARACTERS_PER_SUBWORD = 60
LEAST_SUBWORDS, MOST_SUBWORDS = 1_000, 16_000
MOST_CHARACTERS = 20_000_000  # of training texts that the tokenizer is learned from
MOST_TOKENS = 512  # longer texts are cut, which is said
LENGTH_SHARE = 0.99  # of the training texts are not cut, unless they are longer than MOST_TOKENS
CHEAP_TOKENS = 128  # up to which the longest text costs next to nothing: a few rows are padded
AT_ONCE = 10_000


@dataclass(frozen=True)
class Pretokenized:
    """A tokenizer that a pretrained network was trained with, as JSON, and the most codes of it."""

    tokenizer: str
    length: int


def learn_texts(column: pd.Series[Any], foreign: Pretokenized | None = None) -> TextStatistics:
    """The tokenizer and the lengths of a text column, over the rows of the training split.

    A `foreign` tokenizer is taken as it is, and only the lengths are learned.
    """
    texts = cells.texts(column)
    present = [text for text in texts if text is not None]
    tokenizer = _loaded(foreign.tokenizer) if foreign else _train(_affordable(present))
    statistics = TextStatistics(
        tokenizer=tokenizer.to_str(),
        size=max(tokenizer.get_vocab().values(), default=0) + 1,
        length=MOST_TOKENS,
        typical=1,
        cut=0.0,
        missing=len(texts) - len(present),
    )
    most = MOST_TOKENS
    if foreign:
        most = min(MOST_TOKENS, 1 + foreign.length)  # our own mark of the start comes before it
        size = statistics.size + FIRST_TOKEN
        statistics = replace(statistics, size=size, pretrained=True)
    lengths = np.concatenate(
        [[1], *(np.array([len(codes) for codes in part]) for part in _codes(texts, statistics))]
    )
    wanted = int(np.quantile(lengths, LENGTH_SHARE, method="higher"))
    length = int(min(most, max(wanted, 2, min(int(lengths.max()), CHEAP_TOKENS))))
    return replace(
        statistics,
        length=length,
        typical=int(np.median(lengths)),
        cut=float((lengths > length).mean()),
        lost=float(np.maximum(lengths - length, 0).sum() / lengths.sum()),
    )


def encode_texts(column: pd.Series[Any], statistics: TextStatistics) -> Ragged:
    """Token codes of every row, int32; a missing text has the code of one behind its start."""
    most = statistics.length
    rows = [
        np.array(_cut(codes, most, keep_end=statistics.pretrained), dtype=np.int32)
        for part in _codes(cells.texts(column), statistics)
        for codes in part
    ]
    return Ragged.of(rows, PADDING_TOKEN, np.int32)


def too_long(column: pd.Series[Any], statistics: TextStatistics) -> Array:
    """Mask (n,): texts of which the end is not seen."""
    parts = _codes(cells.texts(column), statistics)
    return np.array([len(codes) > statistics.length for part in parts for codes in part], bool)


def _cut(codes: list[int], most: int, *, keep_end: bool) -> list[int]:
    """At most so many codes; a pretrained network was never shown a text without its end mark."""
    if len(codes) <= most:
        return codes
    return [*codes[: most - 1], codes[-1]] if keep_end else codes[:most]


def as_written(column: pd.Series[Any]) -> Ragged:
    """Every text whole, as UTF-8 bytes; a missing one is empty. For methods that read words."""
    texts = cells.texts(column)
    rows = [np.frombuffer((text or "").encode(), dtype=np.uint8) for text in texts]
    return Ragged.of(rows, 0, np.uint8)


def tokenizer_fits(statistics: TextStatistics) -> bool:
    """Whether the tokenizer can be loaded, and gives no codes but those that are foreseen."""
    if not statistics.size >= FIRST_TOKEN or not 2 <= statistics.length <= MOST_TOKENS:
        return False
    try:
        tokenizer = _loaded(statistics.tokenizer)
    except Exception:  # the library raises nothing more exact
        return False
    first = FIRST_TOKEN if statistics.pretrained else 0
    return first + max(tokenizer.get_vocab().values(), default=0) < statistics.size


def told_cut(statistics: TextStatistics) -> str:
    """What is cut off long texts, in words; empty where nothing is."""
    if not statistics.cut:
        return ""
    return (
        f"texts longer than {statistics.length} tokens ({percent_digits(statistics.cut)} % of the "
        "training rows) are cut there"
    )


def token_texts(statistics: TextStatistics, codes: Array) -> list[str]:
    """What each of some token codes stands for, as a person reads it."""
    tokenizer = _loaded(statistics.tokenizer)
    first = FIRST_TOKEN if statistics.pretrained else 0
    return [
        SPECIAL[code]
        if code < FIRST_TOKEN
        else tokenizer.decode([int(code) - first], skip_special_tokens=not first)
        for code in codes
    ]


def _affordable(texts: list[str]) -> list[str]:
    """Texts spread evenly over all, with at most MOST_CHARACTERS together."""
    total = sum(map(len, texts))
    return texts[:: max(1, -(-total // MOST_CHARACTERS))]


def _train(texts: list[str]) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    characters = sum(map(len, texts))
    size = int(np.clip(characters // CHARACTERS_PER_SUBWORD, LEAST_SUBWORDS, MOST_SUBWORDS))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@lru_cache(maxsize=8)
def _loaded(text: str) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(text)


def _codes(texts: Array, statistics: TextStatistics) -> Iterator[list[list[int]]]:
    """Token codes of all texts, some thousand at a time, each beginning with its start."""
    tokenizer, marks = _loaded(statistics.tokenizer), statistics.pretrained
    first = FIRST_TOKEN if marks else 0
    for begin in range(0, len(texts), AT_ONCE):
        part = texts[begin : begin + AT_ONCE]
        found = tokenizer.encode_batch_fast([text or "" for text in part], add_special_tokens=marks)
        yield [
            [START_TOKEN, UNKNOWN_TOKEN]
            if text is None
            else [START_TOKEN, *_shifted(one.ids, first)]
            for text, one in zip(part, found, strict=True)
        ]


def _shifted(codes: list[int], first: int) -> list[int]:
    return [code + first for code in codes] if first else codes
