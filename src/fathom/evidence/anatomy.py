"""What happens inside? Layer by layer: shapes, activations, dead units, gradients, updates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from fathom.core.blocks import AudioBlock
from fathom.core.budget import Budget
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.instruments import (
    Call,
    batch_of,
    copied_network,
    is_activation,
    loss_of,
    traced,
    units_first,
    units_last,
)
from fathom.evidence.measure import evidence
from fathom.evidence.subject import NETWORK, Subject
from fathom.evidence.updates import (
    gradient_curves,
    gradients_record,
    update_curves,
    updates_record,
)
from fathom.networks.backbones.models import Model
from fathom.networks.steps import flat

EXAMPLES, FEWEST = 256, 16
VALUES_TOGETHER = 4_000_000  # input values of the examples that are looked at in one pass
VALUES_PER_STEP = 64  # a token or a step of a series becomes a vector of about so many at once
HISTOGRAM_BINS = 30
VALUES = 100_000  # of an activation histogram: a sample of that size draws the same picture

# A unit whose output is the same for every example tells nothing on. A twentieth of them costs
# little; from a third on the layer is much narrower than it was paid for.
GOOD_DEAD, FAIR_DEAD = 0.05, 0.33
SATURATED = 0.01  # a sigmoid or tanh this close to its ends passes hardly any gradient on
# Root-mean-square gradients of the first and the last stage: a hundredfold between them is common
# in networks that learn well, a thousandfold is not.
GOOD_RATIO, FAIR_RATIO = 100.0, 1000.0
IDS = (
    "anatomy.layers",
    "anatomy.dead_units",
    "anatomy.gradient_ratio",
    "anatomy.gradient_norms",
    "anatomy.update_ratio",
)
FROM_THE_LOG = ("anatomy.gradient_norms", "anatomy.update_ratio")


@dataclass
class Stage:
    """What was seen of one stage of the network."""

    name: str
    module: nn.Module
    output: Tensor
    grad_norm: float
    touched: int = 0
    dead: int = 0
    units: int = 0
    saturated: float | None = None
    update_ratio: float | None = None

    @property
    def parameters(self) -> int:
        """How many numbers the stage learns."""
        return sum(p.numel() for p in self.module.parameters())

    @property
    def grad_rms(self) -> float:
        """Root mean square of its gradient: a norm that does not grow with the stage's size.

        Over the numbers that took part (`touched`): a word that no example has tells nothing.
        """
        return self.grad_norm / float(max(self.touched, 1) ** 0.5)


def _seconds(subject: Subject) -> float:
    predicting = subject.prediction_seconds(NETWORK, "validation")
    share = EXAMPLES / max(len(subject.splits["validation"]), 1)
    return 0.5 + 10 * predicting * min(share, 1.0)  # float32, and a backward pass


@evidence("anatomy", "anatomy", IDS, _seconds)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """Records of layers, dead units and gradients on validation examples; curves from the log."""
    network = copied_network(subject)
    limit = min(subject.sample_size("anatomy", EXAMPLES), _fitting(subject))
    examples = subject.examples("validation").sample(limit, subject.generator("anatomy"))
    stages = _observe(subject, network, examples)
    curves = update_curves(subject.log, network)
    for stage in stages:
        if stage.name in curves:
            stage.update_ratio = float(np.median(curves[stage.name][1]))
    records = [
        layers_record(stages),
        _dead_units(stages),
        gradient_ratio_record(stages),
        gradients_record(gradient_curves(subject.log, network)),
        updates_record(curves),
    ]
    return [_with_sample(record, len(examples)) for record in records]


def _fitting(subject: Subject) -> int:
    """How many examples may be looked at together: everything that flows is kept in memory."""
    arrays = subject.splits["validation"].inputs
    sizes = {name: int(np.prod(array.shape[1:])) for name, array in arrays.items()}
    for name, block in subject.model.inputs.sequences.items():
        waves = any(isinstance(module, Model) for module in subject.model.network.modules())
        sizes[name] *= VALUES_PER_STEP if waves or not isinstance(block, AudioBlock) else 1
    return max(FEWEST, VALUES_TOGETHER // max(sum(sizes.values()), 1))


def _with_sample(record: Record, n: int) -> Record:
    if record.status != "measured" or record.id in FROM_THE_LOG:
        return record
    return replace(record, n=n, split="validation")


def _observe(subject: Subject, network: Any, examples: Any) -> list[Stage]:
    """One forward and one backward pass, in evaluation mode, with a hook on every stage."""
    batch = batch_of(subject, examples)
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, inputs, output: outputs.__setitem__(name, flat(output).detach())

    named = network.stages()
    handles = [module.register_forward_hook(keep(name)) for name, module in named]
    with traced(network) as calls:
        loss_of(subject, network, batch).backward()  # type: ignore[no-untyped-call]
    for handle in handles:
        handle.remove()
    stages = [
        Stage(name, module, outputs[name], gradient_norm(module.parameters()), touched(module))
        for name, module in named
    ]
    members = hasattr(subject.model.network_spec, "members")
    for stage in stages:
        _look_at_activations(stage, calls, members)
    return stages


def gradient_norm(parameters: Iterable[nn.Parameter]) -> float:
    """The norm of all gradients together; 0 where there are none."""
    squares = [float(p.grad.double().square().sum()) for p in parameters if p.grad is not None]
    return float(sum(squares) ** 0.5)


def touched(module: nn.Module) -> int:
    """How many learned numbers could have a gradient: of tables the rows that were looked up."""
    tables = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    count = 0
    for parameter in module.parameters():
        if id(parameter) in tables and parameter.grad is not None:
            count += int((parameter.grad != 0).any(dim=1).sum()) * parameter.shape[1]
        else:
            count += parameter.numel()
    return count


def _look_at_activations(stage: Stage, calls: list[Call], members: bool) -> None:
    inside = set(stage.module.modules())
    shares = []
    for before, call in zip([None, *calls], calls, strict=False):
        bends = is_activation(call.module) or isinstance(call.module, nn.RNNBase)
        if call.module not in inside or not bends:
            continue
        last = not members and units_last(call, before)
        output = call.output.flatten(0, 1) if last else call.output
        dead = dead_units(output, call.module, members)
        stage.dead += int(dead.sum())
        stage.units += len(dead)
        share = saturated_share(call.module, call.output)
        shares += [] if share is None else [share]
    stage.saturated = float(np.mean(shares)) if shares else None


def dead_units(output: Tensor, module: nn.Module | None = None, members: bool = False) -> Tensor:
    """Which units of an activation's output (B, U, ...) never vary, (U,) Boolean.

    A rectified unit that never fires is always 0. The same test finds the dead units of smooth
    activations, which are never exactly 0, and of recurrent cells. For `module` and `members` see
    `units_first`.
    """
    units = units_first(output, module, members)
    spread = units.amax(dim=1) - units.amin(dim=1)
    return spread <= 1e-6 * output.detach().abs().max()


def saturated_share(module: nn.Module, output: Tensor) -> float | None:
    """The share of a sigmoid's or tanh's outputs at its ends; None for other activations.

    A simple recurrent cell ends with a tanh.
    """
    if isinstance(module, nn.Sigmoid):
        distance = torch.minimum(output, 1 - output)
    elif isinstance(module, nn.Tanh | nn.RNN):
        distance = (1 - output.abs()) / 2
    else:
        return None
    return float((distance < SATURATED).float().mean())


def layers_record(stages: list[Stage]) -> Record:
    """`anatomy.layers`: what was seen of each stage, as a table."""
    parameters = sum(stage.parameters for stage in stages)
    names = ", ".join(stage.name for stage in stages)
    return Record(
        "anatomy.layers",
        "anatomy",
        sentence=(
            f"The network computes its answer in {wording.plural(len(stages), 'stage')} ({names}) "
            f"with {parameters:,} learned numbers in all."
        ),
        value=float(len(stages)),
        unit="stages",
        method="hooks on every stage during one forward and one backward pass, without dropout",
        figure=Figure("layers", {"rows": [_row(stage) for stage in stages]}),
    )


def _row(stage: Stage) -> dict[str, Any]:
    output = stage.output.float()
    return {
        "name": stage.name,
        "type": type(stage.module).__name__,
        "output_shape": list(output.shape[1:]),
        "parameters": stage.parameters,
        "mean": float(output.mean()),
        "std": float(output.std(correction=0)),
        "dead_share": stage.dead / stage.units if stage.units else None,
        "saturated_share": stage.saturated,
        "grad_norm": stage.grad_norm if stage.parameters else None,
        "update_ratio": stage.update_ratio,
        "histogram": _histogram(output),
    }


def _histogram(output: Tensor) -> dict[str, list[float]]:
    values = output.flatten().cpu().numpy()
    values = values[:: max(1, len(values) // VALUES)]
    counts, edges = np.histogram(values, bins=HISTOGRAM_BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _dead_units(stages: list[Stage]) -> Record:
    units, dead = sum(s.units for s in stages), sum(s.dead for s in stages)
    if not units:
        reason = "The network has no activation layers whose units could be dead."
        return not_applicable("anatomy.dead_units", "anatomy", reason)
    share = dead / units
    grade: Grade = "good" if share < GOOD_DEAD else "fair" if share < FAIR_DEAD else "poor"
    tail = "every unit takes part."
    if dead:
        worst = max(stages, key=lambda s: s.dead / max(s.units, 1))
        tail = (
            f"they take no part in any answer. Most are in {worst.name} ({worst.dead:,} of "
            f"{worst.units:,})."
        )
    return Record(
        "anatomy.dead_units",
        "anatomy",
        sentence=(
            f"{wording.count(dead)} of {units:,} units ({wording.percent(share)}) give the same "
            f"output for every example: {tail}"
        ),
        value=share,
        method="units, cells or feature maps behind an activation whose output never varies",
        higher_is_better=False,
        grade=grade,
    )


def _pieces(stage: Stage) -> list[Stage]:
    """A stage, or of a model of transformers what lies outside of its layers, then the layers."""
    inner = stage.module.layers() if isinstance(stage.module, Model) else []
    layers = [
        Stage(
            f"{stage.name} layer {number}",
            layer,
            stage.output,
            gradient_norm(layer.parameters()),
            touched(layer),
        )
        for number, layer in enumerate(inner, 1)
    ]
    square = stage.grad_norm**2 - sum(layer.grad_norm**2 for layer in layers)
    outside = stage.touched - sum(layer.touched for layer in layers)
    rest = Stage(stage.name, stage.module, stage.output, max(square, 0.0) ** 0.5, outside)
    return [rest, *layers]


def gradient_ratio_record(stages: list[Stage]) -> Record:
    """`anatomy.gradient_ratio`: the first stage's gradient over the last one's."""
    learned = [piece for stage in stages if stage.parameters for piece in _pieces(stage)]
    if len(learned) < 2 or not learned[-1].grad_rms or not learned[0].grad_rms:
        reason = "It takes two stages with gradients above zero to compare them."
        return not_applicable("anatomy.gradient_ratio", "anatomy", reason)
    ratio = learned[0].grad_rms / learned[-1].grad_rms
    distance = max(ratio, 1 / ratio)
    grade: Grade = "good" if distance < GOOD_RATIO else "fair" if distance < FAIR_RATIO else "poor"
    meaning = "the error signal reaches the first stage well"
    if grade != "good":
        vanishing = "it vanishes on the way, so that the first stage hardly learns"
        meaning = vanishing if ratio < 1 else "it explodes on the way, so that training is unstable"
    return Record(
        "anatomy.gradient_ratio",
        "anatomy",
        sentence=(
            f"Going back from {learned[-1].name} to {learned[0].name} the gradient becomes "
            f"{wording.number(ratio)} times as large: {meaning}."
        ),
        value=ratio,
        method=(
            "root mean square gradient of the first stage over the last one's; of tables of "
            "vectors over those that were looked up"
        ),
        grade=grade,
        figure=Figure(
            "bars",
            {
                "labels": [stage.name for stage in learned],
                "values": [stage.grad_rms for stage in learned],
                "low": None,
                "high": None,
                "x_label": "root mean square gradient",
                "highlight": None,
            },
        ),
    )
