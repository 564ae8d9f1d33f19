"""What learns: networks in families, one file each, built from a frozen spec."""

from __future__ import annotations

import torch

from fathom.core.blocks import InputSpec
from fathom.core.output import OutputSpec
from fathom.core.randomness import derive_seed
from fathom.networks.activations import ACTIVATIONS
from fathom.networks.audio_convnet import AudioConvnetSpec
from fathom.networks.convnet import ConvnetSpec
from fathom.networks.family import FAMILIES, Family, Network, Reasons
from fathom.networks.mixed import MixedSpec, family_of
from fathom.networks.mlp import MlpSpec
from fathom.networks.names import called, may_mean
from fathom.networks.pretrained import PretrainedSpec
from fathom.networks.recurrent import RecurrentSpec
from fathom.networks.series_convnet import SeriesConvnetSpec
from fathom.networks.tabm import TabmSpec
from fathom.networks.text_convnet import TextConvnetSpec
from fathom.networks.transformer import TransformerSpec
from fathom.networks.vit import VitSpec

NetworkSpec = (
    MlpSpec
    | ConvnetSpec
    | TabmSpec
    | VitSpec
    | RecurrentSpec
    | TransformerSpec
    | TextConvnetSpec
    | SeriesConvnetSpec
    | AudioConvnetSpec
    | MixedSpec
    | PretrainedSpec
)
"""Everything that a plan's `network` section can be; `family` tells which."""


def build(spec: NetworkSpec, inputs: InputSpec, output: OutputSpec, *, seed: int) -> Network:
    """A network with fresh weights, which depend on `seed` and the spec alone.

    Raises PlanError where the spec does not fit the inputs.
    """
    family = FAMILIES[spec.__struct_config__.tag]  # type: ignore[index]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "network"))
        return family.build(spec, inputs, output)


def default_spec(inputs: InputSpec, output: OutputSpec, rows: int) -> tuple[NetworkSpec, Reasons]:
    """The spec that suits these inputs and `rows` training examples, and why each field is so."""
    family = "convnet" if inputs.images else "mlp"
    if inputs.sequences:
        alone = len(inputs.blocks) == 1
        family = family_of(next(iter(inputs.blocks.values()))) if alone else "mixed"
    spec, reasons = FAMILIES[family].default_spec(inputs, output, rows)
    return spec, reasons


__all__ = [
    "ACTIVATIONS",
    "FAMILIES",
    "AudioConvnetSpec",
    "ConvnetSpec",
    "Family",
    "MixedSpec",
    "MlpSpec",
    "Network",
    "NetworkSpec",
    "PretrainedSpec",
    "Reasons",
    "RecurrentSpec",
    "SeriesConvnetSpec",
    "TabmSpec",
    "TextConvnetSpec",
    "TransformerSpec",
    "VitSpec",
    "build",
    "called",
    "default_spec",
    "may_mean",
]
