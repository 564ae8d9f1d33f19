"""Which of scikit-learn's checks the estimators fail on purpose, and why."""

from __future__ import annotations

EXPECTED_FAILED_CHECKS: dict[str, str] = {}
"""Name of a check to the reason, as `check_estimator(expected_failed_checks=…)` takes it."""
