"""Traditional methods beside a language network: an n-gram model and a compressor."""

from __future__ import annotations

from fathom.baselines.language.compressor import Compressed, Compressor, joined
from fathom.baselines.language.kneser_ney import KneserNey
from fathom.baselines.language.orders import Choice, Tried, best_order

__all__ = ["Choice", "Compressed", "Compressor", "KneserNey", "Tried", "best_order", "joined"]
