"""How far back does a recurrent network remember? The gradient on its way back through time.

The gradient of a simple network is multiplied at every step by matrices and slopes below one, and
vanishes (Bengio, Simard and Frasconi 1994); the gates of an LSTM let it pass (Hochreiter and
Schmidhuber 1997). All kinds are measured untrained, started alike, on the same examples; the
trained network of the run is a further line, since training changes how far any of them reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.randomness import derive_seed
from fathom.core.record import Figure, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.instruments import batch_of, copied_network
from fathom.evidence.intervals import percentile
from fathom.evidence.measure import evidence
from fathom.evidence.subject import Subject
from fathom.networks.recurrent import CELLS, Layer, RecurrentSpec
from fathom.networks.steps import Steps

EXAMPLES = 32
MOST_STEPS = 256  # of a longer sequence its beginning is read
DIRECTIONS = 4  # drawn at random: enough for the norm of a matrix to within a few per cent
FEWEST = 8  # examples that must be so long for a distance to be told
DRAWS = 200
LOOK_BACK = 20  # steps, at which kinds of cells are compared
NOTABLE = 1.25  # times as far counts as a change, times as much left as a difference
ID, GROUP = "features.memory", "features"
OPERATIONS = 5e9  # a second, of one core at small products
TITLES = {"simple": "simple", "lstm": "LSTM", "gru": "GRU"}


def _layers(network: nn.Module) -> list[Layer]:
    return [module for module in network.modules() if isinstance(module, Layer)]


def _seconds(subject: Subject) -> float:
    weights = sum(p.numel() for layer in _layers(subject.model.network) for p in layer.parameters())
    passes = 2 * (1 + 2 * DIRECTIONS) * (2 + len(CELLS))
    return 0.2 + EXAMPLES * MOST_STEPS * weights * passes / OPERATIONS if weights else 0.0


@evidence("memory", GROUP, (ID,), _seconds, weight=0.5)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`features.memory`: after how many steps the gradient that goes back is half as large."""
    if not _layers(subject.model.network):
        reason = "The network has no recurrent layers that would remember one step in the next."
        return [not_applicable(ID, GROUP, reason)]
    examples = subject.examples("validation").sample(
        subject.sample_size("memory", EXAMPLES), subject.generator("memory")
    )
    layers, steps = _first_chain(subject, examples)
    if int((steps.lengths > 1).sum()) < min(FEWEST, len(examples)):
        return [not_applicable(ID, GROUP, "The sequences have one step each: there is no past.")]
    seed = derive_seed(subject.seed, "evidence", "memory")
    trained = reach(layers, steps, seed)
    fresh = {cell: reach(_fresh(layers, cell, seed), steps, seed) for cell in CELLS}
    own = _fresh(layers, _kind(layers), seed, usual=False)
    return [_record(subject, Reaches(_kind(layers), trained, reach(own, steps, seed), fresh))]


def _kind(layers: Sequence[Layer]) -> str:
    direction: Any = layers[0].directions[0]
    return next(name for name, kind in CELLS.items() if isinstance(direction.cells, kind))


def _first_chain(subject: Subject, examples: Any) -> tuple[list[Layer], Steps]:
    """The recurrent layers that follow each other, on the processor, and the steps they read."""
    network = copied_network(subject).cpu()
    called: list[tuple[Layer, Steps, Steps]] = []

    def keep(module: Any, inputs: tuple[Steps, ...], output: Steps) -> None:
        called.append((module, inputs[0], output))

    handles = [layer.register_forward_hook(keep) for layer in _layers(network)]
    batch = batch_of(subject, examples)
    with torch.no_grad():
        network({name: tensor.cpu() for name, tensor in batch.inputs.items()})
    for handle in handles:
        handle.remove()
    chain = [called[0]]
    for call in called[1:]:
        if call[1].values is chain[-1][2].values:
            chain.append(call)
    steps = chain[0][1]
    cut = Steps(steps.values[:, :MOST_STEPS].detach(), steps.mask[:, :MOST_STEPS])
    return [layer for layer, _, _ in chain], cut


