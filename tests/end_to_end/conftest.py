"""Whole runs: boosting is kept short."""

import pytest


@pytest.fixture(autouse=True)
def _short(few_rounds: None) -> None:
    """In every test of this folder."""
