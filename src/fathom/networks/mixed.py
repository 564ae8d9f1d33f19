"""The family `mixed`: a part for each column of pictures, text, sound or series, and one trunk.

Every such column has an encoder of a family of its own, the numbers and categories share one; what
they say stands side by side (late fusion), and a trunk of layers learns what it means together.
"""

from __future__ import annotations

from typing import Any

import torch
from msgspec import Struct, field
from torch import Tensor, nn

from fathom.core.blocks import AudioBlock, Block, ImageBlock, InputSpec, SeriesBlock, TextBlock
from fathom.core.errors import PlanError, nearest
from fathom.core.output import OutputSpec
from fathom.networks.audio_convnet import AudioConvnetSpec
from fathom.networks.convnet import ConvnetSpec
from fathom.networks.family import (
    FAMILIES,
    MOST_DEPTH,
    Family,
    Head,
    Network,
    Reasons,
    check_at_least,
    check_at_most,
    check_fraction,
    check_weights,
)
from fathom.networks.mlp import Block as Layer
from fathom.networks.mlp import MlpSpec
from fathom.networks.recurrent import RecurrentSpec
from fathom.networks.series_convnet import SeriesConvnetSpec
from fathom.networks.text_convnet import TextConvnetSpec
from fathom.networks.transformer import TransformerSpec
from fathom.networks.vit import VitSpec

SCALARS = "numbers and categories"
FieldSpec = (
    ConvnetSpec
    | VitSpec
    | RecurrentSpec
    | TransformerSpec
    | TextConvnetSpec
    | SeriesConvnetSpec
    | AudioConvnetSpec
)
MANY = 20_000
"""Training examples from which on the default trunk is twice as wide."""


class MixedSpec(
    Struct, frozen=True, tag="mixed", tag_field="family", forbid_unknown_fields=True, kw_only=True
):
    """`fields` names the family of each column's encoder; `scalars` is that of all other columns.

    What each says is brought to `width` numbers; `depth` layers of `width` units over all of them
    side by side are the trunk. `dropout` acts in the trunk; while training a field is silent with
    the chance `field_dropout`, so that no field is relied on alone. Raises PlanError for values
    that make no network.
    """

    fields: dict[str, FieldSpec] = field(default_factory=dict)
    scalars: MlpSpec = MlpSpec()
    width: int = 128
    depth: int = 1
    dropout: float = 0.2
    field_dropout: float = 0.1

    def __post_init__(self) -> None:
        """Check every field."""
        check_at_least(self.width, 2, "network.width")
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_fraction(self.dropout, "network.dropout")
        check_fraction(self.field_dropout, "network.field_dropout")


class Part(nn.Module):
    """The encoder of one field: the stages of its family but the head, brought to a width."""

    def __init__(self, spec: Any, inputs: InputSpec, width: int) -> None:
        super().__init__()
        self.names = tuple(inputs.blocks)
        whole = FAMILIES[spec.__struct_config__.tag].build(spec, inputs, OutputSpec("number"))
        head: Any = whole.head
        self.stages = nn.ModuleList(stage for _, stage in whole.stages()[:-1])
        self.stage_names = tuple(name for name, _ in whole.stages()[:-1])
        self.dropout, self.norm = head.dropout, nn.LayerNorm(head.linear.in_features)
        self.project = nn.Linear(head.linear.in_features, width)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """What the field says, (B, width)."""
        flow: Any = {name: inputs[name] for name in self.names}
        for stage in self.stages:
            flow = stage(flow)
        said: Tensor = self.project(self.dropout(self.norm(flow)))
        return said


