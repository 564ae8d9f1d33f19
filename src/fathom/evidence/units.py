"""One unit of a weighted layer: its inputs, weights, sum and gradient, taken out of a real call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.core.blocks import CATEGORIES, NUMBERS
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.evidence.instruments import ACTIVATION_TYPES, Call, traced
from fathom.evidence.subject import Subject

WEIGHTED = (nn.Linear, nn.Conv2d)
TERMS = 6
COLUMNS = 512  # tables of more columns are not searched for where a feature comes from


@dataclass(frozen=True)
class Unit:
    """A unit, or a filter at one place, of the first weighted layer.

    `values` and `weights` (t,) are the terms of its sum, `position` its index in the layer's
    output, `slope` the loss's derivative by the sum, `gradient` by the weight of the largest term.
    """

    index: int
    width: int
    position: tuple[int, ...]
    place: str | None
    values: Array
    weights: Array
    gradients: Array
    bias: float
    slope: float

    @property
    def terms(self) -> Array:
        """Value times weight, (t,)."""
        terms: Array = self.values * self.weights
        return terms

    @property
    def largest(self) -> int:
        """The term that weighs most."""
        return int(np.argmax(np.abs(self.terms)))

    @property
    def total(self) -> float:
        """The sum, bias included."""
        return float(self.terms.sum() + self.bias)

    @property
    def weight(self) -> float:
        """The weight of the largest term."""
        return float(self.weights[self.largest])

    @property
    def gradient(self) -> float:
        """The loss's derivative by the weight of the largest term."""
        return float(self.gradients[self.largest])


def pick_unit(call: Call) -> Unit:
    """The unit whose output matters most to this example's loss: largest |output x slope|.

    `call` is of a layer in WEIGHTED for one example, after the backward pass.
    """
    output, slopes = call.output.detach(), call.output.grad
    assert slopes is not None
    matters = (output * slopes).abs()
    flat = int(matters.argmax())
    position = tuple(int(i) for i in np.unravel_index(flat, tuple(output.shape)))
    layer: Any = call.module
    channel = position[1] if isinstance(layer, nn.Conv2d) else position[-1]
    if isinstance(layer, nn.Conv2d):
        values, place = _patch(layer, call.inputs[0].detach(), position), _place(layer, position)
    else:
        values, place = call.inputs[0].detach()[position[:-1]], None
    return Unit(
        index=channel,
        width=layer.weight.shape[0],
        position=position,
        place=place,
        values=_flat(values),
        weights=_flat(layer.weight.detach()[channel]),
        gradients=_flat(layer.weight.grad[channel]),
        bias=0.0 if layer.bias is None else float(layer.bias.detach()[channel]),
        slope=float(slopes[position]),
    )


def _flat(tensor: Tensor) -> Array:
    flat: Array = tensor.flatten().double().cpu().numpy()
    return flat


def _patch(layer: nn.Conv2d, maps: Tensor, position: tuple[int, ...]) -> Tensor:
    """What lies under the filter: (channels of its group, kernel height, kernel width)."""
    _, channel, row, column = position
    pad_y, pad_x = _padding(layer)
    padded = F.pad(maps[0], (pad_x, pad_x, pad_y, pad_y))
    depth = layer.in_channels // layer.groups
    start = channel // (layer.out_channels // layer.groups) * depth
    rows, columns = (
        slice(at * stride, at * stride + (size - 1) * gap + 1, gap)
        for at, stride, size, gap in zip(
            (row, column), layer.stride, layer.kernel_size, layer.dilation, strict=True
        )
    )
    return padded[start : start + depth, rows, columns]


def _padding(layer: nn.Conv2d) -> tuple[int, int]:
    """Zeros above and left of the maps. `padding='same'` puts the smaller half there."""
    if layer.padding == "same":
        down, across = (
            gap * (size - 1) // 2
            for gap, size in zip(layer.dilation, layer.kernel_size, strict=True)
        )
        return down, across
    if isinstance(layer.padding, str):
        return 0, 0
    down, across = layer.padding
    return int(down), int(across)


