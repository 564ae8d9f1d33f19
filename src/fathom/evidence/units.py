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
from fathom.evidence.instruments import Call, is_activation, traced
from fathom.evidence.reading import Reading, under_filter
from fathom.evidence.subject import Subject

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.RNN, nn.LSTM, nn.GRU)
TERMS = 6
COLUMNS = 512  # tables of more columns are not searched for where a feature comes from
# Of a cell with gates the one whose sum is shown, with the gates in the order of its weights.
GATES: dict[type[Any], tuple[str, tuple[str, ...]]] = {
    nn.RNN: ("", ("",)),
    nn.LSTM: ("candidate", ("input gate", "forget gate", "candidate", "output gate")),
    nn.GRU: ("update gate", ("reset gate", "update gate", "candidate")),
}


@dataclass(frozen=True)
class Unit:
    """A unit, a filter at one place or a cell at one step, of the first weighted layer.

    `values` and `weights` (t,) are the terms of its sum, `position` its index in the layer's
    output, `slope` the loss's derivative by the sum (None of cells: what comes back through time is
    in the weights' gradients alone), `gradients` by the weights. The largest term's weight is
    `parameter` at `at`; it is used `uses` times for one example. `gate` is the sum's, of a cell.
    """

    kind: str
    index: int
    width: int
    position: tuple[int, ...]
    place: tuple[int, ...] | None
    values: Array
    weights: Array
    gradients: Array
    bias: float
    slope: float | None
    parameter: str
    at: tuple[int, ...]
    uses: int = 1
    gate: str = ""

    @property
    def terms(self) -> Array:
        """Value times weight, (t,)."""
        terms: Array = self.values * self.weights
        return terms

    @property
    def largest(self) -> int:
        """The term that weighs most."""
        return largest(self.values, self.weights)

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


def largest(values: Array, weights: Array) -> int:
    """The term that weighs most."""
    return int(np.argmax(np.abs(values * weights)))


def pick_unit(call: Call) -> Unit:
    """The unit whose output matters most to this example's loss: largest |output x slope|.

    `call` is of a layer in WEIGHTED for one example, after the backward pass.
    """
    output, slopes = call.output.detach(), call.output.grad
    assert slopes is not None
    matters = (output * slopes).abs()
    flat = int(matters.argmax())
    position = tuple(int(i) for i in np.unravel_index(flat, tuple(output.shape)))
    if isinstance(call.module, nn.RNNBase):
        return _cell(call, position)
    layer: Any = call.module
    filters = isinstance(layer, nn.Conv1d | nn.Conv2d)
    channel = position[1] if filters else position[-1]
    before = call.inputs[0].detach()
    patch = _patch(layer, before, position) if filters else before[position[:-1]]
    values, weights = _flat(patch), _flat(layer.weight.detach()[channel])
    inside = np.unravel_index(largest(values, weights), tuple(layer.weight.shape[1:]))
    return Unit(
        kind="filter" if filters else "unit",
        index=channel,
        width=layer.weight.shape[0],
        position=position,
        place=_place(layer, position) if filters else position[1:-1] or None,
        values=values,
        weights=weights,
        gradients=_flat(layer.weight.grad[channel]),
        bias=0.0 if layer.bias is None else float(layer.bias.detach()[channel]),
        slope=float(slopes[position]),
        parameter="weight",
        at=(channel, *(int(i) for i in inside)),
        uses=output[0, 0].numel() if filters else output[0, ..., 0].numel(),
    )


def _cell(call: Call, position: tuple[int, ...]) -> Unit:
    """A recurrent cell at one step: what it reads, and what all cells said one step before."""
    layer: Any = call.module
    _, step, cell = position
    gate, gates = GATES[type(layer)]
    row = gates.index(gate) * layer.hidden_size + cell
    read, before = call.inputs[0].detach()[0, step], _state_before(call, step)[0]
    values = np.concatenate([_flat(read), _flat(before)])
    names = ("weight_ih_l0", "weight_hh_l0")
    parts = [getattr(layer, name) for name in names]
    weights = np.concatenate([_flat(part.detach()[row]) for part in parts])
    second = (column := largest(values, weights)) >= len(_flat(read))
    return Unit(
        kind="cell",
        index=cell,
        width=layer.hidden_size,
        position=position,
        place=(step,),
        values=values,
        weights=weights,
        gradients=np.concatenate([_flat(part.grad[row]) for part in parts]),
        bias=float(layer.bias_ih_l0.detach()[row] + layer.bias_hh_l0.detach()[row]),
        slope=None,
        parameter=names[second],
        at=(row, column - (len(_flat(read)) if second else 0)),
        uses=call.output.shape[1],
        gate=gate,
    )


