"""The family `pretrained`: a network that was trained elsewhere on far more data, and a new head.

Its features are computed as they are and a linear head is learned on them (`tune` off), or, from
that start, all of it is trained on (Kumar et al. 2022, arXiv 2202.10054).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from msgspec import Struct
from torch import Tensor, nn

from fathom.core.backbone import Backbone
from fathom.core.blocks import (
    FIRST_TOKEN,
    PADDING_SAMPLE,
    AudioBlock,
    ImageBlock,
    InputSpec,
    TextBlock,
)
from fathom.core.errors import PlanError
from fathom.core.mel import FULL_SCALE
from fathom.core.output import OutputSpec
from fathom.networks.backbones import body_of, weights_of
from fathom.networks.family import (
    FAMILIES,
    Family,
    Head,
    Network,
    Reasons,
    check_at_least,
    check_fraction,
)
from fathom.networks.steps import Steps

FEATURES = "features"
"""The name of the only input where features were computed beforehand."""


class PretrainedSpec(
    Struct,
    frozen=True,
    tag="pretrained",
    tag_field="family",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """`backbone` says which network, and holds all that it takes to build it again.

    With `tune` all of it is trained on; else its features stay as they are, and only the head
    learns. Before either, the head is fitted to the features for `head_epochs` passes. `dropout`
    acts before the head.
    """

    backbone: Backbone
    tune: bool = False
    head_epochs: int = 30
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.head_epochs, 1, "network.head_epochs")
        check_fraction(self.dropout, "network.dropout")


class Pictures(nn.Module):
    """Pictures (B, C, H, W) uint8 as the backbone was trained on them: three channels, its scale.

    Grey ones have the same value in all three.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, name: str, backbone: Backbone) -> None:
        super().__init__()
        self.name = name
        self.square = backbone.side if backbone.square else 0
        std, mean = torch.tensor(backbone.std), torch.tensor(backbone.mean)
        self.register_buffer("scale", (1 / std)[:, None, None], persistent=False)
        self.register_buffer("shift", (-mean / std)[:, None, None], persistent=False)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, 3, H, W) float32."""
        pictures = inputs[self.name].to(self.scale.dtype)
        size = (self.square, self.square)
        if self.square and pictures.shape[2:] != size:
            pictures = F.interpolate(pictures, size, mode="bilinear", antialias=True)
        return torch.addcmul(self.shift, pictures, self.scale)


class Tokens(nn.Module):
    """Token codes (B, L), START_TOKEN first, as the backbone's tokenizer numbers them."""

    def __init__(self, name: str, backbone: Backbone) -> None:
        super().__init__()
        self.name, self.missing = name, backbone.missing

    def forward(self, inputs: dict[str, Tensor]) -> Steps:
        """Codes (B, L - 1, 1) as steps, so that what is padding is known."""
        codes = inputs[self.name][:, 1:].long()
        own = torch.where(codes >= FIRST_TOKEN, codes - FIRST_TOKEN, self.missing)
        return Steps(own[:, :, None], codes != 0)


class Waves(nn.Module):
    """Sound (B, L) int16 as waves between -1 and 1, or each of zero mean and unit variance.

    Mean and variance are those of the sound itself, as transformers' feature extractors take them.
    """

    SMALLEST = 1e-7  # is added to a variance, as there

    def __init__(self, name: str, backbone: Backbone) -> None:
        super().__init__()
        self.name, self.level = name, backbone.level

    def forward(self, inputs: dict[str, Tensor]) -> Steps:
        """Samples (B, L, 1) as steps, zeros where there is none."""
        sound = inputs[self.name]
        there = sound != PADDING_SAMPLE
        waves = sound.float() * there / FULL_SCALE
        if self.level:
            count = there.sum(dim=1, keepdim=True).clamp_min(1)
            centred = (waves - waves.sum(dim=1, keepdim=True) / count) * there
            var = centred.square().sum(dim=1, keepdim=True) / count
            waves = centred * (var + self.SMALLEST).rsqrt()
        return Steps(waves[:, :, None], there)