def _fresh(layers: Sequence[Layer], cell: str, seed: int, *, usual: bool = True) -> list[Layer]:
    """Untrained layers of the same sizes with cells of one kind, all with weights of one scale.

    Every weight is uniform within 1 / sqrt(width), as is usual; the forget gate of an LSTM is open
    by a bias of 1 (Jozefowicz et al. 2015). An orthogonal start, as the family has it where `usual`
    is false, would hide for some steps what becomes of a simple network.
    """
    made = []
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        for layer in layers:
            cells: list[Any] = [direction.cells for direction in layer.directions]
            spec = RecurrentSpec(
                cell=cell,  # type: ignore[arg-type]
                width=sum(one.hidden_size for one in cells),
                bidirectional=len(cells) > 1,
                dropout=0.0,
            )
            made.append(Layer(spec, cells[0].input_size).eval())
            for direction in made[-1].directions if usual else ():
                _usual_start(direction.cells, cell)
    return made


def _usual_start(cells: Any, cell: str) -> None:
    cells.reset_parameters()
    if cell == "lstm":
        with torch.no_grad():
            cells.bias_hh_l0.zero_()
            cells.bias_ih_l0[cells.hidden_size : 2 * cells.hidden_size] = 1.0


def reach(layers: Sequence[Layer], steps: Steps, seed: int) -> Array:
    """How strongly the last step's summary depends on a step so and so far back, (B, L).

    The Frobenius norm of the derivative of what the cells that read forwards say at the last step
    by the step's vector, estimated along DIRECTIONS random ones; NaN before a sequence begins.
    """
    values = steps.values.detach().requires_grad_(True)
    flow = Steps(values, steps.mask)
    for layer in layers[:-1]:
        flow = layer(flow)
    last: Any = layers[-1]
    said = last.directions[0](Steps(last.dropout(flow.values), flow.mask))
    rows = torch.arange(len(said))
    summary = said[rows, steps.lengths - 1]  # (B, width)
    generator = torch.Generator().manual_seed(seed)
    total = torch.zeros(steps.mask.shape, dtype=torch.float64)
    for _ in range(DIRECTIONS):
        direction = torch.randn(summary.shape, generator=generator)
        (slopes,) = torch.autograd.grad(summary, values, direction, retain_graph=True)
        total += slopes.double().square().sum(dim=2)
    return _by_distance((total / DIRECTIONS).sqrt(), steps.lengths)


def _by_distance(norms: Tensor, lengths: Tensor) -> Array:
    """Norms (B, L) by place to norms by distance from each sequence's last step."""
    distance = torch.arange(norms.shape[1])
    places = lengths[:, None] - 1 - distance
    by_distance = norms.gather(1, places.clamp_min(0))
    found: Array = torch.where(places >= 0, by_distance, torch.nan).numpy()
    return found


def typical(norms: Array) -> Array:
    """The median over examples at each distance, relative to the last step; (L',)."""
    long_enough = (~np.isnan(norms)).sum(axis=0) >= min(FEWEST, len(norms))
    curve: Array = np.nanmedian(norms[:, : max(1, int(long_enough.sum()))], axis=0)
    return curve / curve[0] if curve[0] > 0 else curve


def half_way(curve: Array) -> float:
    """The distance at which a curve that starts at 1 first is at one half; infinite if it never is.

    Between two distances on the straight line between their logarithms.
    """
    below = np.flatnonzero(curve <= 0.5)
    if not len(below) or not below[0]:
        return float("inf") if not len(below) else 0.0
    place = int(below[0])
    before, after = np.log(curve[place - 1]), np.log(max(curve[place], 1e-300))
    return float(place - 1 + (before - np.log(0.5)) / (before - after))


@dataclass
class Reaches:
    """Norms (B, L) by distance: of the `trained` network, whose cells are of one `kind`; of the
    same at the `start` that the family gives it; of untrained networks of all kinds, started alike.
    """

    kind: str
    trained: Array
    start: Array
    untrained: dict[str, Array]

    @property
    def furthest(self) -> int:
        """How many steps back enough examples reach."""
        return len(typical(self.trained)) - 1

    def curves(self) -> dict[str, Array]:
        """Name to the line that is drawn; the untrained one of the run's own kind comes first."""
        kinds = sorted(self.untrained, key=lambda kind: kind != self.kind)
        lines = {f"{TITLES[kind]}, untrained": typical(self.untrained[kind]) for kind in kinds}
        return lines | {f"this {TITLES[self.kind]}, trained": typical(self.trained)}


