"""Networks that were trained elsewhere: where they are found, and how they are built again."""

from __future__ import annotations

from torch import nn

from fathom.core.backbone import Backbone
from fathom.networks.backbones import efficientnet_lite
from fathom.networks.backbones.sources import EFFICIENTNET, Found, find, packaged, weights_of


def body_of(backbone: Backbone) -> list[tuple[str, nn.Module]]:
    """The named stages from prepared inputs to features (B, width), with weights of no meaning.

    Raises MissingExtraError where the architecture needs a package that is not installed, PlanError
    where it is not known.
    """
    if backbone.architecture == EFFICIENTNET:
        return efficientnet_lite.stages()
    from fathom.networks.backbones import huggingface

    return huggingface.stages(backbone)


__all__ = ["Found", "body_of", "find", "packaged", "weights_of"]
