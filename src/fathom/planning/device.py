"""Device: which processor computes."""

from __future__ import annotations

import torch

from fathom.core.errors import PlanError


def choose_device(wanted: str) -> str:
    """'cpu' or 'cuda' for `wanted` = auto, cpu or cuda. Raises PlanError where there is none."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise PlanError("There is no usable NVIDIA GPU for --device cuda: use --device cpu.")
    if wanted != "cpu" and not wanted.startswith("cuda"):
        raise PlanError(f"There is no device {wanted!r}: use cpu, cuda or auto.")
    return wanted
