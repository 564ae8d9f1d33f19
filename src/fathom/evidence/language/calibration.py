"""Can its probabilities be believed? Of the token that it finds likeliest, before and after the
temperature; and how often it is wrong where it is sure.

See `evidence.calibration`, whose measures are used. Tokens of a document hang together, so that
documents, or stretches of them, are what is drawn anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fathom.core.budget import Budget
from fathom.core.language import first_of
from fathom.core.prediction import Array, Claims
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.calibration import (
    FAIR_ERROR,
    GOOD_ERROR,
    NOTHING_DONE,
    calibration_error,
    chance_error_of_rows,
    grade_of,
    reliability_figure,
)
from fathom.evidence.intervals import Estimate
from fathom.evidence.language.estimates import (
    between_shares,
    interval_of,
    over_units,
    share_over_units,
)
from fathom.evidence.language.subject import LEAST, NETWORK, LanguageSubject
from fathom.evidence.language.units import units_of
from fathom.evidence.measure import evidence
from fathom.evidence.rivals import side_of

if TYPE_CHECKING:
    from fathom.inference.language import TokenScores

BEFORE, FEWEST = 30_000, 5_000  # tokens that are read once more, at a temperature of 1
SURE = 0.9
IDS = ("calibration.ece_before", "calibration.ece", "calibration.confident_errors")


def _seconds(subject: LanguageSubject) -> float:
    resampling = 0.2 + 1e-6 * min(subject.size("test"), LEAST)
    again = FEWEST * subject.token_seconds(NETWORK) if _warmed(subject) else 0.0
    return resampling + again + subject.reading_seconds(NETWORK, "test")


def _warmed(subject: LanguageSubject) -> bool:
    """Whether a temperature changes what the network says."""
    return subject.network.model.trust.temperature != 1.0


@evidence("calibration", "calibration", IDS, _seconds)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`calibration.ece_before`, `calibration.ece` and `calibration.confident_errors`, on test."""
    subject.fit("test", budget)
    units = subject.units("test")
    after = _claims(subject.scores("test"), units.owner)
    before, first = after, not_applicable(IDS[0], "calibration", NOTHING_DONE)
    if _warmed(subject):
        before = _before(subject, budget)
        first = _record(subject, IDS[0], before, None)
    figure = reliability_figure(before, after)
    return [first, _record(subject, IDS[1], after, figure), _confident(subject, after)]


def _claims(scores: TokenScores, owner: Array) -> Claims:
    return Claims(scores.confidence.astype(np.float64), scores.right, owner)


def _before(subject: LanguageSubject, budget: Budget) -> Claims:
    """What is claimed at a temperature of 1 of the first of the test documents."""
    most = subject.affordable(IDS[0], BEFORE, FEWEST, 1.0, budget)
    some = first_of(subject.documents("test"), most, subject.lengths)
    scores = subject.network.scores(some, temperature=1.0)
    return _claims(scores, units_of(some, subject.lengths).owner)


def _record(subject: LanguageSubject, id: str, claims: Claims, figure: Figure | None) -> Record:
    error = calibration_error(
        claims.confidence, claims.right, subject.generator(id), claims.rows, "likeliest token"
    )
    chance = chance_error_of_rows(claims, subject.generator(id, "chance"))
    words = _said_before if id == IDS[0] else _said_after
    return Record(
        id,
        "calibration",
        sentence=words(subject, claims, error, chance),
        value=error.value,
        interval=error.interval if _several(claims) else None,
        n=len(claims.right),
        split="test",
        method=f"{error.method} of {subject.units('test').called}",
        higher_is_better=False,
        grade=grade_of(replace(claims, rows=None), error.value, chance),
        figure=figure,
    )


def _several(claims: Claims) -> bool:
    """Whether there is more than one unit: of one alone an interval would have no width."""
    assert claims.rows is not None
    return int(claims.rows[-1]) > 0


def _leaning(subject: LanguageSubject, claims: Claims) -> str:
    """Over- or under-confident, or neither that could be shown."""
    assert claims.rows is not None
    apart = np.bincount(claims.rows, weights=claims.confidence - claims.right)
    terms = np.stack([apart, np.bincount(claims.rows).astype(np.float64)], axis=1)
    generator = subject.generator("leaning")
    lean = over_units(terms, lambda m: m[..., 0] / m[..., 1], generator, "units")
    return {
        1: "over-confident",
        0: "neither over- nor under-confident on the whole",
        -1: "under-confident",
    }[side_of(lean)]


def _said_before(subject: LanguageSubject, claims: Claims, error: Estimate, chance: float) -> str:
    return (
        f"Before calibration the network was {_leaning(subject, claims)}: it gave the likeliest "
        f"token {wording.percent(float(claims.confidence.mean()))} on average, which was right in "
        f"{wording.percent(float(claims.right.mean()))} of places; its probabilities were off by "
        f"{wording.percent(error.value)} ({between_shares(error)})."
    )


def _said_after(subject: LanguageSubject, claims: Claims, error: Estimate, chance: float) -> str:
    temperature = subject.network.model.trust.temperature
    divided = "with its outputs as they are"
    if temperature != 1.0:
        divided = f"with its outputs divided by a temperature of {wording.number(temperature)}"
    return (
        f"As it is used, {divided}, the network is {_leaning(subject, claims)}: it gives the "
        f"likeliest token {wording.percent(float(claims.confidence.mean()))} on average, which is "
        f"right in {wording.percent(float(claims.right.mean()))} of places. Its probabilities are "
        f"off by {wording.percent(error.value)} ({between_shares(error)}); perfect ones would seem "
        f"off by {wording.percent(chance)} by chance in so much text."
    )


def _confident(subject: LanguageSubject, claims: Claims) -> Record:
    """How often it is wrong among the tokens that it is SURE of."""
    sure = claims.confidence >= SURE
    if not sure.any():
        reason = f"The network never gave a token {100 * SURE:g} % or more."
        return not_applicable(IDS[2], "calibration", reason)
    assert claims.rows is not None
    wrong = np.bincount(claims.rows[sure], weights=~claims.right[sure])
    counts = np.bincount(claims.rows[sure])
    present = counts > 0
    generator, called = subject.generator(IDS[2]), subject.units("test").called
    estimate = share_over_units(wrong[present], counts[present], generator, called)
    foreseen = 1 - float(claims.confidence[sure].mean())
    return Record(
        IDS[2],
        "calibration",
        sentence=(
            f"It is at least {100 * SURE:g} % sure of {wording.percent(float(sure.mean()))} "
            f"of the tokens, and wrong in {wording.percent(estimate.value)} of these "
            f"({between_shares(estimate)}), where its own probabilities foresee "
            f"{wording.percent(foreseen)}."
        ),
        value=estimate.value,
        unit="share",
        interval=interval_of(estimate),
        n=int(sure.sum()),
        split="test",
        method=f"tokens whose likeliest one has {SURE:g} or more; {estimate.method}",
        higher_is_better=False,
        grade=_grade(estimate, foreseen),
    )


def _grade(estimate: Estimate, foreseen: float) -> Grade:
    """By how much more often it is wrong than it says."""
    more = estimate.value - foreseen
    if more < GOOD_ERROR or (np.isfinite(estimate.low) and estimate.low <= foreseen):
        return "good"
    return "fair" if more < FAIR_ERROR else "poor"
