"""Leaks: input columns that alone predict the target so well that they can only be copies of it.

Each column predicts the target by itself, out of fold. A column is called a leak where it does so
almost perfectly and the lower end of the interval is still almost perfect: a strong but honest
measurement in a small table is not. A short code that stands for each class one to one is a leak
with fewer rows, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.tree import DecisionTreeClassifier

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.core.randomness import numpy_generator
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.core.schema import Field, Schema, TimeStatistics
from fathom.data import cells
from fathom.data.audits.label_guesses import labels_by_codes, labels_by_tree
from fathom.data.audits.series_ids import LongTable, find_long_table
from fathom.data.labels import indicator, label_counts
from fathom.data.prepare import target_values
from fathom.data.raw import Raw

SAMPLE = 20_000
SCREEN = 2_000  # rows on which a column must look promising before all of the sample is used
PROMISING = 0.9
FOLDS = 5
PERFECT = {"classification": 0.995, "multilabel": 0.995, "regression": 0.999}
SURE = {
    "classification": 0.98,
    "multilabel": 0.98,
    "regression": 0.995,
}  # what the interval's lower end must reach
SUSPECT = 0.97  # worth a word, not a stop
MINIMUM_ROWS = 18  # of 30 rows in all, so many train
MINIMUM_CLASS = 5  # rows of a class, below which it says nothing
NAMES = {
    "classification": "balanced accuracy",
    "multilabel": "balanced accuracy",
    "regression": "R²",
}


@dataclass(frozen=True)
class Leaks:
    """The leaking columns, strongest first, and the record that says so.

    `series` is there where one of them only names series, of which the rows are steps.
    """

    columns: tuple[str, ...]
    record: Record
    series: LongTable | None = None


@dataclass(frozen=True)
class Score:
    """How well one column alone predicts the target, and the lower end of a 95 % interval.

    `about` is the label that is predicted best, where there are several at once.
    """

    column: str
    value: float
    low: float
    one_to_one: bool = False
    about: str = ""

    def leaks(self, task: str) -> bool:
        """Whether this can only be the target in another guise."""
        return self.one_to_one or (self.value >= PERFECT[task] and self.low >= SURE[task])


def find_leaks(
    raw: Raw,
    schema: Schema,
    *,
    seed: int,
    budget: Budget,
    progress: Progress,
    training: Array | None = None,
) -> Leaks:
    """Score the scalar inputs one by one on at most 20,000 of the rows `training`.

    By default those are the rows that are given to train on, or all where no split is given.
    """
    if training is None:
        given = raw.given_split
        training = np.arange(len(raw)) if given is None else np.flatnonzero(given == "train")
    fields = schema.of_kind("number", "category", "boolean", "time")
    rows = numpy_generator(seed, "leaks", "rows").permutation(training)[:SAMPLE]
    if not fields or len(rows) < MINIMUM_ROWS:
        reason = (
            f"Leaks are looked for from {MINIMUM_ROWS} training rows on; there are {len(rows)}."
            if fields
            else "There is no scalar input column that could give the target away."
        )
        return Leaks((), not_applicable("data.leak", "data", reason))
    sample = raw.take(rows)
    target = target_values(sample, schema)
    folds = numpy_generator(seed, "leaks", "folds").permutation(len(rows)) % FOLDS
    scores = []
    for done, field in enumerate(fields):
        if budget.exhausted:
            break
        scores.append(_score(sample, schema, field, target, folds))
        progress.advance(done + 1, len(fields), field.name)
    leaking = [score.column for score in scores if score.leaks(schema.task)]
    series = find_long_table(raw.take(np.sort(rows)), schema, leaking) if leaking else None
    return _leaks(schema, scores, len(fields), len(rows), series)


def _score(raw: Raw, schema: Schema, field: Field, target: Array, folds: Array) -> Score:
    column = cells.scalars(raw.table, field.name)
    # Being missing may give the target away, so it is a value of its own.
    codes = np.asarray(pd.factorize(column, use_na_sentinel=False)[0], dtype=np.int64)
    values = _ordered(field, column)
    if schema.task == "multilabel":
        return score_labels(field.name, values, codes, target, folds)
    if schema.task == "classification":
        classes, _ = pd.factorize(target)
        classes = np.asarray(classes, dtype=np.int64)
        value, low = _told_apart(values, codes, classes, folds)
        return Score(field.name, value, low, stands_for(codes, classes))
    says = [means_by_code(codes, target, folds)]
    if values is not None:
        says = [interpolated(values, target, folds), fitted_line(values, target, folds)]
    value = max(r_squared(target, said) for said in says)
    if values is not None and not np.isnan(values).any():
        value = max(value, _monotone(values, target))
    return Score(field.name, value, _r_squared_low(value, len(target)))


def score_labels(
    name: str, values: Array | None, codes: Array, texts: Array, folds: Array
) -> Score:
    """The label that one column alone tells best; `texts` (n,) are label sets.

    One tree of all labels together serves for all of them: its leaves hold every label's share, and
    a label is said where it is more frequent than it is on the whole.
    """
    labels = sorted(label_counts(texts))
    truth = indicator(texts, labels)
    usable = np.minimum(truth.sum(axis=0), len(truth) - truth.sum(axis=0)) >= MINIMUM_CLASS
    if not usable.any():
        return Score(name, 0.0, 0.0)
    names = [label for label, use in zip(labels, usable, strict=True) if use]
    truth = truth[:, usable]
    said = labels_by_codes(codes, truth, folds)
    if values is not None:
        said = labels_by_tree(_tree_column(values), truth, folds)
    scores = []
    for k, label in enumerate(names):
        classes = truth[:, k].astype(np.int64)
        value, low = balanced_accuracy(classes, said[:, k].astype(np.int64))
        scores.append(Score(name, value, low, stands_for(codes, classes), label))
    return max(scores, key=lambda score: (score.one_to_one, score.value))


def _told_apart(
    values: Array | None, codes: Array, classes: Array, folds: Array
) -> tuple[float, float]:
    """Balanced accuracy of one column alone and its lower end; trees are screened on few rows."""
    if values is None:
        return balanced_accuracy(classes, said_by_codes(codes, classes, folds))
    first = slice(SCREEN)  # the rows are in random order
    enough = np.bincount(classes[first], minlength=int(classes.max()) + 1).min() >= 20
    if len(classes) > SCREEN and enough:
        said = said_by_tree(values[first], classes[first], folds[first])
        screened = balanced_accuracy(classes[first], said)
        if screened[0] < PROMISING:
            return screened
    return balanced_accuracy(classes, said_by_tree(values, classes, folds))


def _ordered(field: Field, column: pd.Series) -> Array | None:
    """The column as float64 with NaN where missing; None for categories, which have no order."""
    if field.kind == "number":
        return cells.numbers(column)
    if isinstance(field.statistics, TimeStatistics):
        return cells.seconds(column, field.statistics.layout)
    return None


def said_by_codes(codes: Array, classes: Array, folds: Array) -> Array:
    """The class most over-represented among the other folds' rows of the same code, (n,)."""
    shape = (int(codes.max()) + 1, int(classes.max()) + 1)
    weights = 1.0 / np.bincount(classes)[classes]  # every class counts the same
    said = np.zeros(len(codes), dtype=np.int64)
    for fold in range(FOLDS):
        seen = folds != fold
        table = np.bincount(
            codes[seen] * shape[1] + classes[seen], weights[seen], minlength=shape[0] * shape[1]
        ).reshape(shape)
        said[~seen] = table.argmax(axis=1)[codes[~seen]]
    return said


