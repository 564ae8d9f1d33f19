"""Trust: how far the network's confidence can be believed, fitted on the calibration split.

Temperature scaling (Guo et al. 2017, arXiv 1706.04599): probabilities are softmax(logits / T), or
sigmoid(logits / T) where several labels may hold, with the one T that makes the calibration targets
most likely. It changes how sure the network is, never what it names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from torch import Tensor

from fathom.core.prediction import Array

TRUST_FORMAT = 1
FEWEST_ROWS = 50
LOWEST, HIGHEST = 0.01, 1000.0  # temperatures tried
AT_THE_END = 1e-3  # so near to one of them, in its logarithm, the search has found no minimum


class Trust(Struct, frozen=True, forbid_unknown_fields=True):
    """The file `trust.json`. A temperature of 1 leaves the network's probabilities as they are.

    `rows` counts the calibration rows; `log_loss_before` and `log_loss` are the mean negative
    log-likelihood on them at the temperature 1 and at `temperature`. `reason` says in a sentence
    why the temperature is what it is.
    """

    temperature: float = 1.0
    rows: int = 0
    log_loss_before: float | None = None
    log_loss: float | None = None
    reason: str = "The probabilities were not calibrated."
    format_version: int = TRUST_FORMAT


def fit_trust(logits: Tensor | Array, targets: Array | None) -> Trust:
    """The temperature for logits (n, K) and class codes (n,), or labels (n, K), of the calibration
    split.

    Everything is computed in float64: in float32 the differences between neighbouring temperatures
    drown, and a search stays where it began without a word. The result is never worse on these rows
    than a temperature of 1, which is what it is where the rows cannot tell.
    """
    scores = _float64(logits)
    codes = np.asarray([] if targets is None else targets, dtype=np.int64)
    obstacle = _obstacle(scores, codes)
    if obstacle:
        return Trust(rows=len(codes), reason=f"The temperature stays 1: {obstacle}.")
    before = log_loss(scores, codes, 1.0)
    # The loss is convex in 1 / T, so it has one minimum over log T, and a bounded search finds it.
    found = minimize_scalar(
        lambda log_temperature: log_loss(scores, codes, float(np.exp(log_temperature))),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-6, "maxiter": 200},
    )
    if min(found.x - np.log(LOWEST), np.log(HIGHEST) - found.x) < AT_THE_END:
        return Trust(1.0, len(codes), before, before, _beyond(float(found.x), len(codes)))
    temperature, after = float(np.exp(found.x)), float(found.fun)
    if not after < before:
        temperature, after = 1.0, before
    return Trust(temperature, len(codes), before, after, _reason(temperature, len(codes)))


def log_loss(logits: Array, codes: Array, temperature: float) -> float:
    """Mean negative log-likelihood of class codes (n,) under softmax(logits (n, K) / T).

    Or of labels (n, K) of 0 and 1 under sigmoid(logits / T), the mean over rows and labels.
    """
    if codes.ndim == 2:
        away = np.where(codes > 0, -logits, logits) / temperature
        return float(np.logaddexp(0.0, away).mean())
    log_probs = log_softmax(logits / temperature, axis=1)
    return float(-log_probs[np.arange(len(codes)), codes].mean())


def _float64(logits: Tensor | Array) -> Array:
    values: Any = logits.detach().double().cpu() if isinstance(logits, Tensor) else logits
    return np.asarray(values, dtype=np.float64)


def _obstacle(logits: Array, codes: Array) -> str:
    """Why these rows cannot tell the temperature; empty where they can."""
    if len(codes) < FEWEST_ROWS:
        return f"{len(codes)} calibration rows are too few to tell (at least {FEWEST_ROWS})"
    if len(np.unique(codes)) < 2:
        return "the calibration rows are all " + ("alike" if codes.ndim == 2 else "of one class")
    if not np.isfinite(logits).all():
        return "some outputs of the network are not finite"
    said = logits > 0 if codes.ndim == 2 else logits.argmax(axis=1)
    if (said == codes).all():
        # The colder, the better, without end: the rows say nothing of how sure is too sure.
        return f"all {len(codes)} calibration rows are predicted rightly"
    return ""


def _beyond(log_temperature: float, rows: int) -> str:
    what = "high" if log_temperature > 0 else "low"
    return (
        f"The temperature stays 1: on {rows:,} calibration rows the most likely one is as {what} "
        f"as any that is tried ({LOWEST:g} to {HIGHEST:,.0f}), which says that the network's "
        "confidence tells nothing there, not by how much it is off."
    )


def _reason(temperature: float, rows: int) -> str:
    change = "lowers" if temperature > 1.0 else "raises"
    if temperature == 1.0:
        return f"On {rows:,} calibration rows no other temperature is more likely than 1."
    return (
        f"The temperature {temperature:.3g} is the most likely one on {rows:,} calibration rows; "
        f"it {change} the network's confidence."
    )
