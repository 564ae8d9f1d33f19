"""Alike: documents that are copies or near duplicates, and so must stay on one side of a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fathom.core.prediction import Array
from fathom.data.corpus.sketch import near_between, near_pairs
from fathom.data.corpus.splits import Repeated, Straddlers
from fathom.data.corpus.survey import Survey
from fathom.data.repeats import LEAST_CHAIN, LONGEST_CHAIN, components


@dataclass(frozen=True)
class Units:
    """What stays together: `of` (D,) int64 the unit of each document.

    Of each unit, `sizes` (U,) int64 are its bytes, `counts` (U,) int64 its documents, `different`
    (U,) int64 how many of these are no copies of each other, `first` (U,) int64 one of them.
    """

    of: Array
    sizes: Array
    counts: Array
    different: Array
    first: Array
    repeated: Repeated


def find_units(survey: Survey) -> Units:
    """Documents joined with their copies, and with near duplicates unless a chain is endless."""
    own = np.asarray(pd.factorize(survey.hashes)[0], dtype=np.int64)
    copied = (np.bincount(own) > 1)[own]
    of, too_long = own, 0
    pairs = near_pairs(survey.sketches, survey.told) if survey.near else np.empty((0, 2), np.int64)
    pairs = pairs[own[pairs[:, 0]] != own[pairs[:, 1]]]
    if len(pairs):
        of = components(own, own[pairs])
        most = max(LEAST_CHAIN, int(LONGEST_CHAIN * len(own)), int(np.bincount(own).max()))
        long = np.bincount(of)[of] > most
        too_long = int(long.sum())
        of = components(own, own[pairs[~long[pairs[:, 0]]]])
    near = int(((np.bincount(of) > 1)[of] & ~copied).sum())
    _, first_copies = np.unique(own, return_index=True)
    _, first = np.unique(of, return_index=True)
    return Units(
        of,
        np.bincount(of, weights=survey.sizes).astype(np.int64),
        np.bincount(of),
        np.bincount(of[first_copies]),
        first,
        Repeated(int(copied.sum()), near, too_long, survey.why_not),
    )


def find_straddlers(survey: Survey, test: Survey, trains: Array) -> Straddlers:
    """Which documents stand in a test corpus, and among those of another that train, (D,) bool."""
    exact_train = trains & np.isin(survey.hashes, test.hashes)
    exact_test = np.isin(test.hashes, survey.hashes[trains])
    near_train, near_test = exact_train.copy(), exact_test.copy()
    if survey.near and test.near:
        ours, theirs = (survey.sketches, survey.told & trains), (test.sketches, test.told)
        # Both ways, since of many that are alike only some are compared each time.
        for pairs in (near_between(ours, theirs), near_between(theirs, ours)[:, ::-1]):
            near_train[pairs[:, 0]] = True
            near_test[pairs[:, 1]] = True
    return Straddlers(
        np.flatnonzero(near_train), np.flatnonzero(near_test), np.flatnonzero(exact_test)
    )
