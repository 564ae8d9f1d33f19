"""Which rows an estimator learns from, and which it sets aside to choose weights and calibrate."""

from __future__ import annotations

import numpy as np

from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.data.split import Splits

CALIBRATION_SHARE = 1 / 3
"""Of what is held out; the rest is for validation, as in `data.split.SHARES`."""
BINS = 10


def hold_out(targets: Array, fraction: float, *, seed: int, classes: bool, part: bool) -> Splits:
    """About `fraction` of the n rows for validation, stratified; with `part` a third of them for
    calibration instead. Every class keeps a row to learn from.

    `targets` (n,) are class codes where `classes`, else numbers, stratified by tenths. There are no
    test rows: who uses an estimator measures it on rows of their own.
    """
    generator = numpy_generator(seed, "hold out")
    strata = targets if classes else _tenths(targets)
    held = _systematic(strata, np.arange(len(targets)), fraction, generator)
    if classes:
        lost = np.setdiff1d(targets, np.delete(targets, held))
        spared = [held[targets[held] == code][0] for code in lost]
        held = np.setdiff1d(held, spared)
    calibration = held[:0]
    if part:
        calibration = _systematic(strata, held, CALIBRATION_SHARE, generator)
    validation = np.setdiff1d(held, calibration)
    train = np.setdiff1d(np.arange(len(targets)), held)
    how = f"{len(train):,} train, {len(validation):,} validation, {len(calibration):,} calibration"
    return Splits(train, validation, calibration, held[:0], how)


def _systematic(strata: Array, rows: Array, share: float, generator: np.random.Generator) -> Array:
    """About `share` of the rows, increasing: every k-th along the strata, in random order."""
    ranked = rows[np.lexsort((generator.random(len(rows)), strata[rows]))]
    ticks = np.floor(np.arange(len(rows) + 1) * share + generator.random())
    return np.sort(ranked[np.diff(ticks) > 0])


def _tenths(targets: Array) -> Array:
    ranks = np.argsort(np.argsort(targets, kind="stable"), kind="stable")
    return ranks * BINS // max(1, len(targets))
