"""Can its probabilities be believed? Expected calibration error before and after the temperature.

Guo et al. 2017 (arXiv 1706.04599); bins of equal mass, because bins of equal width leave most
examples of a good network in the last one (Nixon et al. 2019, arXiv 1904.01685).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array, Claims
from fathom.core.quantities import percent_digits
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.intervals import LEVEL, Estimate, draws_for
from fathom.evidence.measure import evidence
from fathom.evidence.subject import NETWORK, Subject

BINS = 15
A_BIN = 10  # claims at least, where there are fewer than 150: a share of three says nothing
NOTHING_DONE = "Nothing was calibrated: the network's outputs are used as they are."
# Within two points of the truth a stated confidence can be acted upon as it stands; beyond five
# one stated 'ninety per cent' may well be eighty-five.
GOOD_ERROR, FAIR_ERROR = 0.02, 0.05
# Of labels, most of which hardly ever hold, that is a share of the rate at which they do: where
# they hold in 1 % of cases, one who always says 0 is off by a mere point, and has said nothing.


@dataclass(frozen=True)
class Reliability:
    """Per bin, from the least confident: mean confidence, share right, and how many, (B,)."""

    confidence: Array
    accuracy: Array
    count: Array

    @property
    def error(self) -> float:
        """The expected calibration error: mean distance of confidence from accuracy."""
        apart = np.abs(self.confidence - self.accuracy)
        return float(np.sum(self.count * apart) / self.count.sum())


def bin_of(confidence: Array) -> Array:
    """The bin of each confidence (n,), from 0 on: equally many in each, equal ones together.

    There are BINS, fewer where one would hold less than A_BIN or where confidences repeat,
    numbered without gaps.
    """
    bins = int(np.clip(len(confidence) // A_BIN, 1, BINS))
    ranks = np.searchsorted(np.sort(confidence), confidence)  # equal values share the lowest rank
    places = np.minimum(ranks * bins // max(len(confidence), 1), bins - 1)
    return np.unique(places, return_inverse=True)[1]


def reliability(confidence: Array, right: Array) -> Reliability:
    """Confidence against accuracy in bins of equal mass; `right` (n,) Boolean."""
    places = bin_of(confidence)
    count = np.bincount(places)
    mean_confidence = np.bincount(places, weights=confidence) / count
    return Reliability(mean_confidence, np.bincount(places, weights=right) / count, count)


def calibration_error(
    confidence: Array,
    right: Array,
    generator: np.random.Generator,
    rows: Array | None = None,
    claimed: str = "every label of every row",
) -> Estimate:
    """Expected calibration error with a basic bootstrap interval over fixed bins.

    `rows` (m,) tells which row each of the m claims is of, where rows make several: what is drawn
    anew are rows then, whose claims hang together. `claimed` says for the method what they claim.

    Noise can only add to an error that is a mean of absolute values, and resampling adds it once
    more; the basic interval (2 e - quantiles) takes that second helping off again.
    """
    value = reliability(confidence, right).error
    places, apart = bin_of(confidence), confidence - right
    if rows is None:
        draws, what = _resampled(places, apart, generator), "top class"
    else:
        draws = _resampled_rows(places, apart, rows, generator)
        what = claimed
    low, high = np.quantile(draws, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    ends = max(0.0, 2 * value - float(high)), max(0.0, 2 * value - float(low))
    bins = wording.plural(int(places.max()) + 1, "bin")
    method = f"{what}, {bins} of equal mass, basic bootstrap, {len(draws):,} draws"
    return Estimate(value, min(ends[0], value), max(ends[1], value), method)


def _resampled(places: Array, apart: Array, generator: np.random.Generator) -> Array:
    """Errors of bootstrap samples of rows: `places` (n,) bins, `apart` (n,) confidence - right."""
    n, bins = len(apart), int(places.max()) + 1
    errors = np.empty(draws_for(n))
    for draw in range(len(errors)):
        rows = generator.integers(0, n, size=n)
        sums = np.bincount(places[rows], weights=apart[rows], minlength=bins)
        errors[draw] = np.abs(sums).sum() / n
    return errors


def _resampled_rows(
    places: Array, apart: Array, rows: Array, generator: np.random.Generator
) -> Array:
    """The same of rows that make several claims each; `rows` (m,) counts from 0."""
    n, bins = int(rows.max()) + 1, int(places.max()) + 1
    of_row = np.bincount(rows * bins + places, weights=apart, minlength=n * bins)
    sums = of_row.reshape(n, bins)
    errors = [
        np.abs(np.bincount(generator.integers(0, n, size=n), minlength=n) @ sums).sum()
        for _ in range(draws_for(n))
    ]
    return np.array(errors) / len(apart)


def chance_error(confidence: Array, generator: np.random.Generator, draws: int = 200) -> float:
    """The error that perfectly calibrated probabilities would show by chance in so few examples."""
    places = bin_of(confidence)
    n = len(confidence)
    total = 0.0
    for _ in range(draws):
        right = generator.random(n) < confidence
        total += float(np.abs(np.bincount(places, weights=confidence - right)).sum()) / n
    return total / draws


def chance_error_of_rows(claims: Claims, generator: np.random.Generator, draws: int = 200) -> float:
    """The same where rows make several claims, which hang together.

    How closely is not known from their probabilities. Each row's deviations, less their mean in
    each bin, keep or change their signs together (Wu, 1986, doi:10.1214/aos/1176350142).
    """
    assert claims.rows is not None
    confidence, places = claims.confidence, bin_of(claims.confidence)
    n, bins = int(claims.rows.max()) + 1, int(places.max()) + 1
    mean = reliability(confidence, claims.right)
    apart = (confidence - claims.right) - (mean.confidence - mean.accuracy)[places]
    of_row = np.bincount(claims.rows * bins + places, weights=apart, minlength=n * bins)
    signs = generator.choice((-1.0, 1.0), size=(draws, n))
    errors: Array = np.abs(signs @ of_row.reshape(n, bins)).sum(axis=1) / len(apart)
    return float(errors.mean())


def grade_of(claims: Claims, error: float, chance: float) -> Grade:
    """How far an error lets one act on what is stated; good where chance alone makes as much."""
    scale = 1.0
    if claims.rows is not None:
        held = float(claims.right.mean())
        scale = 2 * min(held, 1 - held)
    if error < GOOD_ERROR * scale or error <= chance:
        return "good"
    return "fair" if error < FAIR_ERROR * scale else "poor"


def _seconds(subject: Subject) -> float:
    again = subject.prediction_seconds(NETWORK, "test", kept=False)
    resampling = 0.05 + 1e-4 * subject.size("test")
    return resampling + again + subject.prediction_seconds(NETWORK, "test")


@evidence("calibration", "calibration", ("calibration.ece_before", "calibration.ece"), _seconds)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`calibration.ece_before` (temperature 1) and `calibration.ece` (as it is used), on test."""
    after = subject.predict(NETWORK, "test")
    ids = ("calibration.ece_before", "calibration.ece")
    targets = subject.targets("test")
    claimed = after.claims(targets)
    if claimed is None:
        reason = "Calibration is about class probabilities, and this network predicts a number."
        return [not_applicable(id, "calibration", reason) for id in ids]
    before = subject.predict_uncalibrated("test").claims(targets)
    assert before is not None
    first = not_applicable(ids[0], "calibration", NOTHING_DONE)
    if subject.model.trust.temperature != 1.0:
        first = _record(subject, ids[0], before, None)
    return [
        first,
        _record(subject, ids[1], claimed, reliability_figure(before, claimed)),
    ]


