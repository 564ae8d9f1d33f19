"""How many bits a general compressor, xz, needs for held-out texts once it has seen others.

What predicts well compresses well, and the other way round (Delétang et al. 2023, arXiv
2309.10668): the bits of a text under a language model and under a compressor are the same measure.
"""

from __future__ import annotations

import lzma
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fathom.core.prediction import Array
from fathom.core.progress import Progress

PARTS = 20
PRESET = 6
"""Of texts 9, and the extreme variants, save nothing once the window is as long as the texts."""
LEAST_WINDOW, MOST_WINDOW = 2**12, 2**26
"""How far back, in bytes, a repetition is seen; one more than 64 MiB takes gigabytes of memory."""
RATE = 2.5e6  # bytes a second, where nothing is there to be timed
TIMED = 2**19  # bytes of a sample that are timed
SLOWING = 0.2  # with n times as much text a byte takes n ** SLOWING as long
END = b"\0"


@dataclass(frozen=True)
class Compressed:
    """What D held-out texts take in P parts.

    `bits` (P,) int64 is what each part takes behind the priming text, `bytes` (P,) int64 how many
    bytes of text it has; `part` (D,) int64 says in which part a text is. `alone_bits` is what all
    take together without priming.
    """

    bits: Array
    bytes: Array
    part: Array
    alone_bits: int


@dataclass(frozen=True)
class Compressor:
    """The Lempel-Ziv method of xz (LZMA2), without the container's headers and checksums."""

    name: ClassVar[str] = "xz"
    preset: int = PRESET

    def compressed(
        self,
        texts: Sequence[bytes],
        primed_with: bytes,
        parts: int = PARTS,
        progress: Progress | None = None,
    ) -> Compressed:
        """The bits of held-out `texts` behind `primed_with`, which is texts as `joined` has them.

        A network has seen the training texts before it is measured, so the compressor is to have
        seen them, too: a part's bits are those of priming text and part, less those of the priming
        text. Of this at most MOST_WINDOW bytes are used, its last. Texts are dealt into up to
        `parts` parts of about equal size, neighbours together, and each part is measured anew
        behind the same priming text: none helps another, so that an interval can be given over
        parts. Raises ValueError where there are no texts or no parts.
        """
        if not len(texts) or parts < 1:
            raise ValueError("a compressor needs at least one text and one part")
        sizes = np.array([len(text) for text in texts], dtype=np.int64)
        part = dealt(sizes, parts)
        groups = [
            joined(texts[int(i)] for i in np.flatnonzero(part == p)) for p in range(part.max() + 1)
        ]
        primer = primed_with[-MOST_WINDOW:]
        before = self._bits(primer, b"")
        bits = np.zeros(len(groups), dtype=np.int64)
        for p, group in enumerate(groups):
            if progress is not None:
                progress.advance(p, len(groups), "primed compression")
            bits[p] = max(0, self._bits(primer, group) - before)
        counts = np.bincount(part, weights=sizes).astype(np.int64)
        return Compressed(bits, counts, part, self._bits(b"", b"".join(groups)))

    def priming_bytes(
        self, seconds: float, parts: int = PARTS, *, sample: bytes = b"", held_out: int = 0
    ) -> int:
        """How many bytes of priming text `compressed` manages in so many seconds.

        It compresses them once for each part and once more, and `held_out` bytes twice. A `sample`
        of the texts is compressed to see how fast this machine is. 0 where there is no time.
        """
        rate = self._rate(sample[:TIMED])
        each = (seconds - 2 * held_out / rate) / (parts + 1)
        fast = max(0.0, each * rate)
        # From n ** (1 + SLOWING) bytes where TIMED bytes go at the rate that was timed.
        slowed = (fast * TIMED**SLOWING) ** (1 / (1 + SLOWING))
        return int(min(fast, slowed, MOST_WINDOW))

    def _rate(self, sample: bytes) -> float:
        if not sample:
            return RATE
        started = time.perf_counter()
        self._bits(b"", sample)
        return len(sample) / max(time.perf_counter() - started, 1e-9)

    def _bits(self, before: bytes, text: bytes) -> int:
        """The bits of both, one behind the other."""
        length = len(before) + len(text)
        window = min(max(LEAST_WINDOW, 1 << length.bit_length()), MOST_WINDOW)
        method = {"id": lzma.FILTER_LZMA2, "preset": self.preset, "dict_size": window}
        stream = lzma.LZMACompressor(format=lzma.FORMAT_RAW, filters=[method])
        pieces = (stream.compress(before), stream.compress(text), stream.flush())
        return 8 * sum(map(len, pieces))


def joined(texts: Iterable[bytes]) -> bytes:
    """Texts one behind the other, each with a byte at its end: that it ends is told, too."""
    return b"".join(text + END for text in texts)


def dealt(sizes: Array, parts: int) -> Array:
    """The part of each text of `sizes` (D,) bytes: up to `parts` of about equal size, (D,) int64.

    Parts are numbered from 0; each has at least one text with something in it, if any text has.
    """
    full = np.flatnonzero(sizes)
    if not len(full):
        return np.zeros(len(sizes), dtype=np.int64)
    middle = (np.cumsum(sizes) - sizes / 2)[full] / sizes.sum()
    of_full = np.unique((middle * parts).astype(np.int64), return_inverse=True)[1]
    # An empty text goes with the last one before it that is not.
    last = np.searchsorted(full, np.arange(len(sizes)), side="right") - 1
    part: Array = of_full[np.maximum(last, 0)].astype(np.int64)
    return part
