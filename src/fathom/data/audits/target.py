"""The size of the data and the spread of its target: rows, imbalance and small classes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fathom.core.prediction import Array
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.core.schema import Schema
from fathom.data.audits.words import percent
from fathom.data.labels import EMPTY, label_counts
from fathom.data.learn import target_classes
from fathom.data.prepare import target_values
from fathom.data.raw import Raw

SMALL_CLASS = 20  # rows, below which a class's own figures say little
SHOWN = 30  # bars of a figure


def target_records(raw: Raw, schema: Schema) -> list[Record]:
    """`data.rows`, `data.imbalance` and `data.small_classes`."""
    if schema.task == "regression":
        reason = "The target is a number: there are no classes to be balanced."
        return [
            _rows(raw, schema, _histogram(schema, target_values(raw, schema))),
            not_applicable("data.imbalance", "data", reason),
            not_applicable("data.small_classes", "data", reason),
        ]
    if schema.task == "multilabel":
        return _label_records(raw, schema)
    statistics = target_classes(pd.Series(target_values(raw, schema)))
    names, counts = list(statistics.vocabulary), np.array(statistics.counts)
    return [_rows(raw, schema, None), _imbalance(names, counts), _small_classes(names, counts)]


def _rows(raw: Raw, schema: Schema, figure: Figure | None) -> Record:
    kinds = pd.Series([f.kind for f in schema.inputs]).value_counts()
    made_of = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    columns = "column" if len(schema.inputs) == 1 else "columns"
    given = ""
    if raw.given_split is not None:
        parts = pd.Series(raw.given_split).value_counts(sort=False)
        given = "; given " + ", ".join(f"{count:,} {part}" for part, count in parts.items())
    n = len(raw)
    grade: Grade = "good" if n >= 2000 else "fair" if n >= 200 else "poor"
    few = "" if grade != "poor" else "; so few rows make every figure uncertain"
    return Record(
        "data.rows",
        "data",
        f"{n:,} rows with {len(schema.inputs)} input {columns} ({made_of}){given}{few}.",
        value=float(n),
        unit="rows",
        n=n,
        method="rows with a target",
        higher_is_better=True,
        grade=grade,
        figure=figure,
    )


def _imbalance(names: list[str], counts: Array) -> Record:
    largest, smallest = int(counts.argmax()), int(counts.argmin())
    ratio = float(counts.max() / counts.min())
    sentence = (
        f"{len(names)} classes; the largest, {names[largest]}, has {counts.max():,} rows "
        f"({percent(counts.max() / counts.sum())}), the smallest, {names[smallest]}, "
        f"{counts.min():,} ({percent(counts.min() / counts.sum())})."
    )
    if ratio < 1.2:
        sentence = f"{len(names)} classes of nearly equal size, {counts.min():,} rows and more."
    order = np.argsort(-counts, kind="stable") if len(names) > SHOWN else np.arange(len(names))
    figure = Figure(
        "bars",
        {
            "labels": [names[i] for i in order[:SHOWN]],
            "values": [int(counts[i]) for i in order[:SHOWN]],
            "low": None,
            "high": None,
            "x_label": "rows" if len(names) <= SHOWN else f"rows ({SHOWN} largest classes)",
            "highlight": None,
        },
    )
    grade: Grade = "good" if ratio < 3 else "fair" if ratio < 20 else "poor"
    return Record(
        "data.imbalance",
        "data",
        sentence,
        value=ratio,
        unit="largest / smallest class",
        n=int(counts.sum()),
        method="count of rows by class",
        higher_is_better=False,
        grade=grade,
        figure=figure,
    )


def _small_classes(names: list[str], counts: Array) -> Record:
    small = np.flatnonzero(counts < SMALL_CLASS)
    single = [names[i] for i in np.flatnonzero(counts == 1)]
    listed = ", ".join(f"{names[i]} ({counts[i]})" for i in small[:8])
    sentence = f"Every class has {SMALL_CLASS} rows or more."
    if len(small):
        noun = "class has" if len(small) == 1 else "classes have"
        sentence = f"{len(small)} {noun} fewer than {SMALL_CLASS} rows: {listed}"
        sentence += " …." if len(small) > 8 else "."
    if single:
        listed = ", ".join(single[:5]) + (" …" if len(single) > 5 else "")
        sentence += f" A class of one row ({listed}) can be learned or tested, not both."
    grade: Grade = "good" if not len(small) else "poor" if counts[small].min() < 5 else "fair"
    return Record(
        "data.small_classes",
        "data",
        sentence,
        value=float(len(small)),
        unit="classes",
        n=int(counts.sum()),
        method=f"classes of fewer than {SMALL_CLASS} rows",
        higher_is_better=False,
        grade=grade,
    )


def _label_records(raw: Raw, schema: Schema) -> list[Record]:
    """The same of labels, of which a row may have none or several."""
    texts = target_values(raw, schema)
    reading = schema.label_reading
    known = reading.columns if reading is not None and len(reading.columns) > 1 else ()
    rows = dict.fromkeys(known, 0) | label_counts(texts)
    names = sorted(rows, key=lambda name: -rows[name])
    counts = np.array([rows[name] for name in names])
    return [_rows(raw, schema, None), _label_imbalance(texts, names, counts), _small(names, counts)]


def _label_imbalance(texts: Array, names: list[str], counts: Array) -> Record:
    n = len(texts)
    empty = int((texts == EMPTY).sum())
    none = f"; {empty:,} rows ({percent(empty / n)}) have none" if empty else ""
    figure = Figure(
        "bars",
        {
            "labels": names[:SHOWN],
            "values": counts[:SHOWN].tolist(),
            "low": None,
            "high": None,
            "x_label": "rows" if len(names) <= SHOWN else f"rows ({SHOWN} most frequent labels)",
            "highlight": None,
        },
    )
    # A label that nearly all rows have is as lopsided as one that nearly none has.
    rarer = np.minimum(counts, n - counts)
    ratio = float((n - rarer.min()) / max(1, rarer.min()))
    grade: Grade = "good" if ratio < 10 else "fair" if ratio < 50 else "poor"
    return Record(
        "data.imbalance",
        "data",
        f"{len(names)} labels, {counts.sum() / n:.2f} a row on average; the most frequent, "
        f"{names[0]}, is on {counts[0]:,} rows ({percent(counts[0] / n)}), the rarest, "
        f"{names[-1]}, on {counts[-1]:,} ({percent(counts[-1] / n)}){none}.",
        value=ratio,
        unit="rows without to rows with a label, or the reverse, at most",
        n=n,
        method="count of rows by label",
        higher_is_better=False,
        grade=grade,
        figure=figure,
    )


def _small(names: list[str], counts: Array) -> Record:
    small = [f"{n} ({c:,})" for n, c in zip(names, counts, strict=True) if c < SMALL_CLASS][::-1]
    sentence = f"Every label is on {SMALL_CLASS} rows or more."
    if small:
        noun = "label is" if len(small) == 1 else "labels are"
        listed = ", ".join(small[:8]) + (" …" if len(small) > 8 else "")
        sentence = f"{len(small):,} {noun} on fewer than {SMALL_CLASS} rows: {listed}."
    grade: Grade = "good" if not small else "poor" if counts.min() < 5 else "fair"
    return Record(
        "data.small_classes",
        "data",
        sentence,
        value=float(len(small)),
        unit="labels",
        n=int(counts.sum()),
        method=f"labels on fewer than {SMALL_CLASS} rows",
        higher_is_better=False,
        grade=grade,
    )


def _histogram(schema: Schema, values: Array) -> Figure:
    low, high = np.quantile(values, [0.001, 0.999])  # a far outlier would flatten the picture
    counts, edges = np.histogram(values, bins=40, range=(low, high) if high > low else None)
    return Figure(
        "histogram",
        {
            "edges": [float(e) for e in edges],
            "series": [{"name": "rows", "counts": [int(c) for c in counts]}],
            "x_label": schema.target.name,
        },
    )
