"""How a trained model is used, and how far it can be trusted."""

from __future__ import annotations

from fathom.inference.model import (
    LoadedModel,
    NetworkPredictor,
    Precision,
    by_length,
    run_network,
)
from fathom.inference.trust import Trust, fit_trust
from fathom.inference.views import VIEWS, Views, choose_views

__all__ = [
    "VIEWS",
    "LoadedModel",
    "NetworkPredictor",
    "Precision",
    "Trust",
    "Views",
    "by_length",
    "choose_views",
    "fit_trust",
    "run_network",
]
