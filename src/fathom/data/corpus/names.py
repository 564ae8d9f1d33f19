"""Names of documents, held in little memory: what all lines of a file have in common once."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np

from fathom.core.prediction import Array

_NUMBERED = re.compile(r"(.*?)([1-9]\d{0,17})", re.DOTALL)


class Names(Sequence[str]):
    """A list of names, each as a stem and the number that it ends with: 'a.jsonl, line ' and 12.

    `stems` are the different ones; `codes` (n,) int32 say which stem a name has, `numbers` (n,)
    int64 the number behind it, -1 for none.
    """

    def __init__(self, stems: Sequence[str], codes: Array, numbers: Array) -> None:
        self.stems, self.codes, self.numbers = tuple(stems), codes, numbers

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        """A name, or some of them."""
        if isinstance(place, slice):
            return Names(self.stems, self.codes[place], self.numbers[place])
        stem, number = self.stems[self.codes[place]], int(self.numbers[place])
        return stem if number < 0 else f"{stem}{number}"

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))


class NameList:
    """Names that are added one by one."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._codes, self._numbers = array("i"), array("q")

    def add(self, name: str) -> None:
        """The next name."""
        numbered = _NUMBERED.fullmatch(name)
        stem, number = (numbered[1], int(numbered[2])) if numbered else (name, -1)
        self._codes.append(self._known.setdefault(stem, len(self._known)))
        self._numbers.append(number)

    def names(self) -> Names:
        """All of them."""
        codes = np.array(self._codes, dtype=np.int32)
        return Names(tuple(self._known), codes, np.array(self._numbers, dtype=np.int64))