def said_by_tree(values: Array, classes: Array, folds: Array) -> Array:
    """The class that a small decision tree on one column says, grown on the other folds, (n,)."""
    column = _tree_column(values)
    leaves = max(32, 4 * (int(classes.max()) + 1))
    said = np.zeros(len(values), dtype=np.int64)
    for fold in range(FOLDS):
        seen = folds != fold
        tree = DecisionTreeClassifier(
            max_leaf_nodes=leaves, min_samples_leaf=2, class_weight="balanced", random_state=0
        )
        said[~seen] = tree.fit(column[seen], classes[seen]).predict(column[~seen])
    return said


def _tree_column(values: Array) -> Array:
    """A column as a tree takes it, (n, 1) float32."""
    most = float(np.finfo(np.float32).max)
    return np.clip(_filled(values), -most, most)[:, None].astype(np.float32)


def balanced_accuracy(classes: Array, said: Array) -> tuple[float, float]:
    """Mean share of right answers by class, and the lower end of its 95 % interval.

    The interval joins Wilson's intervals of the classes. Classes of fewer than 5 rows are left out.
    """
    counts = np.bincount(classes)
    right = np.bincount(classes, classes == said)
    usable = counts >= MINIMUM_CLASS
    if usable.sum() < 2:
        return 0.0, 0.0
    n, p = counts[usable], right[usable] / counts[usable]
    z = 1.96
    center = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    error = np.sqrt(np.sum((p - (center - half)) ** 2)) / len(n)
    return float(p.mean()), float(p.mean() - error)


def stands_for(codes: Array, classes: Array) -> bool:
    """Whether the column has one value for each class and nothing else, for classes of 5 and more.

    A measurement that happens to separate small classes takes many values; a copy takes as many as
    there are classes.
    """
    k = int(classes.max()) + 1
    if int(codes.max()) + 1 != k or np.bincount(classes).min() < MINIMUM_CLASS:
        return False
    return len(np.unique(codes * k + classes)) == k


