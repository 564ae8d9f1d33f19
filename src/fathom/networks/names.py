"""Names of networks as people say them: one word means the family that the data calls for."""

from __future__ import annotations

from typing import Any

from fathom.core.blocks import AudioBlock, ImageBlock, InputSpec, SeriesBlock, TextBlock
from fathom.core.errors import PlanError, nearest
from fathom.networks.family import FAMILIES

# Every kind of data has its convnet, and pictures their Transformer.
OF_KIND: dict[str, dict[type[Any], str]] = {
    "convnet": {
        ImageBlock: "convnet",
        TextBlock: "text_convnet",
        SeriesBlock: "series_convnet",
        AudioBlock: "audio_convnet",
    },
    "transformer": {ImageBlock: "vit"},
}
CELLS = {"rnn": "simple", "simple": "simple", "lstm": "lstm", "gru": "gru"}


def called(name: str, inputs: InputSpec) -> tuple[str, dict[str, Any]]:
    """The family that a name means for these inputs, and the plan keys that it settles.

    Raises PlanError, listing the families, for a name that means none.
    """
    if name in CELLS:
        return "recurrent", {"network.cell": CELLS[name]}
    kinds = {type(block) for block in inputs.blocks.values()}
    for kind, family in OF_KIND.get(name, {}).items():
        if kind in kinds and family in FAMILIES:
            return family, {}
    _require_known(name)
    return name, {}


def may_mean(name: str) -> list[str]:
    """The families that a name can mean, whatever the data are; PlanError where there is none."""
    if name in CELLS:
        return ["recurrent"]
    meant = [f for f in (name, *OF_KIND.get(name, {}).values()) if f in FAMILIES]
    if not meant:
        _require_known(name)
    return list(dict.fromkeys(meant))


def _require_known(name: str) -> None:
    if name in FAMILIES:
        return
    known = [*FAMILIES, *(cell for cell in CELLS if cell != "simple")]
    raise PlanError(
        f"There is no network family {name!r}; known: {', '.join(known)}.{nearest(name, known)}"
    )
