"""How a trained model is used, and how far it can be trusted."""

from __future__ import annotations

from fathom.inference.model import LoadedModel, NetworkPredictor, Precision, run_network
from fathom.inference.trust import Trust, fit_trust

__all__ = ["LoadedModel", "NetworkPredictor", "Precision", "Trust", "fit_trust", "run_network"]