def _record(subject: Subject, id: str, claims: Claims, figure: Figure | None) -> Record:
    targets, temperature = subject.targets("test"), subject.model.trust.temperature
    confidence, right = claims.confidence, claims.right
    estimate = calibration_error(confidence, right, subject.generator(id), claims.rows)
    drawn = subject.generator(id, "chance")
    if claims.rows is None:
        chance = chance_error(confidence, drawn)
    else:
        chance = chance_error_of_rows(claims, drawn)
    words = _before if id.endswith("before") else _after
    if claims.rows is not None:
        words = _labels_before if id.endswith("before") else _labels_after
    return Record(
        id,
        "calibration",
        sentence=words(confidence, right, estimate, chance, temperature),
        value=estimate.value,
        interval=estimate.interval,
        n=len(targets),
        split="test",
        method=estimate.method,
        higher_is_better=False,
        grade=grade_of(claims, estimate.value, chance),
        figure=figure,
    )


def _leaning(confidence: Array, right: Array) -> str:
    """Over- or under-confident, or neither: mean confidence against accuracy, two deviations."""
    lean, spread = float(np.mean(confidence - right)), float(np.std(confidence - right))
    if abs(lean) <= 2 * spread / np.sqrt(len(right)):
        return "neither over- nor under-confident on the whole"
    return "over-confident" if lean > 0 else "under-confident"


