"""Fathom: deep learning that you can get to the bottom of.

run = fathom.fit("churn.csv", target="Churn"); run.predict("new.csv"); run.report()
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# GNU OpenMP's threads spin for milliseconds while they wait for each other. Where anything else
# takes a core, the spinning takes it from the thread that is waited for, and a training step can
# become ten times slower; a thousand turns cost nothing on an idle machine (see LOG.md). It is read
# when torch is loaded, which is later; a user's own setting stands.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"
__all__ = ["FathomClassifier", "FathomRegressor", "fit", "inspect", "load"]

if TYPE_CHECKING:
    from fathom.estimators import FathomClassifier, FathomRegressor
    from fathom.inspection import inspect
    from fathom.pipeline import fit
    from fathom.run import load

_HOMES = {
    "fit": "fathom.pipeline",
    "inspect": "fathom.inspection",
    "load": "fathom.run",
    "FathomClassifier": "fathom.estimators",
    "FathomRegressor": "fathom.estimators",
}


def __getattr__(name: str) -> Any:
    """Load a verb's room when it is first used: `import fathom` itself stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fathom' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