def means_by_code(codes: Array, target: Array, folds: Array) -> Array:
    """The mean target of the other folds' rows of the same code, (n,)."""
    said = np.zeros(len(codes))
    for fold in range(FOLDS):
        seen = folds != fold
        count = np.bincount(codes[seen], minlength=codes.max() + 1)
        total = np.bincount(codes[seen], target[seen], minlength=codes.max() + 1)
        means = np.where(count > 0, total / np.maximum(count, 1), target[seen].mean())
        said[~seen] = means[codes[~seen]]
    return said


def interpolated(values: Array, target: Array, folds: Array) -> Array:
    """The target read off between the nearest values of the other folds, (n,)."""
    filled = _filled(values)
    said = np.zeros(len(values))
    for fold in range(FOLDS):
        seen = folds != fold
        points, place = np.unique(filled[seen], return_inverse=True)
        means = np.bincount(place, target[seen]) / np.bincount(place)
        said[~seen] = np.interp(filled[~seen], points, means)
    return said


def fitted_line(values: Array, target: Array, folds: Array) -> Array:
    """The target on a straight line through the other folds' rows, (n,)."""
    present = ~np.isnan(values)
    said = np.full(len(values), target.mean())
    for fold in range(FOLDS):
        seen = (folds != fold) & present
        if seen.sum() >= 2 and np.ptp(values[seen]) > 0:
            center = values[seen].mean()
            slope = np.cov(values[seen], target[seen])[0, 1] / values[seen].var(ddof=1)
            asked = (folds == fold) & present
            said[asked] = target[seen].mean() + slope * (values[asked] - center)
    return said


def r_squared(target: Array, said: Array) -> float:
    """Share of the target's variance that is explained; 0 where it has none."""
    variance = float(np.square(target - target.mean()).sum())
    return 1.0 - float(np.square(target - said).sum()) / variance if variance > 0 else 0.0


def _monotone(values: Array, target: Array) -> float:
    """Squared rank correlation: near 1 for a logarithm of the target, whatever its tails."""
    if len(np.unique(target)) < MINIMUM_ROWS or np.ptp(values) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(values), rankdata(target))[0, 1]) ** 2


def _r_squared_low(value: float, n: int) -> float:
    """Fisher's interval of the multiple correlation."""
    correlation = np.sqrt(np.clip(value, 0.0, 1.0 - 1e-12))
    return float(np.tanh(max(0.0, np.arctanh(correlation) - 1.96 / np.sqrt(n - 3))) ** 2)


def _filled(values: Array) -> Array:
    present = values[~np.isnan(values)]
    below = float(present.min()) - max(1.0, float(np.ptp(present))) if len(present) else 0.0
    return np.where(np.isnan(values), below, values)


def _leaks(
    schema: Schema, scores: list[Score], columns: int, n: int, series: LongTable | None
) -> Leaks:
    scores = sorted(scores, key=lambda s: -s.value)
    leaking = tuple(s.column for s in scores if s.leaks(schema.task))
    method = (
        f"each column alone predicts {schema.target.name}, in {FOLDS} folds, on {n:,} training rows"
    )
    if n > SCREEN and schema.task == "classification":
        method += f" (numbers on {SCREEN:,} first, and on all if promising)"
    if len(scores) < columns:
        method += f"; {len(scores)} of {columns} columns before the time was spent"
    if not scores:
        record = Record("data.leak", "data", "There was no time to look for leaks.", method=method)
        return Leaks((), record)
    measure, best = NAMES[schema.task], scores[0]
    sentence, grade = _verdict(schema, leaking, best, measure, series)
    shown = scores[:20]
    figure = Figure(
        "bars",
        {
            "labels": [s.column for s in shown],
            "values": [round(max(0.0, s.value), 4) for s in shown],
            "low": None,
            "high": None,
            "x_label": f"{measure} of one column alone",
            "highlight": 0 if leaking else None,
        },
    )
    record = Record(
        "data.leak",
        "data",
        sentence,
        value=float(len(leaking)),
        unit="columns",
        n=n,
        split="train",
        method=method,
        higher_is_better=False,
        grade=grade,
        figure=figure,
    )
    return Leaks(leaking, record, series)


def _verdict(
    schema: Schema,
    leaking: tuple[str, ...],
    best: Score,
    measure: str,
    series: LongTable | None,
) -> tuple[str, Grade]:
    target = f"the label {best.about}" if best.about else schema.target.name
    if leaking:
        names = ", ".join(map(repr, leaking[:5])) + (" …" if len(leaking) > 5 else "")
        way_out = "leave it out with --drop unless it is truly known beforehand"
        return (
            f"{names} alone {'gives' if len(leaking) == 1 else 'give'} {target} away "
            f"({measure} {best.value:.4f}): any score would be an illusion; "
            f"{series.way_out if series else way_out}."
        ), "poor"
    score = f"{best.column} alone reaches {measure} {best.value:.3f}"
    if best.value >= SUSPECT:
        return f"{score}: make sure that it is known before {target} is.", "fair"
    target = schema.target.name
    if best.value <= 0:
        return f"No single column says anything about {target} by itself.", "good"
    return f"No column gives {target} away: the strongest, {score}.", "good"
