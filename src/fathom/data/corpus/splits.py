"""CorpusSplits: which documents, or stretches of documents, train, and which are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from fathom.core.prediction import Array
from fathom.core.quantities import prefixed
from fathom.core.randomness import numpy_generator
from fathom.data.corpus.learned import Learned
from fathom.data.raw import Problem

PARTS = ("train", "validation", "calibration", "test")
TRAIN, UNUSED = 0, -1
MOST_WINDOW = 8_192  # bytes behind a cut in which the end of a paragraph or line is looked for


@dataclass(frozen=True)
class Cut:
    """From about byte `at` of a document on, its text belongs to the part `part` of PARTS.

    Exactly from the first end of a paragraph, else of a line, or a blank, behind `at`. A part of
    UNUSED is left out.
    """

    at: int
    part: int


@dataclass(frozen=True)
class Repeated:
    """How many documents are copies of others, how many nearly equal others, and were kept together
    for it; `too_long` are in chains of near duplicates too long to be kept together, `why_not` says
    why near duplicates were not looked for.
    """

    copies: int = 0
    near: int = 0
    too_long: int = 0
    why_not: str = ""


def _nobody() -> Array:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Straddlers:
    """Documents that stand, exactly or nearly, in training and in a test corpus that was given.

    `train` (k,) are positions in the corpus, of documents of which something trains; `test` (m,)
    positions in the test corpus, `test_exact` (e,) those among them with an exact copy.
    """

    train: Array = field(default_factory=_nobody)
    test: Array = field(default_factory=_nobody)
    test_exact: Array = field(default_factory=_nobody)


@dataclass(frozen=True)
class CorpusSplits:
    """The part of PARTS that each document (D,) int8 belongs to, UNUSED for none.

    Of documents in `cuts`, by position, that is the part of the beginning; `sizes` (D,) int64 are
    bytes of UTF-8. `how` is a sentence on how they came about. With a test corpus that was given
    there is no test part, `given` are the sizes of its documents, and `straddlers` tell which of
    them also train.
    """

    part: Array
    sizes: Array
    cuts: Mapping[int, tuple[Cut, ...]]
    how: str
    digest: str
    repeated: Repeated = field(default_factory=Repeated)
    given: Array | None = None
    given_digest: str = ""
    straddlers: Straddlers | None = None

    def __len__(self) -> int:
        return len(self.part)

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes of each part by name; about as many, where documents are cut."""
        found = _bytes_of(self.part, self.sizes, self.cuts)
        if self.given is not None:
            found["test"] = int(self.given.sum())
        return found

    @property
    def documents(self) -> dict[str, int]:
        """Documents, or stretches of them, of each part by name."""
        found = dict.fromkeys(PARTS, 0)
        whole = np.ones(len(self.part), dtype=bool)
        whole[list(self.cuts)] = False
        for code, name in enumerate(PARTS):
            found[name] = int((self.part[whole] == code).sum())
        for i, cuts in self.cuts.items():
            for part, _ in stretches_of(int(self.part[i]), int(self.sizes[i]), cuts):
                if part != UNUSED:
                    found[PARTS[part]] += 1
        if self.given is not None:
            found["test"] = len(self.given)
        return found

    def learned(self, hashes: Array) -> Learned:
        """The documents, of all with these hashes (D,), that something is learned or chosen from.

        Of those that are cut the held-out stretches, which lie side by side, are kept out, as far
        as the cuts surely go: they are made at good places a little behind.
        """
        learned = (self.part != UNUSED) & (self.part != PARTS.index("test"))
        kept = np.zeros((len(self), 2), dtype=np.int64)
        for i, own in self.cuts.items():
            size = int(self.sizes[i])
            learned[i] = TRAIN in {self.part[i], *(cut.part for cut in own)}
            held = [place for place, cut in enumerate(own) if cut.part not in {TRAIN, UNUSED}]
            if held:
                behind = [cut.at for cut in own[held[-1] + 1 :]]
                kept[i] = own[held[0]].at + window_of(size, own), (behind or [size])[0]
        kept[:, 1] = np.maximum(kept[:, 0], kept[:, 1])
        return Learned.of(hashes[learned], kept[learned])

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is to be told about documents that could not be kept apart."""
        found = []
        if self.repeated.too_long:
            reason = (
                f"{self.repeated.too_long:,} documents are in chains of near duplicates too long "
                "to be kept together, so that some may straddle them"
            )
            found.append(Problem("The splits", reason))
        if self.straddlers is not None and len(self.straddlers.train):
            total = len(self.given if self.given is not None else ())
            reason = (
                f"{len(self.straddlers.test):,} of the {total:,} documents of the given test stand "
                "in the training text, too, exactly or nearly"
            )
            found.append(Problem("The splits", reason))
        return tuple(found)

    @property
    def key(self) -> str:
        """A hash of all that decides which text is in which part."""
        content = hashlib.sha256(f"{self.digest}\0{self.given_digest}\0".encode())
        content.update(self.part.tobytes())
        for i in sorted(self.cuts):
            content.update(f"{i}{[(cut.at, cut.part) for cut in self.cuts[i]]}".encode())
        return content.hexdigest()

    def thinned(self, train_bytes: int, seed: int) -> CorpusSplits:
        """The same with about `train_bytes` bytes of training text.

        For a corpus larger than what can be learned from in the time. Whole documents are drawn at
        random; of each document that is cut, the end of its training stretches is left out.
        """
        before = self.bytes["train"]
        if before <= train_bytes:
            return self
        ratio = train_bytes / before
        cuts = {i: self._shortened(i, ratio) for i in self.cuts}
        documents = np.flatnonzero(self.part == TRAIN)
        documents = documents[~np.isin(documents, list(cuts))]
        order = numpy_generator(seed, "thinned corpus").permutation(documents)
        used = np.cumsum(self.sizes[order]) <= ratio * self.sizes[order].sum()
        if len(order) and not used.any() and not self.cuts:
            used[0] = True  # it alone is too much
            cuts[int(order[0])] = (Cut(train_bytes, UNUSED),)
        part = self.part.copy()
        part[order[~used]] = UNUSED
        share = f"{prefixed(train_bytes, 'B')} of {prefixed(before, 'B')}"
        how = f"{self.how.removesuffix('.')}; {share} of training text used."
        return replace(self, part=part, cuts=cuts, how=how)

    def _shortened(self, position: int, ratio: float) -> tuple[Cut, ...]:
        """The cuts of a document where only so much of each training stretch is used."""
        own, at, found = self.cuts[position], 0, []
        spans = stretches_of(int(self.part[position]), int(self.sizes[position]), own)
        for (part, span), behind in zip(spans, (*own, None), strict=True):
            if part == TRAIN:
                found.append(Cut(at + round(ratio * span), UNUSED))
            found += [behind] if behind is not None else []
            at += span
        return tuple(found)


def stretches_of(part: int, size: int, cuts: tuple[Cut, ...]) -> list[tuple[int, int]]:
    """The parts that a document consists of, each with its bytes, about as many."""
    starts = [0, *(cut.at for cut in cuts), size]
    parts = [part, *(cut.part for cut in cuts)]
    spans = [max(0, b - a) for a, b in pairwise(starts)]
    return list(zip(parts, spans, strict=True))


def window_of(size: int, cuts: tuple[Cut, ...]) -> int:
    """The bytes behind each cut of a document in which a good place is looked for."""
    shortest = min(span for _, span in stretches_of(0, size, cuts))
    return max(1, min(MOST_WINDOW, shortest // 4))


def _bytes_of(part: Array, sizes: Array, cuts: Mapping[int, tuple[Cut, ...]]) -> dict[str, int]:
    whole = sizes.copy()
    whole[list(cuts)] = 0
    totals = np.bincount(part + 1, weights=whole, minlength=len(PARTS) + 1)[1:].astype(np.int64)
    for i, own in cuts.items():
        for code, span in stretches_of(int(part[i]), int(sizes[i]), own):
            if code != UNUSED:
                totals[code] += span
    return dict(zip(PARTS, map(int, totals), strict=True))


def whole(sizes: Array, digest: str, part: str = "test") -> CorpusSplits:
    """A corpus all of which belongs to one part, as a test corpus that was given does."""
    codes = np.full(len(sizes), PARTS.index(part), dtype=np.int8)
    return CorpusSplits(codes, sizes, {}, f"All documents are {part}.", digest)
