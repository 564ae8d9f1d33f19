"""Fathom: deep learning that you can get to the bottom of.

run = fathom.fit("churn.csv", target="Churn"); run.predict("new.csv"); run.report()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["fit", "inspect", "load"]

if TYPE_CHECKING:
    from fathom.inspection import inspect
    from fathom.pipeline import fit
    from fathom.run import load

_HOMES = {"fit": "fathom.pipeline", "inspect": "fathom.inspection", "load": "fathom.run"}


def __getattr__(name: str) -> Any:
    """Load a verb's room when it is first used: `import fathom` itself stays instant."""
    if name not in _HOMES:
        raise AttributeError(f"module 'fathom' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
