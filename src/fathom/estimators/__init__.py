"""Fathom's networks in scikit-learn's clothes: FathomClassifier and FathomRegressor.

They learn in the same rooms as `fathom.fit`, with the same defaults and the same loop, but by a
number of steps and no clock, with nothing left on disk: estimators for pipelines, cross-validation
and searches. What a network is worth beside a simpler method is `fathom.fit`'s to say.
"""

from __future__ import annotations

from fathom.estimators.classifier import FathomClassifier
from fathom.estimators.regressor import FathomRegressor

__all__ = ["EXPECTED_FAILED_CHECKS", "FathomClassifier", "FathomRegressor"]

EXPECTED_FAILED_CHECKS: dict[str, str] = {}
"""Name of a check of scikit-learn that an estimator fails on purpose, to the reason, as
`check_estimator(expected_failed_checks=...)` takes it."""