FRONTS: dict[str, tuple[type[Any], type[nn.Module]]] = {
    "image": (ImageBlock, Pictures),
    "text": (TextBlock, Tokens),
    "audio": (AudioBlock, Waves),
}
KINDS = {"image": "pictures", "text": "text", "audio": "sound"}


class Standardise(nn.Module):
    """Features (B, width) less their mean over the training split, over their deviation there.

    Known once the features are; until then it changes nothing.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def learn(self, features: Tensor) -> None:
        """Take mean and deviation from features (n, width)."""
        self.mean.copy_(features.mean(dim=0))
        self.scale.copy_(features.std(dim=0).clamp_min(1e-4).reciprocal())

    def forward(self, features: Tensor) -> Tensor:
        """(B, width) float32."""
        return (features.float() - self.mean) * self.scale


class Pretrained(Network):
    """Front, the backbone's stages, standardised features, head."""

    def __init__(self, spec: PretrainedSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        name = _input_name(spec.backbone, inputs)
        self.front = FRONTS[spec.backbone.kind][1](name, spec.backbone)
        named = body_of(spec.backbone)
        self.names = [name for name, _ in named]
        self.body = nn.ModuleList(stage for _, stage in named)
        self.standardise = Standardise(spec.backbone.width)
        self.head = Head(spec.backbone.width, output.size, spec.dropout)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """As they follow each other."""
        body = list(zip(self.names, self.body, strict=True))
        return [
            ("front", self.front),
            *body,
            ("standardised", self.standardise),
            ("head", self.head),
        ]

    def train(self, mode: bool = True) -> Pretrained:
        """Training mode, in which statistics that were learned elsewhere are kept.

        Those of a few batches would be far noisier than what stands in their place.
        """
        super().train(mode)
        for module in self.body.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.eval()
        return self

    def load_pretrained(self, backbone: Backbone) -> None:
        """Take over the weights of the backbone. Raises PlanError where they are not to be had."""
        weights = weights_of(backbone)
        with torch.no_grad():
            for name, stage in zip(self.names, self.body, strict=True):
                prefix = f"{name}."
                own = {
                    k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)
                }
                stage.load_state_dict(own, strict=True)


class Body(nn.Module):
    """A pretrained network without its head: inputs to features (B, width)."""

    def __init__(self, network: Pretrained) -> None:
        super().__init__()
        self.stages = nn.ModuleList([network.front, *network.body])

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Features as they come, before they are standardised."""
        flow: Any = inputs
        for stage in self.stages:
            flow = stage(flow)
        features: Tensor = flow
        return features


class Top(nn.Module):
    """What learns where the features stay as they are: the last stages of a pretrained network."""

    def __init__(self, network: Pretrained) -> None:
        super().__init__()
        self.standardise, self.head = network.standardise, network.head

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Outputs (B, size) of features that were computed beforehand."""
        outputs: Tensor = self.head(self.standardise(inputs[FEATURES]))
        return outputs


def _input_name(backbone: Backbone, inputs: InputSpec) -> str:
    """The column that the backbone reads. Raises PlanError where it does not fit."""
    wanted = FRONTS[backbone.kind][0]
    names = [name for name, block in inputs.blocks.items() if isinstance(block, wanted)]
    if len(names) != 1 or len(inputs.blocks) != 1:
        raise PlanError(
            f"A pretrained start needs one column of {KINDS[backbone.kind]} and nothing else: drop "
            "the other columns with --drop, or set pretrained=none."
        )
    block = inputs.blocks[names[0]]
    if isinstance(block, AudioBlock) and block.rate != backbone.rate:
        raise PlanError(
            f"{backbone.source} hears {backbone.rate:,} samples a second, and column {names[0]!r} "
            f"has {block.rate:,}: begin anew with the data."
        )
    return names[0]


def default_spec(inputs: InputSpec, output: OutputSpec, rows: int) -> tuple[Any, Reasons]:
    """Nothing but the data and a backbone can say it: raises PlanError."""
    raise PlanError(
        "The network family pretrained is asked for by its source: --set pretrained=auto, a folder "
        "or a hub id."
    )


FAMILIES.register("pretrained")(
    Family(
        spec=PretrainedSpec,
        build=Pretrained,
        default_spec=default_spec,
        accepts=lambda inputs: False,  # never by the data alone
    )
)
