"""The survey: one pass over a corpus that learns all that splitting needs to know."""

from __future__ import annotations

import hashlib
import time
from array import array
from dataclasses import dataclass

import numpy as np

from fathom.core.budget import Budget, format_duration
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Silent
from fathom.data.corpus.documents import Corpus
from fathom.data.corpus.sketch import BINS, Sketcher
from fathom.data.repeats import LOOKING_SHARE

METHOD = (
    "MinHash of runs of 12 characters in 128 bins; pairs are nominated by bands and confirmed by "
    "the share of bins in which their sketches agree, 0.7 or more"
)
SHOWN_EVERY = 8 * 2**20  # bytes
FREE_SECONDS = 2.0  # whatever the budget, and before which nothing is foretold
MOST_DOCUMENTS = 8_000_000  # 2 GB of sketches


@dataclass(frozen=True)
class Survey:
    """What is known of D documents: `sizes` (D,) int64 in bytes of UTF-8, `hashes` (D,) uint64.

    `digest` is the SHA-256 of all texts in their order, 'sha256:…'. `sketches` (D, 128) uint16, and
    `told` (D,) bool, which of them can be told apart, are empty where near duplicates were not
    looked for; `why_not` says why. `characters` counts those of all texts.
    """

    called: str
    sizes: Array
    hashes: Array
    sketches: Array
    told: Array
    digest: str
    characters: int = 0
    why_not: str = ""

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return len(self.sizes)

    @property
    def bytes(self) -> int:
        """How much text there is, in bytes of UTF-8."""
        return int(self.sizes.sum())

    @property
    def near(self) -> bool:
        """Whether near duplicates were looked for."""
        return not self.why_not


def survey(
    corpus: Corpus,
    *,
    near: bool | None = None,
    progress: Progress | None = None,
    budget: Budget | None = None,
) -> Survey:
    """Read all documents once. With `near` near duplicates are looked for, with False they are not.

    None leaves that out where it would take over a tenth of what is left of `budget`. Memory is
    some 20 bytes a document, and 256 more for its sketch.
    """
    shown = progress or Silent()
    looking = _Looking(near, budget, corpus.size)
    sizes, hashes = array("q"), array("Q")
    content, own, size, characters, read, told = hashlib.sha256(), _hash(), 0, 0, 0, 0
    for document in corpus.documents():
        data = document.text.encode()
        content.update(data)
        own.update(data)
        size += len(data)
        characters += len(document.text)
        looking.add(document.text, last=document.last, done=read + size)
        if document.last:
            # The size as well, so that texts cut elsewhere have another digest.
            content.update(size.to_bytes(8, "little"))
            sizes.append(size)
            hashes.append(int.from_bytes(own.digest(), "little"))
            read, size, own = read + size, 0, _hash()
        if read + size >= told:
            told = read + size + SHOWN_EVERY
            shown.advance(read + size, max(corpus.size, read + size), "bytes read")
    sketches, apart = looking.result(len(sizes))
    return Survey(
        called=corpus.called,
        sizes=np.array(sizes, dtype=np.int64),
        hashes=np.array(hashes, dtype=np.uint64),
        sketches=sketches,
        told=apart,
        digest=f"sha256:{content.hexdigest()}",
        characters=characters,
        why_not=looking.why_not,
    )


def _hash() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=8)


class _Looking:
    """Sketches documents as long as that is wanted, and fits the budget."""

    def __init__(self, near: bool | None, budget: Budget | None, size: int) -> None:
        self.why_not = "data.near_duplicates is off" if near is False else ""
        self._sketcher: Sketcher | None = None if near is False else Sketcher()
        self._budget = budget if near is None else None
        self._size, self._spent, self._count = size, 0.0, 0
        self._allowed = LOOKING_SHARE * budget.remaining if budget else 0.0

    def add(self, text: str, *, last: bool, done: int) -> None:
        """The next piece of a document; `done` bytes were read with it."""
        if self._sketcher is None:
            return
        before = time.perf_counter()
        self._sketcher.add(text, last=last)
        self._spent += time.perf_counter() - before
        self._count += last
        if self._budget is not None and self._spent > FREE_SECONDS:
            self._judge(self._spent * max(1.0, self._size / max(done, 1)))
        if self._count > MOST_DOCUMENTS:
            self._give_up(f"there are more than {MOST_DOCUMENTS:,} documents")

    def _judge(self, seconds: float) -> None:
        if seconds > max(FREE_SECONDS, self._allowed):
            self._give_up(
                f"comparing the documents takes about {format_duration(seconds)}, over a tenth of "
                "the time that is left; --set data.near_duplicates=true looks all the same"
            )

    def _give_up(self, why_not: str) -> None:
        self._sketcher, self.why_not = None, why_not

    def result(self, count: int) -> tuple[Array, Array]:
        """The sketches of all `count` documents, and which of them can be told apart."""
        if self._sketcher is None:
            return np.empty((0, BINS), dtype=np.uint16), np.zeros(count, dtype=bool)
        return self._sketcher.sketches()
