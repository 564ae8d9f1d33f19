"""Rows that are equal: duplicates, the same inputs with different targets, train rows in test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fathom.core.prediction import Array
from fathom.core.record import Grade, Record, not_applicable
from fathom.core.schema import Schema
from fathom.data.audits.words import percent
from fathom.data.hashing import repeats_in
from fathom.data.prepare import target_values
from fathom.data.raw import Raw
from fathom.data.repeats import Repeats

_METHOD = "hash of all input values; pictures by their pixels or file"


def equal_row_records(raw: Raw, schema: Schema, repeats: Repeats) -> list[Record]:
    """`data.duplicates`, `data.conflicts` and, for a given test split, `data.straddlers`."""
    hashes, copied, what = repeats.hashes, repeats.copied, what_of(schema)
    return [
        _duplicates(raw, schema, hashes, copied),
        _conflicts(raw, schema, hashes, what),
        _straddlers(raw, repeats, what),
    ]


def what_of(schema: Schema) -> str:
    """What a row is called."""
    return "pictures" if schema.of_kind("image") else "rows"


def _duplicates(raw: Raw, schema: Schema, hashes: Array, copied: Array) -> Record:
    what = what_of(schema)
    repeats = pd.Series(hashes).duplicated().to_numpy()
    count, of_copies = int(repeats.sum()), int((repeats & copied).sum())
    share = count / len(hashes)
    if not count:
        sentence = f"No two {what} have the same inputs."
    else:
        row = int(repeats.argmax())
        first = int(np.flatnonzero(hashes == hashes[row])[0])
        sentence = (
            f"{count:,} of {len(hashes):,} {what} ({percent(share)}) "
            f"{'repeats' if count == 1 else 'repeat'} the inputs of an "
            f"earlier one, such as {raw.locate(row)} those of {raw.locate(first)}; "
            f"{_explained(schema, of_copies, count)}."
        )
    grade: Grade = "good" if share < 0.001 else "fair" if share < 0.2 else "poor"
    return Record(
        "data.duplicates",
        "data",
        sentence,
        value=share,
        unit="share",
        n=len(hashes),
        method=_METHOD,
        higher_is_better=False,
        grade=grade,
    )


def _explained(schema: Schema, of_copies: int, count: int) -> str:
    if not of_copies:
        return "so few and coarse columns make equal rows by chance"
    order = next((f.name for f in schema.fields if f.role == "order"), None)
    if order is not None:
        return f"a split along {order} may part them"
    if of_copies == count:
        return "copies stay on one side of a split that is made here"
    return f"{of_copies:,} are too unlikely for chance and stay on one side of a split made here"


def _conflicts(raw: Raw, schema: Schema, hashes: Array, what: str) -> Record:
    several = np.flatnonzero(repeats_in(hashes))
    groups = np.asarray(pd.factorize(hashes[several])[0])
    targets = target_values(raw, schema)
    deviation = 0.0 if schema.is_named else float(targets.std())
    targets = targets[several]
    if schema.is_named:
        wrong = _minority(groups, np.asarray(pd.factorize(targets)[0]))
        other = f"another {schema.target.name}"
        other += f": at best {percent(1 - wrong / len(hashes))} of all {what} can be told right"
    else:
        wrong = _spread(groups, targets, deviation)
        other = f"a {schema.target.name} that is off by over a tenth of its standard deviation"
    share = wrong / len(hashes)
    sentence = f"Equal inputs always have the same {schema.target.name}."
    if wrong:
        sentence = (
            f"{wrong:,} of {len(hashes):,} {what} ({percent(share)}) "
            f"{'has' if wrong == 1 else 'have'} the same inputs as others but {other}."
        )
    grade: Grade = "good" if share < 0.01 else "fair" if share < 0.05 else "poor"
    return Record(
        "data.conflicts",
        "data",
        sentence,
        value=share,
        unit="share",
        n=len(hashes),
        method=_METHOD,
        higher_is_better=False,
        grade=grade,
    )


def _minority(groups: Array, classes: Array) -> int:
    """Rows whose class is not the most frequent one among the rows with equal inputs."""
    counts = pd.DataFrame({"group": groups, "label": classes}).value_counts()
    return len(groups) - int(counts.groupby("group").max().sum())


def _spread(groups: Array, values: Array, deviation: float) -> int:
    """Rows whose number is far from the mean of the rows with equal inputs."""
    means = np.bincount(groups, values) / np.bincount(groups)
    return int((np.abs(values - means[groups]) > 0.1 * deviation).sum())


def _straddlers(raw: Raw, repeats: Repeats, what: str) -> Record:
    if raw.given_split is None or not (raw.given_split == "test").any():
        reason = "The data gives no test split whose rows could stand in the training data too."
        return not_applicable("data.straddlers", "data", reason)
    test, train = raw.given_split == "test", raw.given_split == "train"
    hashes, copied = repeats.hashes, repeats.copied
    seen = test & np.isin(hashes, hashes[train])
    rows = np.flatnonzero(test)
    close = rows[repeats.known(rows, np.flatnonzero(train))[1]]
    close = close[~seen[close]]
    exact, n = int(seen.sum()), len(rows)
    count = exact + len(close)
    share = count / n
    sentence = f"None of the {n:,} given test {what} stands in the training data as well."
    if exact:
        likely = int((seen & copied).sum())
        chance = "" if likely == exact else f" ({exact - likely:,} of them may do so by chance)"
        sentence = (
            f"{exact:,} of {n:,} given test {what} ({percent(exact / n)}) "
            f"{'has' if exact == 1 else 'have'} the inputs of a "
            f"training one{chance}, such as {raw.locate(int(seen.argmax()))}."
        )
    if len(close):
        sentence = sentence.removesuffix(".") if exact else f"None of the {n:,} given test {what} "
        sentence += "; " if exact else "has exactly the inputs of a training one, but "
        further = " more" if exact else ""
        sentence += (
            f"{len(close):,}{further} ({percent(len(close) / n)}) "
            f"{'is' if len(close) == 1 else 'are'} nearly the same as one, such as "
            f"{raw.locate(int(close[0]))}."
        )
    if not repeats.near.searched:
        sentence = sentence.removesuffix(".") + "; near duplicates were not looked for."
    grade: Grade = "good" if not count else "fair" if share < 0.01 else "poor"
    return Record(
        "data.straddlers",
        "data",
        sentence,
        value=share,
        unit="share",
        n=n,
        split="test",
        method=f"{_METHOD}; {repeats.near.method}" if repeats.near.searched else _METHOD,
        higher_is_better=False,
        grade=grade,
    )
