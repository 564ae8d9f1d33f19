"""Encoding a corpus: its splits as streams of tokens, in memory or in files that are mapped."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from fathom.core.errors import DataError, StorageError
from fathom.core.language import Documents
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Silent
from fathom.data import cache
from fathom.data.corpus.documents import Corpus
from fathom.data.corpus.names import NameList
from fathom.data.corpus.pieces import utf8_size
from fathom.data.corpus.splits import PARTS, CorpusSplits, whole
from fathom.data.corpus.stretches import Stretch, stretches, texts_of
from fathom.data.corpus.token_files import Entry, Told, find, key_of, storing_entry, token_folder
from fathom.data.corpus.tokenizer import AT_ONCE, Tokenizer

__all__ = ["encode_corpus", "texts_of", "token_folder"]

WORTH_KEEPING = 50_000_000  # bytes of text, which take half a minute to encode
MARGIN = 1.2  # times the tokens that the beginning of a corpus lets expect
PER_DOCUMENT = 32  # bytes, beside its tokens


def encode_corpus(
    corpus: Corpus,
    splits: CorpusSplits,
    tokenizer: Tokenizer,
    *,
    test: Corpus | None = None,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> dict[str, Documents]:
    """The documents of train, validation, calibration and test as tokens.

    `test` is the test corpus that was given, if one was. Tokens are kept in memory, or, of a large
    corpus, in files of `folder` (see `token_files`), where the next run finds them, and from which
    they are mapped above an eighth of the machine's memory. With no folder they are in memory
    whatever their size. Raises DataError where the corpus was changed since it was split, and
    StorageError where they fit neither on the disk nor in memory.
    """
    work = _Work(corpus, splits, tokenizer, test, progress or Silent())
    if folder is None or work.bytes < WORTH_KEEPING:
        return work.in_memory()
    place = folder / key_of(splits.key, tokenizer.to_json())
    found = find(place)
    if found is not None:
        return found
    needed = work.expected()
    try:
        with storing_entry(place, needed) as entry:
            work.into(entry)
    except StorageError:
        if needed > cache.above():
            raise
        return work.in_memory()
    found = find(place)
    if found is None:
        raise DataError(f"{place} is gone, which was written just now: try again.")
    return found


@dataclass(frozen=True)
class _Work:
    """What is to be encoded with what."""

    corpus: Corpus
    splits: CorpusSplits
    tokenizer: Tokenizer
    test: Corpus | None
    progress: Progress

    @property
    def bytes(self) -> int:
        """How much text there is."""
        return sum(self.splits.bytes.values())

    def expected(self) -> int:
        """About how many bytes the tokens will take, judged by the beginning of the corpus."""
        some = next(_batches(self._stretches()), [])
        texts = [stretch.text for stretch in some]
        tokens = sum(map(len, self.tokenizer.encode_batch(texts)))
        share = tokens / max(1, sum(map(utf8_size, texts)))
        documents = sum(self.splits.documents.values())
        each = np.dtype(self.tokenizer.dtype).itemsize
        return round(MARGIN * share * self.bytes * each) + PER_DOCUMENT * documents

    def in_memory(self) -> dict[str, Documents]:
        """All of it in memory."""
        held: dict[str, list[Array]] = {split: [] for split in PARTS}
        told = self._encode(lambda split, tokens: held[split].append(tokens))
        return {split: Documents(np.concatenate(held.pop(split)), *told[split]) for split in PARTS}

    def into(self, entry: Entry) -> None:
        """All of it into files."""
        kind: Literal["uint16", "uint32"] = (
            "uint16" if self.tokenizer.dtype is np.uint16 else "uint32"
        )
        entry.finish(kind, self._encode(entry.append))

    def _encode(self, append: Callable[[str, Array], None]) -> dict[str, Told]:
        """Hand the tokens of each split to `append` as they come."""
        parts = {split: _Part(split, self.tokenizer, append) for split in PARTS}
        done, total = 0, self.bytes
        for some in _batches(self._stretches()):
            texts = [stretch.text for stretch in some]
            found = self.tokenizer.encode_batch(texts, [not stretch.first for stretch in some])
            for stretch, codes in zip(some, found, strict=True):
                parts[stretch.split].add(stretch, codes)
            for part in parts.values():
                part.flush()
            done += sum(map(utf8_size, texts))
            self.progress.advance(min(done, total), total, "bytes as tokens")
        self.progress.advance(total, total)
        return {split: part.told() for split, part in parts.items()}

    def _stretches(self) -> Iterator[Stretch]:
        given: Iterable[Stretch] = ()
        if self.test is not None and self.splits.given is not None:
            given = stretches(self.test, whole(self.splits.given, self.splits.given_digest))
        return chain(stretches(self.corpus, self.splits), given)


class _Part:
    """One split so far."""

    def __init__(
        self, split: str, tokenizer: Tokenizer, append: Callable[[str, Array], None]
    ) -> None:
        self._append: Callable[[Array], None] = lambda tokens: append(split, tokens)
        self._end = np.array([tokenizer.end], dtype=tokenizer.dtype)
        self._starts, self._sizes, self._names = array("q", [1]), array("q"), NameList()
        self._count, self._size = 1, 0
        self._waiting = [self._end]

    def add(self, stretch: Stretch, codes: Array) -> None:
        """The next piece of a document and its tokens."""
        self._waiting.append(codes)
        self._count += len(codes)
        self._size += utf8_size(stretch.text)
        if stretch.last:
            self._waiting.append(self._end)
            self._count += 1
            self._starts.append(self._count)
            self._sizes.append(self._size)
            self._names.add(stretch.name)
            self._size = 0

    def flush(self) -> None:
        """Hand on what waits, in one array: one for each document would take far more memory."""
        if self._waiting:
            self._append(np.concatenate(self._waiting))
            self._waiting = []

    def told(self) -> Told:
        """Where the documents start, their bytes and names."""
        starts = np.array(self._starts, dtype=np.int64)
        return starts, np.array(self._sizes, dtype=np.int64), self._names.names()


def _batches(found: Iterable[Stretch]) -> Iterator[list[Stretch]]:
    """Stretches in groups of some AT_ONCE characters, or a larger one alone."""
    some: list[Stretch] = []
    waiting = 0
    for stretch in found:
        some.append(stretch)
        waiting += len(stretch.text)
        if waiting >= AT_ONCE:
            yield some
            some, waiting = [], 0
    if some:
        yield some
