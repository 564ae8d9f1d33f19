"""By what score models are chosen on validation; higher is better."""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan

from fathom.tasks.metrics import HIGHER_IS_BETTER

FEW = 500
"""Below so many rows classes are chosen by log loss: on 17 rows accuracy moves by 6 points a row,
and is at its best by luck long before a network has learned; log loss tells how far each row is."""


def selection_metric(primary: str, rows: int, *, classes: bool) -> str:
    """The name of the metric that models are chosen by on so many rows."""
    return "log_loss" if classes and rows < FEW else primary


def selection_score(metrics: Mapping[str, float], primary: str, rows: int) -> float:
    """The primary metric, signed so that higher is better; minus the log loss on few `rows`.

    The log loss stands in as well where the primary metric is not a number: a split in which only
    one class occurs ranks nothing.
    """
    log_loss = metrics.get("log_loss")
    value = metrics[primary]
    if log_loss is not None and (rows < FEW or isnan(value)):
        return -log_loss
    return value if HIGHER_IS_BETTER[primary] else -value
