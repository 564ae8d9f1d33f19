"""Backbone: a network that was trained elsewhere, described by data alone. It loads no torch."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

BackboneKind = Literal["image", "text", "audio"]


class Backbone(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What it takes to build a pretrained network again, and to know whose work it is.

    `source` is what was asked for: a packaged name, a folder, a hub id. `architecture` names one of
    ours, or `transformers`, whose `config` is the JSON that its class is built from. `digest` is
    the SHA-256 of the weights as they were found, `licence` what they may be used under. `width`
    counts the features of an example.

    Pictures are brought to about `side`² pixels, or with `square` to exactly that, and each channel
    to (x - mean) / std of 0..255.
    Texts are at most `length` codes of its own tokenizer long; `missing` is the code that stands
    for a text that is not there; `pooling` says how the steps become features. Sound has `rate`
    samples a second, with `level` of zero mean and unit variance in each.
    """

    source: str
    kind: BackboneKind
    architecture: str
    width: int
    digest: str
    licence: str
    side: int = 0
    square: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    length: int = 0
    missing: int = 0
    pooling: Literal["mean", "first"] = "mean"
    rate: int = 0
    level: bool = False
    config: dict[str, Any] = field(default_factory=dict)
