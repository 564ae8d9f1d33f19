"""The family `recurrent`: networks that read a sequence step by step and keep a memory of it.

Three kinds of cell: the simple one (Elman 1990), whose gradient fades on the way back through time;
the LSTM (Hochreiter and Schmidhuber 1997) and the GRU (Cho et al. 2014, arXiv 1406.1078), whose
gates let it pass.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from msgspec import Struct
from torch import Tensor, nn

from fathom.core.blocks import InputSpec
from fathom.core.output import OutputSpec
from fathom.networks.family import (
    FAMILIES,
    MOST_DEPTH,
    Family,
    Head,
    Network,
    Reasons,
    check_at_least,
    check_at_most,
    check_choice,
    check_fraction,
    check_weights,
)
from fathom.networks.fronts import Front, front_size, one_sequence, the_sequence
from fathom.networks.steps import PoolSteps, Steps

CellName = Literal["simple", "lstm", "gru"]
CELLS: dict[str, type[Any]] = {"simple": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
GATES = {"simple": 1, "lstm": 4, "gru": 3}
MANY = 20_000
"""Training examples from which on the default network is twice as wide."""


class RecurrentSpec(
    Struct,
    frozen=True,
    tag="recurrent",
    tag_field="family",
    forbid_unknown_fields=True,
    kw_only=True,
):
    """`depth` layers of `width` cells of one kind (`cell`: simple, lstm or gru).

    A `bidirectional` layer reads forwards with half of its cells and backwards with the others.
    Steps enter as vectors of `embed_dim` numbers. `dropout` acts between the stages and before the
    head. Raises PlanError for values that make no network.
    """

    cell: CellName = "lstm"
    width: int = 128
    depth: int = 1
    bidirectional: bool = True
    embed_dim: int = 64
    dropout: float = 0.3

    def __post_init__(self) -> None:
        """Check every field."""
        check_choice(self.cell, get_args(CellName), "network.cell")
        check_at_least(self.width, 2, "network.width")
        check_at_least(self.depth, 1, "network.depth")
        check_at_most(self.depth, MOST_DEPTH, "network.depth")
        check_at_least(self.embed_dim, 1, "network.embed_dim")
        check_fraction(self.dropout, "network.dropout")


class Direction(nn.Module):
    """One pass over the steps: (B, L, before) to (B, L, width), forwards or backwards.

    Padding stands behind the end, where a pass forwards comes to it last; for a pass backwards each
    sequence is turned around by itself, so that neither ever reads padding first.
    """

    def __init__(self, cell: CellName, before: int, width: int, *, backwards: bool) -> None:
        super().__init__()
        self.backwards = backwards
        self.cells = CELLS[cell](before, width, batch_first=True)
        _start(self.cells, cell, width)

    def forward(self, steps: Steps) -> Tensor:
        """What the cells say at each step."""
        if not self.backwards:
            said: Tensor = self.cells(steps.values)[0]
            return said
        places = _turned(steps)
        turned = steps.values.gather(1, places.expand(-1, -1, steps.values.shape[2]))
        said = self.cells(turned)[0]
        return said.gather(1, places.expand(-1, -1, said.shape[2]))


def _turned(steps: Steps) -> Tensor:
    """For each place the one that it changes with when a sequence is turned around, (B, L, 1)."""
    place = torch.arange(steps.mask.shape[1], device=steps.mask.device)
    last = steps.lengths[:, None] - 1
    return torch.where(place <= last, last - place, place)[:, :, None]


def _start(cells: Any, cell: CellName, width: int) -> None:
    """Weights that keep a memory at first: orthogonal between steps, forget gates open.

    Jozefowicz et al. 2015: an LSTM whose forget gate begins at one learns long dependencies sooner.
    """
    for name, parameter in cells.named_parameters():
        if name.startswith("weight"):
            start = nn.init.orthogonal_ if "_hh" in name else nn.init.xavier_uniform_
            for gate in parameter.detach().split(width):
                start(gate)
        else:
            nn.init.zeros_(parameter)
    if cell == "lstm":
        with torch.no_grad():
            cells.bias_ih_l0[width : 2 * width] = 1.0


class Layer(nn.Module):
    """One layer of cells over all steps, in one direction or in both; dropout acts before it."""

    def __init__(self, spec: RecurrentSpec, before: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(spec.dropout)
        widths = (spec.width - spec.width // 2, spec.width // 2)
        self.directions = nn.ModuleList(
            [
                Direction(spec.cell, before, width, backwards=bool(turn))
                for turn, width in enumerate(widths)
            ]
            if spec.bidirectional
            else [Direction(spec.cell, before, spec.width, backwards=False)]
        )

    def forward(self, steps: Steps) -> Steps:
        """Steps (B, L, width)."""
        read = Steps(self.dropout(steps.values), steps.mask)
        said = [direction(read) for direction in self.directions]
        return Steps(torch.cat(said, dim=2) if len(said) > 1 else said[0], steps.mask)


class Recurrent(Network):
    """Embedding, layers of cells, pooling, head."""

    def __init__(self, spec: RecurrentSpec, inputs: InputSpec, output: OutputSpec) -> None:
        super().__init__()
        _check_size(spec, inputs, output)
        self.front = Front(inputs, spec.embed_dim, "recurrent")
        widths = [spec.embed_dim, *[spec.width] * spec.depth]
        self.layers = nn.ModuleList(Layer(spec, before) for before, _ in pairwise(widths))
        self.pool = PoolSteps()
        self.head = Head(2 * spec.width, output.size, spec.dropout)
        self.cell = spec.cell

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Embedding, layers, pooling, head."""
        layers = [(f"{self.cell} {i}", layer) for i, layer in enumerate(self.layers, 1)]
        return [("embedding", self.front), *layers, ("pooling", self.pool), ("head", self.head)]


def _check_size(spec: RecurrentSpec, inputs: InputSpec, output: OutputSpec) -> None:
    _, block = the_sequence(inputs, "recurrent")
    count = 2 * spec.width * output.size
    count += front_size(block, spec.embed_dim)
    befores = [spec.embed_dim, *[spec.width] * (spec.depth - 1)]
    count += sum(GATES[spec.cell] * spec.width * (before + spec.width) for before in befores)
    check_weights(count, "network.width, network.embed_dim or network.depth")


def default_spec(inputs: InputSpec, output: OutputSpec, rows: int) -> tuple[RecurrentSpec, Reasons]:
    """What suits one sequence and `rows` training examples, and why."""
    the_sequence(inputs, "recurrent")
    width = 256 if rows >= MANY else 128
    return RecurrentSpec(width=width), {
        "cell": "The gates of an LSTM keep what a simple cell forgets.",
        "width": f"{width} cells suit {rows:,} training examples.",
    }


FAMILIES.register("recurrent")(
    Family(spec=RecurrentSpec, build=Recurrent, default_spec=default_spec, accepts=one_sequence)
)
