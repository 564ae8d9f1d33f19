"""Learned: which documents a network has learned from, so that they are not what tests the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fathom.core.prediction import Array


@dataclass(frozen=True)
class Learned:
    """Documents that something was learned from, by `hashes` (k,) uint64, in order and once each.

    `kept` (k, 2) int64 are the bytes, from and to, that were kept out of it; equal where none were.
    """

    hashes: Array
    kept: Array

    @classmethod
    def of(cls, hashes: Array, kept: Array) -> Learned:
        """Of documents in any order; of copies the bytes that all have kept out."""
        unique, place = np.unique(hashes, return_inverse=True)
        found = np.tile(np.array([0, np.iinfo(np.int64).max]), (len(unique), 1))
        np.maximum.at(found[:, 0], place, kept[:, 0])
        np.minimum.at(found[:, 1], place, kept[:, 1])
        found[:, 1] = np.maximum(found[:, 1], found[:, 0])
        return cls(unique, found)

    def __len__(self) -> int:
        return len(self.hashes)

    def joined(self, later: Learned) -> Learned:
        """What either has learned."""
        hashes = np.concatenate([self.hashes, later.hashes])
        return Learned.of(hashes, np.concatenate([self.kept, later.kept]))

    def find(self, hashes: Array) -> Array:
        """The place of each of some documents (D,) among these, (D,) int64, -1 where unknown."""
        places = np.searchsorted(self.hashes, hashes)
        places = np.minimum(places, max(0, len(self) - 1))
        there = np.isin(hashes, self.hashes)
        found: Array = np.where(there, places, -1).astype(np.int64)
        return found


def nothing_learned() -> Learned:
    """Of a network that begins with fresh weights."""
    return Learned(np.empty(0, dtype=np.uint64), np.empty((0, 2), dtype=np.int64))