def _state_before(call: Call, step: int) -> tuple[Tensor, Tensor]:
    """What the cells said one step before, (hidden,), and an LSTM's memory; zeros at the first."""
    layer: Any = call.module
    zeros = call.inputs[0].new_zeros(layer.hidden_size)
    if not step:
        return zeros, zeros
    with torch.no_grad():
        _, state = layer(call.inputs[0][:, :step])
    said, memory = state if isinstance(state, tuple) else (state, state)
    return said[0, 0], memory[0, 0]


def _flat(tensor: Tensor) -> Array:
    flat: Array = tensor.flatten().double().cpu().numpy()
    return flat


def _patch(layer: Any, maps: Tensor, position: tuple[int, ...]) -> Tensor:
    """What lies under the filter: (channels of its group, its kernel's sides)."""
    channel, places = position[1], position[2:]
    pads = _padding(layer)
    padded = F.pad(maps[0], [pad for side in reversed(pads) for pad in (side, side)])
    depth = layer.in_channels // layer.groups
    start = channel // (layer.out_channels // layer.groups) * depth
    sides = [
        slice(at * stride, at * stride + (size - 1) * gap + 1, gap)
        for at, stride, size, gap in zip(
            places, layer.stride, layer.kernel_size, layer.dilation, strict=True
        )
    ]
    return padded[(slice(start, start + depth), *sides)]


def _padding(layer: Any) -> tuple[int, ...]:
    """Zeros before the first place of each side. `padding='same'` puts the smaller half there."""
    if layer.padding == "same":
        return tuple(
            gap * (size - 1) // 2
            for gap, size in zip(layer.dilation, layer.kernel_size, strict=True)
        )
    if isinstance(layer.padding, str):
        return (0,) * len(layer.kernel_size)
    return tuple(int(pad) for pad in layer.padding)


def _place(layer: Any, position: tuple[int, ...]) -> tuple[int, ...]:
    """The first place under the filter, from 0; below 0 in the padding."""
    return tuple(
        at * stride - pad
        for at, stride, pad in zip(position[2:], layer.stride, _padding(layer), strict=True)
    )


def term_names(
    subject: Subject,
    network: Any,
    example: Examples,
    call: Call,
    unit: Unit,
    *,
    reading: Reading | None = None,
) -> dict[int, str]:
    """The largest terms of a unit's sum, the largest first, each with a name for its input."""
    largest = [int(k) for k in np.argsort(-np.abs(unit.terms), kind="stable")[:TERMS]]
    layer: Any = call.module
    if unit.kind == "cell":
        read = layer.input_size
        return {
            k: f"number {k + 1} of the step" if k < read else f"cell {k - read + 1} one step before"
            for k in largest
        }
    if unit.kind == "filter":
        return {
            k: under_filter(reading or Reading(call.name), tuple(layer.weight.shape[1:]), k)
            for k in largest
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
    if not names:
        return {}
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
    if unit.kind == "cell":
        return _within_cell(first, unit)
    found: list[tuple[str, float]] = []
    for call in calls[calls.index(first) + 1 :]:
        if call.output.shape != first.output.shape:
            break
        if isinstance(call.module, nn.Identity | nn.Dropout):
            continue
        found.append((type(call.module).__name__, float(call.output.detach()[unit.position])))
        if is_activation(call.module):
            break
    return found


def _within_cell(call: Call, unit: Unit) -> list[tuple[str, float]]:
    """What a cell makes of its gates' sums at one step; what it says is last.

    The equations are those of PyTorch's `nn.RNN`, `nn.LSTM` and `nn.GRU`.
    """
    layer: Any = call.module
    _, step, cell = unit.position
    before, memory = _state_before(call, step)
    with torch.no_grad():
        read = layer.weight_ih_l0 @ call.inputs[0][0, step] + layer.bias_ih_l0
        kept = layer.weight_hh_l0 @ before + layer.bias_hh_l0
    ours, own = (part.view(-1, layer.hidden_size)[:, cell] for part in (read, kept))
    if isinstance(layer, nn.LSTM):
        i, f, o = torch.sigmoid((ours + own)[[0, 1, 3]]).tolist()
        g, old = float(torch.tanh(ours[2] + own[2])), float(memory[cell])
        new = f * old + i * g
        return [
            ("tanh: the candidate", g),
            ("input gate: how much of it is taken", i),
            ("memory before", old),
            ("forget gate: how much of that is kept", f),
            ("memory = kept + taken", new),
            ("output gate: how much is said", o),
            ("said = output gate x tanh of memory", o * float(np.tanh(new))),
        ]
    if isinstance(layer, nn.GRU):
        r, z = torch.sigmoid((ours + own)[:2]).tolist()
        n = float(torch.tanh(ours[2] + r * own[2]))
        old = float(before[cell])
        return [
            ("update gate: how much stays as it was", z),
            ("said one step before", old),
            ("reset gate: how much of that the candidate sees", r),
            ("candidate", n),
            ("said = update gate x before + (1 - update gate) x candidate", z * old + (1 - z) * n),
        ]
    return [("tanh: what the cell says", float(torch.tanh(ours[0] + own[0])))]
