"""Device: which processor computes."""

from __future__ import annotations

import torch

from fathom.core.errors import PlanError


def choose_device(wanted: str) -> str:
    """'cpu' or 'cuda' for `wanted` = auto, cpu or cuda. Raises PlanError where there is none."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = ["cpu", *(["cuda"] if count else []), *(f"cuda:{i}" for i in range(count))]
    chosen = ("cuda" if count else "cpu") if wanted == "auto" else wanted
    if chosen.startswith("cuda") and not count:
        raise PlanError(f"There is no usable NVIDIA GPU for --device {wanted}: use --device cpu.")
    if chosen not in known:
        raise PlanError(f"There is no device {wanted!r}: use auto, {', '.join(known)}.")
    if chosen != "cpu":
        # The same plan must give the same weights: cuDNN may not choose by its own timings.
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
    return chosen
