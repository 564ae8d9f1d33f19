"""Texts that are nearly the same: a message sent twice with a name, a number or a sign changed.

A text is seen as the set of its runs of some characters, without regard to case and blanks. Rows
whose smallest hashes agree are nominated (MinHash, Broder 1997, doi:10.1109/SEQUEN.1997.666900, in
bands, so that like sets meet in one of them); their sets themselves confirm: of all runs in either
text most must be in both. All other columns of the two rows must agree as in `near_rows`. Short
texts are alike by chance and are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import sparse

from fathom.core.prediction import Array
from fathom.core.schema import Schema
from fathom.data import cells
from fathom.data.near_rows import coarse, simplified
from fathom.data.table import Table
from fathom.data.wording import count_words

NEAR = 0.7  # of the runs in either text must be in both
RUN, SPACELESS_RUN = 5, 3  # characters
SPACED = 12.0  # characters a word on average, above which a text has no spaces to speak of
FEWEST_RUNS = 20  # of a text that can be told from others
BANDS, HASHES = 10, 3  # of sets that agree in 0.8 of their runs one in 1,000 is missed
NEIGHBOURS = 3  # rows with which each of a bucket is compared
MOST_CHARACTERS = 2_000  # of a text: what begins alike for so long is alike
AT_ONCE = 2_000_000  # characters
PAIRS_AT_ONCE = 20_000
SECONDS_PER_CHARACTER = 1.5e-6  # of one core
_STEP = 0x9E3779B97F4A7C15
_PRIME = np.uint64(_STEP)
_SEPARATOR = "\x1f"


def near_texts(schema: Schema, table: Table, hashes: Array) -> Array:
    """Pairs (m, 2) int64 of rows with nearly equal texts; `hashes` (n,) are those of whole rows.

    Rows that are exactly equal are no pair, and of many alike each is paired with some others.
    """
    texts = _written(schema, table)
    run = _run_of(texts)
    sketches = np.full((len(texts), BANDS * HASHES), np.iinfo(np.uint64).max, dtype=np.uint64)
    for rows, starts, found in _runs(texts, run):
        for place in range(BANDS * HASHES):
            sketches[rows, place] = np.minimum.reduceat(_scattered(found, place), starts)
    enough = np.flatnonzero(np.array([len(text) >= run + FEWEST_RUNS for text in texts]))
    pairs = enough[_nominated(sketches[enough])]
    pairs = pairs[hashes[pairs[:, 0]] != hashes[pairs[:, 1]]]
    for field in schema.inputs:
        if field.kind != "text" and len(pairs):
            values = coarse(field, table)
            pairs = pairs[values[pairs[:, 0]] == values[pairs[:, 1]]]
    return _confirmed(texts, run, pairs)


def seconds_for(schema: Schema, table: Table) -> float:
    """About how long looking takes, by the length of the texts alone."""
    return SECONDS_PER_CHARACTER * sum(map(len, _written(schema, table)))


def _written(schema: Schema, table: Table) -> list[str]:
    """All texts of each row as one, simplified."""
    columns = []
    for field in schema.of_kind("text"):
        texts = cells.texts(cells.scalars(table, field.name))
        columns.append(simplified(np.array([text or "" for text in texts], dtype=object)))
    return [_SEPARATOR.join(parts)[:MOST_CHARACTERS] for parts in zip(*columns, strict=True)]


def _run_of(texts: list[str]) -> int:
    some = texts[:: max(1, len(texts) // 1_000)]
    characters, words = sum(map(len, some)), sum(map(len, map(str.split, some)))
    spaced = characters <= SPACED * max(words, 1) and words >= sum(map(count_words, some)) / 2
    return RUN if spaced else SPACELESS_RUN


def _runs(texts: list[str], run: int) -> Iterator[tuple[Array, Array, Array]]:
    """For some rows after the other: the rows that have runs, where theirs start, and the runs of
    all of them end to end as uint64 hashes.
    """
    lengths = np.array([max(0, len(text) - run + 1) for text in texts], dtype=np.int64)
    parts = np.cumsum(np.array([len(text) for text in texts], dtype=np.int64)) // AT_ONCE
    for part in np.unique(parts):
        rows = np.flatnonzero((parts == part) & (lengths > 0))
        if not len(rows):
            continue
        joined = "".join(texts[row] for row in rows)
        points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
        codes = points.astype(np.uint64)
        hashed = np.zeros(len(codes) - run + 1, dtype=np.uint64)
        for place in range(run):
            hashed = hashed * _PRIME + codes[place : len(codes) - run + 1 + place]
        of_text = np.array([len(texts[row]) for row in rows], dtype=np.int64)
        starts = np.cumsum(of_text) - of_text
        keep = np.ones(len(hashed), dtype=bool)
        for place in range(run - 1):  # runs over the end of a text
            keep[(starts[1:] - 1 - place)] = False
        yield rows, np.cumsum(lengths[rows]) - lengths[rows], hashed[keep]


def _scattered(values: Array, place: int) -> Array:
    """Hashes (n,) scattered otherwise for each place (SplitMix64)."""
    x = values ^ np.uint64((place + 1) * _STEP % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray((x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB))


def _nominated(sketches: Array) -> Array:
    """Pairs (m, 2) of rows that agree in all hashes of a band, each with the next few."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for band in range(BANDS):
        part = sketches[:, band * HASHES : (band + 1) * HASHES]
        keys = part[:, 0] * _PRIME + part[:, 1]
        keys = (keys ^ (keys >> np.uint64(29))) * _PRIME + part[:, 2]
        order = np.argsort(keys, kind="stable")
        ranked = keys[order]
        for step in range(1, NEIGHBOURS + 1):
            same = np.flatnonzero(ranked[step:] == ranked[:-step])
            found.append(np.sort(np.stack([order[same], order[same + step]], axis=1), axis=1))
    return np.unique(np.concatenate(found), axis=0)


def _confirmed(texts: list[str], run: int, pairs: Array) -> Array:
    """The pairs whose sets of runs agree in NEAR of all."""
    kept = [np.empty((0, 2), dtype=np.int64)]
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        some = pairs[start : start + PAIRS_AT_ONCE]
        asked, places = np.unique(some, return_inverse=True)
        member = _members([texts[row] for row in asked], run)
        places = places.reshape(some.shape)
        sizes = np.asarray(member.sum(axis=1)).ravel()
        both = np.asarray(member[places[:, 0]].multiply(member[places[:, 1]]).sum(axis=1)).ravel()
        either = sizes[places].sum(axis=1) - both
        kept.append(some[both >= NEAR * either])
    return np.concatenate(kept)


def _members(texts: list[str], run: int) -> sparse.csr_matrix:
    """Which runs occur in which text, (n, runs) of 0 and 1."""
    rows, values = [np.empty(0, np.int64)], [np.empty(0, np.uint64)]
    for some, starts, found in _runs(texts, run):
        rows.append(np.repeat(some, np.diff(np.append(starts, len(found)))))
        values.append(found)
    columns, distinct = pd.factorize(np.concatenate(values))
    cells_of = np.concatenate(rows) * max(1, len(distinct)) + columns
    once = np.unique(cells_of)
    where = np.divmod(once, max(1, len(distinct)))
    shape = (len(texts), max(1, len(distinct)))
    return sparse.csr_matrix((np.ones(len(once), dtype=np.int64), where), shape=shape)