def _place(layer: nn.Conv2d, position: tuple[int, ...]) -> str:
    row, column = (
        at * stride - pad + 1
        for at, stride, pad in zip(position[2:], layer.stride, _padding(layer), strict=True)
    )
    return f"row {row}, column {column}"


def term_names(
    subject: Subject, network: Any, example: Examples, call: Call, unit: Unit
) -> dict[int, str]:
    """The largest terms of a unit's sum, the largest first, each with a name for its input."""
    largest = [int(k) for k in np.argsort(-np.abs(unit.terms), kind="stable")[:TERMS]]
    layer: Any = call.module
    if isinstance(layer, nn.Conv2d):
        shape = tuple(layer.weight.shape[1:])
        places = {k: np.unravel_index(k, shape) for k in largest}
        colour = {
            k: f", channel {int(p[0]) + 1}" if shape[0] > 1 else "" for k, p in places.items()
        }
        return {
            k: f"row {int(p[1]) + 1}, column {int(p[2]) + 1} under the filter{colour[k]}"
            for k, p in places.items()
        }
    columns = _columns_of_features(subject, network, example, call, unit)
    return {
        k: f"{columns[k]} (feature {k + 1})" if k in columns else f"feature {k + 1}"
        for k in largest
    }


def _columns_of_features(
    subject: Subject, network: Any, example: Examples, call: Call, unit: Unit
) -> dict[int, str]:
    """Which column of the table each feature of a layer's input comes from, found by trying.

    One column after another is made missing (or, where it is, present); the features that change
    are that column's. All variants run as one batch.
    """
    before = call.inputs[0].detach()
    variants, names = _variants(subject, example)
    if before.dim() == 3:  # k members, of which the unit belongs to one
        before = before[:, unit.position[1]]
    if before.dim() != 2 or not 0 < len(names) <= COLUMNS:
        return {}
    tensors = {n: torch.from_numpy(a).to(subject.model.device) for n, a in variants.items()}
    with torch.no_grad(), traced(network) as calls:
        network(tensors)
    after = next(c for c in calls if c.name == call.name).inputs[0]
    after = after[:, unit.position[1]] if after.dim() == 3 else after
    changed = (after - before).abs() > 1e-6 * (1 + before.abs())
    return {
        int(k): names[int(changed[:, k].int().argmax())]
        for k in changed.any(dim=0).nonzero().flatten()
    }


def _variants(subject: Subject, example: Examples) -> tuple[dict[str, Array], list[str]]:
    """The example once for each scalar column, with that column changed; and their names."""
    blocks = subject.model.inputs.blocks
    names = [
        (block, column, name)
        for block in (NUMBERS, CATEGORIES)
        if block in blocks
        for column, name in enumerate(blocks[block].names)  # type: ignore[union-attr]
    ]
    repeated = {n: np.repeat(a, len(names), axis=0) for n, a in example.inputs.items()}
    for row, (block, column, _) in enumerate(names):
        old = repeated[block][row, column]
        if block == NUMBERS:
            repeated[block][row, column] = 0.0 if np.isnan(old) else np.nan
        else:
            repeated[block][row, column] = 1 if old == 0 else 0
    return repeated, [name for _, _, name in names]


def values_after(first: Call, calls: list[Call], unit: Unit) -> list[tuple[str, float]]:
    """What becomes of the unit's sum up to the first activation: module and value, in order."""
    found: list[tuple[str, float]] = []
    for call in calls[calls.index(first) + 1 :]:
        if call.output.shape != first.output.shape:
            break
        if isinstance(call.module, nn.Identity | nn.Dropout):
            continue
        found.append((type(call.module).__name__, float(call.output.detach()[unit.position])))
        if isinstance(call.module, ACTIVATION_TYPES):
            break
    return found