def _record(subject: Subject, reaches: Reaches) -> Record:
    half, furthest = half_way(typical(reaches.trained)), reaches.furthest
    value = min(half, float(furthest))
    draws = _draws(subject, reaches.trained).clip(max=furthest)
    estimate = percentile(value, draws, f"percentile bootstrap of examples, {DRAWS} draws")
    low, high = (wording.number(end) for end in estimate.interval)
    return Record(
        ID,
        GROUP,
        sentence=(
            f"{_side_by_side(reaches)} In this run's {TITLES[reaches.kind]} network, trained, it "
            f"is half as large {_after(half, furthest)} (95 % interval {low} to {high}): "
            f"{_changed(half, half_way(typical(reaches.start)), furthest)}."
        ),
        value=value,
        unit="steps",
        interval=estimate.interval,
        n=len(reaches.trained),
        split="validation",
        method=(
            "norm of the derivative of the last step's output (cells that read forwards) by an "
            "earlier step's input, relative to distance 0, median over examples; untrained "
            "networks have the sizes of the trained one and read the same steps, their weights are "
            "uniform within 1 / sqrt(width), an LSTM's forget gate open by a bias of 1; "
            f"{estimate.method}"
        ),
        figure=Figure(
            "curves",
            {
                "series": [
                    {"name": name, "x": list(range(len(curve))), "y": curve.tolist()}
                    for name, curve in reaches.curves().items()
                ],
                "x_label": "steps back",
                "y_label": "gradient, relative to the last step",
                "log_y": True,
            },
        ),
    )


def _side_by_side(reaches: Reaches) -> str:
    """What becomes of the gradient in untrained networks of all kinds; no more than they show."""
    curves = {kind: typical(norms) for kind, norms in reaches.untrained.items()}
    far = min(LOOK_BACK, reaches.furthest)
    halves = [
        f"{_after(half_way(curve), reaches.furthest)} in the {TITLES[kind]}"
        for kind, curve in curves.items()
    ]
    left = [f"{_share(float(curve[far]))} in the {TITLES[kind]}" for kind, curve in curves.items()]
    kept = {kind: float(curve[far]) for kind, curve in curves.items()}
    gated = [TITLES[kind] for kind in ("lstm", "gru") if kept[kind] > NOTABLE * kept["simple"]]
    verdict = "Gates do not let more through here."
    if gated:
        verdict = f"The gates of the {' and the '.join(gated)} let more of it through."
    return (
        "Going back from the last step through untrained networks of one width, started alike, the "
        f"gradient is half as large {_listed(halves)} network; {wording.plural(far, 'step')} back "
        f"{_listed(left)} network is left of it. {verdict}"
    )


def _listed(parts: list[str]) -> str:
    *front, back = parts
    return f"{', '.join(front)} and {back}"


def _changed(half: float, before: float, furthest: int) -> str:
    """What training did to the reach, beside the family's own start."""
    start = f"at its own start, untrained, it was {_after(before, furthest)}"
    after, before = min(half, furthest), min(before, furthest)
    if after > NOTABLE * before:
        return f"{start}, and training lengthened the reach"
    if after * NOTABLE < before:
        return f"{start}, and training shortened the reach"
    return f"{start}, and training hardly changed that"


def _share(share: float) -> str:
    if share >= 1e-4:
        return wording.percent(share)
    return f"{wording.number(100 * share)} %" if share >= 1e-6 else "less than a millionth"


def _after(distance: float, furthest: int) -> str:
    if distance > furthest:
        return f"not within {furthest} steps"
    return f"after {wording.number(distance)} steps"


def _draws(subject: Subject, norms: Array) -> Array:
    """The half-way distance of resampled examples, (DRAWS,)."""
    generator = subject.generator("memory", "draws")
    picked = generator.integers(0, len(norms), size=(DRAWS, len(norms)))
    return np.array([half_way(typical(norms[rows])) for rows in picked])
