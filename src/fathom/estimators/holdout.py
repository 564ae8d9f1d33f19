"""Which rows an estimator learns from, and which it sets aside to choose weights and calibrate."""

from __future__ import annotations

import numpy as np

from fathom.core.errors import DataError
from fathom.core.schema import Schema
from fathom.data.raw import Raw
from fathom.data.repeats import Repeats
from fathom.data.split import Splits, hold_out

CALIBRATION_SHARE = 1 / 3
"""Of what is held out; the rest is for validation, as in `data.split.SHARES`."""
LEAST_ROWS = 50
"""With fewer rows all are learned from: what could be held out would choose by chance."""


def set_aside(
    raw: Raw, schema: Schema, repeats: Repeats, fraction: float, *, seed: int, calibrate: bool
) -> Splits:
    """About `fraction` of the rows for validation; with `calibrate` a third of them for calibration
    instead. They are cut as in `data.split`: stratified, every class keeps a row to learn from, and
    copies and near duplicates of a row stay on one side.

    None are set aside of fewer than 50 rows, nor where they are too much alike to be parted. There
    are no test rows: who uses an estimator measures it on rows of their own.
    """
    held = round(fraction * len(raw)) if len(raw) >= LEAST_ROWS else 0
    calibration = round(CALIBRATION_SHARE * held) if calibrate else 0
    sizes = {"validation": held - calibration, "calibration": calibration}
    try:
        return hold_out(raw, schema, sizes, seed=seed, repeats=repeats)
    except DataError:
        nothing = np.empty(0, dtype=np.int64)
        return Splits(np.arange(len(raw)), nothing, nothing, nothing, f"{len(raw):,} train")
