"""Model: what every model of the package transformers is to a network of ours."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fathom.networks.depth import Deep
from fathom.networks.steps import Steps

NUMBERED = re.compile(r"(?:^|\.)(?:layers?|blocks?|stages|h|albert_layers)\.(\d+)\.")
LAYER = re.compile(r"(?:^|\.)(?:layers?|blocks?|stages|h)\.(\d+)$")
# What lies below the first numbered layer, as its name tells.
BELOW = ("embed", "feature_extractor", "feature_projection")


class Model(Deep):
    """A model of transformers; each of its layers learns at its own depth."""

    together = 1
    """Places of the answer that its attention sees as one."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def depths(self) -> dict[str, int]:
        """Numbered layers by their number; embeddings lie below, what bears no number above."""
        names = [name for name, _ in self.named_parameters()]
        numbers = {name: NUMBERED.findall(name) for name in names}
        most = max((int(found[0]) for found in numbers.values() if found), default=0)
        below = {n: most + 2 if any(part in n for part in BELOW) else 0 for n in names}
        return {n: most + 1 - int(f[0]) if f else below[n] for n, f in numbers.items()}

    def layers(self) -> list[nn.Module]:
        """The numbered layers, in order; none where they do not follow each other plainly."""
        found = [
            (name, module)
            for name, module in self.named_modules()
            if LAYER.search(name) and not any(part in name for part in BELOW)
        ]
        outer = [m for n, m in found if not any(n.startswith(f"{other}.") for other, _ in found)]
        return outer if len(outer) == len(set(map(id, outer))) else []

    @abstractmethod
    def run(self, flow: Any, **options: Any) -> Any:
        """What the package answers to what flows in."""

    def there(self, flow: Any) -> Tensor | None:
        """Which places of the answer are no padding, (B, N); None where all are."""
        return None

    def grid(self, flow: Any) -> tuple[int, int] | None:
        """Patches down and across, where its places are patches of a picture."""
        return None

    def attention(self, flow: Any) -> tuple[list[Tensor], Tensor | None]:
        """The weights (B, heads, N, N) of every layer, none where it has none; and places (B, N).

        From now on the model computes its attention the plain way: call it on a copy.
        """
        self.model.set_attn_implementation("eager")
        found = getattr(self.run(flow, output_attentions=True), "attentions", None) or ()
        there = self.there(flow)
        layers = [weights for weights in found if _square(weights)]
        if there is not None and layers:
            there = there[:, :: self.together][:, : layers[0].shape[3]]
        return layers, there


def _square(weights: Any) -> bool:
    return (
        isinstance(weights, Tensor) and weights.ndim == 4 and weights.shape[2] == weights.shape[3]
    )


def beside(root: Path, name: str) -> dict[str, Any]:
    """A JSON file that may be there, as a dictionary."""
    try:
        content = json.loads((root / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


class ImageModel(Model):
    """Pictures (B, 3, H, W) to maps (B, C, H', W') or tokens (B, N, D)."""

    def forward(self, pictures: Tensor) -> Tensor:
        """What the last layer says."""
        found: Tensor = self.run(pictures).last_hidden_state
        return found

    def run(self, flow: Any, **options: Any) -> Any:
        """What the package answers to pictures."""
        return self.model(pixel_values=flow, **options)

    def grid(self, flow: Any) -> tuple[int, int] | None:
        """Patches of the size that the configuration says, down and across."""
        side = getattr(self.model.config, "patch_size", None)
        if not isinstance(side, int):
            return None
        return flow.shape[2] // side, flow.shape[3] // side


class TextModel(Model):
    """Codes (B, L, 1) to the last layer's vectors, one for each."""

    def forward(self, codes: Steps) -> Steps:
        """Steps (B, L, D)."""
        return Steps(self.run(codes).last_hidden_state, codes.mask)

    def run(self, flow: Any, **options: Any) -> Any:
        """What the package answers to codes."""
        mask = flow.mask.to(torch.int64)
        return self.model(input_ids=flow.values[:, :, 0], attention_mask=mask, **options)

    def there(self, flow: Any) -> Tensor | None:
        """Every code that is no padding."""
        mask: Tensor = flow.mask
        return mask