class Fields(nn.Module):
    """All fields side by side: the inputs to (B, fields · width).

    In training a field that is drawn says nothing, and the others say more in turn.
    """

    def __init__(self, spec: MixedSpec, inputs: InputSpec) -> None:
        super().__init__()
        specs: dict[str, tuple[Any, InputSpec]] = {
            name: (spec.fields[name], inputs.only(name)) for name in rich(inputs)
        }
        if inputs.scalars:
            specs[SCALARS] = (spec.scalars, inputs.only(*inputs.scalars))
        self.titles = tuple(specs)
        self.parts = nn.ModuleList(Part(s, i, spec.width) for s, i in specs.values())
        self.silent = spec.field_dropout if len(specs) > 1 else 0.0
        self.width = len(specs) * spec.width

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """(B, fields · width)."""
        said = torch.stack([part(inputs) for part in self.parts], dim=1)  # (B, fields, width)
        if self.training and self.silent:
            heard = torch.rand(*said.shape[:2], 1, device=said.device) >= self.silent
            said = said * heard / (1 - self.silent)
        return said.flatten(1)

    def chains(self) -> dict[str, list[tuple[str, nn.Module]]]:
        """Field to the named stages of its encoder, in order of computation."""
        return {
            title: list(zip(part.stage_names, part.stages, strict=True))  # type: ignore[arg-type]
            for title, part in zip(self.titles, self.parts, strict=True)
        }


class Mixed(Network):
    """Fields, trunk, head."""

    def __init__(self, spec: MixedSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check(spec, inputs, output)
        self.fields = Fields(spec, inputs)
        layer = MlpSpec(width=spec.width, dropout=spec.dropout)
        widths = [self.fields.width] + [spec.width] * (spec.depth - 1)
        self.trunk = nn.ModuleList(Layer(width, layer) for width in widths)
        self.head = Head(spec.width, output.size)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Fields, the trunk's layers, head."""
        trunk = [(f"trunk {i}", layer) for i, layer in enumerate(self.trunk, 1)]
        return [("fields", self.fields), *trunk, ("head", self.head)]


def rich(inputs: InputSpec) -> dict[str, Block]:
    """The blocks that have an encoder of their own: pictures, text, sound and series."""
    return {n: block for n, block in inputs.blocks.items() if n not in inputs.scalars}


def _check(spec: MixedSpec, inputs: InputSpec, output: OutputSpec) -> None:
    columns = rich(inputs)
    for name in spec.fields:
        if name not in columns:
            raise PlanError(
                f"network.fields names {name!r}, which is no column of pictures, text, sound or "
                f"series.{nearest(name, columns)}"
            )
    for name in columns:
        if name not in spec.fields:
            raise PlanError(f"network.fields lacks a family for the column {name!r}: add one.")
    count = spec.width * (spec.width * (len(columns) + 1 + spec.depth) + output.size)
    check_weights(count, "network.width or network.depth")


def default_spec(inputs: InputSpec, output: OutputSpec, rows: int) -> tuple[MixedSpec, Reasons]:
    """What suits these fields and `rows` training examples, and why."""
    fields = {
        name: FAMILIES[family_of(block)].default_spec(inputs.only(name), output, rows)[0]
        for name, block in rich(inputs).items()
    }
    scalars = MlpSpec()
    if inputs.scalars:
        only = inputs.only(*inputs.scalars)
        scalars = FAMILIES["mlp"].default_spec(only, output, rows)[0]
    width = 256 if rows >= MANY else 128
    return MixedSpec(fields=fields, scalars=scalars, width=width), {
        "fields": "Each column of pictures, text, sound or series has the network of its kind.",
        "width": f"{width} numbers a field suit {rows:,} training examples.",
        "field_dropout": "A field that is silent now and then leaves the others something to say.",
    }


def family_of(block: Block) -> str:
    """The family that suits a column by itself."""
    if isinstance(block, ImageBlock):
        return "convnet"
    if isinstance(block, TextBlock):
        return "text_convnet"
    if isinstance(block, AudioBlock):
        return "audio_convnet"
    if isinstance(block, SeriesBlock):
        return "series_convnet"
    return "transformer"


FAMILIES.register("mixed")(
    Family(
        spec=MixedSpec,
        build=Mixed,
        default_spec=default_spec,
        accepts=lambda inputs: bool(rich(inputs)) and len(inputs.blocks) > 1,
    )
)