def _before(
    confidence: Array, right: Array, estimate: Estimate, chance: float, temperature: float
) -> str:
    return (
        f"Before calibration the network was {_leaning(confidence, right)}: it claimed "
        f"{wording.percent(float(confidence.mean()))} confidence on average and was right in "
        f"{wording.percent(float(right.mean()))} of cases; its stated confidence was off by "
        f"{wording.percent(estimate.value)} ({_between(estimate)})."
    )


def _after(
    confidence: Array, right: Array, estimate: Estimate, chance: float, temperature: float
) -> str:
    return (
        f"As it is used, {_divided(temperature)}, the network is "
        f"{_leaning(confidence, right)}: it claims "
        f"{wording.percent(float(confidence.mean()))} on average and is right in "
        f"{wording.percent(float(right.mean()))} of cases. Its stated confidence is off by "
        f"{wording.percent(estimate.value)} ({_between(estimate)}); perfect probabilities would "
        f"seem off by {wording.percent(chance)} by chance among {len(right):,} examples."
    )


def _labels_before(
    confidence: Array, right: Array, estimate: Estimate, chance: float, temperature: float
) -> str:
    return (
        f"Before calibration the network gave a label {wording.percent(float(confidence.mean()))} "
        f"on average, and {wording.percent(float(right.mean()))} of them held; a stated "
        f"probability was off by {wording.percent(estimate.value)} ({_between(estimate)})."
    )


def _labels_after(
    confidence: Array, right: Array, estimate: Estimate, chance: float, temperature: float
) -> str:
    return (
        f"As it is used, {_divided(temperature)}, the network gives a label "
        f"{wording.percent(float(confidence.mean()))} on average, and "
        f"{wording.percent(float(right.mean()))} of them hold. A stated probability is off by "
        f"{wording.percent(estimate.value)} ({_between(estimate)}); perfect ones would seem off by "
        f"{wording.percent(chance)} by chance among {len(right):,} labels of examples."
    )


def _divided(temperature: float) -> str:
    if temperature == 1.0:
        return "with its outputs as they are"
    return f"with its outputs divided by a temperature of {wording.number(temperature)}"


def _between(estimate: Estimate) -> str:
    low, high = percent_digits(estimate.low), wording.percent(estimate.high)
    return f"95 % interval {low} to {high}"


def reliability_figure(before: Claims, after: Claims) -> Figure:
    """What was claimed against what came true, at a temperature of 1 and as it is used."""

    def curve(claims: Claims) -> dict[str, Any]:
        bins = reliability(claims.confidence, claims.right)
        return {key: values.tolist() for key, values in vars(bins).items()}

    return Figure("reliability", {"before": curve(before), "after": curve(after)})
