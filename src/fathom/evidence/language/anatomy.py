"""What happens inside? Stage by stage: activations, gradients, units that never speak, updates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from fathom.core.budget import Budget
from fathom.core.randomness import torch_generator
from fathom.core.record import Grade, Record, not_applicable
from fathom.evidence import anatomy, wording
from fathom.evidence.instruments import copied
from fathom.evidence.language.stages import batch_of, rows_of, stages_of
from fathom.evidence.language.subject import NETWORK, LanguageSubject
from fathom.evidence.measure import evidence
from fathom.evidence.updates import (
    gradient_curves,
    gradients_record,
    update_curves,
    updates_record,
)
from fathom.networks.language.block import Perceptron

TOKENS, BACKWARD = 4_096, 1_024  # read to look at units, and read with a backward pass
CLOSE = 1e-6  # of the largest value: a unit whose values lie closer together never varies


def _seconds(subject: LanguageSubject) -> float:
    # Units are looked at without the scoring of tokens, which takes half of the time of a reading.
    each = subject.token_seconds(NETWORK)
    return 0.4 + each * (TOKENS / 2 + 2 * BACKWARD)


@evidence("anatomy", "anatomy", anatomy.IDS, _seconds, weight=0.5)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`anatomy.*` on validation text, and from the log."""
    network = copied(subject.network.model.network)
    rows = rows_of(subject, "validation", TOKENS)
    parts = stages_of(network)
    updates = update_curves(subject.log, network, parts)
    stages = _observed(subject, network, rows[: max(1, BACKWARD // rows.shape[1])])
    units = _units(subject, network, rows)
    for stage in stages:
        found = [each for each in units if each.stage == stage.name]
        stage.dead, stage.units = sum(u.dead for u in found), sum(u.units for u in found)
        if stage.name in updates:
            stage.update_ratio = float(np.median(updates[stage.name][1]))
    return [
        _read(anatomy.layers_record(stages), BACKWARD),
        _dead_units(units, rows[:, 1:].size),
        _read(anatomy.gradient_ratio_record(_own(stages)), BACKWARD),
        gradients_record(gradient_curves(subject.log, network, parts)),
        updates_record(updates),
    ]


def _own(stages: list[anatomy.Stage]) -> list[anatomy.Stage]:
    """Stages with weights of their own: a tied head has none beside the embedding's."""
    seen: set[int] = set()
    found = []
    for stage in stages:
        weights = {id(p) for p in stage.module.parameters()}
        found += [stage] if weights - seen else []
        seen |= weights
    return found


def _read(record: Record, tokens: int) -> Record:
    if record.status != "measured":
        return record
    return replace(record, n=tokens, split="validation")


def _observed(subject: LanguageSubject, network: Any, rows: Any) -> list[anatomy.Stage]:
    """Every stage's output and gradient in one pass forwards and back."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            outputs[name] = first.detach()

        return hook

    parts = stages_of(network)
    hooks = [module.register_forward_hook(keep(name)) for name, module in parts]
    generator = torch_generator(subject.seed, "evidence", device=subject.network.model.device)
    phase = subject.task.phases(network)[0]
    phase.loss(network, batch_of(subject, rows), generator).value.backward()  # type: ignore[no-untyped-call]
    for hook in hooks:
        hook.remove()
    return [
        anatomy.Stage(
            name,
            module,
            outputs[name],
            anatomy.gradient_norm(module.parameters()),
            anatomy.touched(module),
        )
        for name, module in parts
    ]


@dataclass(frozen=True)
class Units:
    """Of a stage: how many hidden units, or cells, it has, and how many never vary."""

    stage: str
    units: int
    dead: int


def _units(subject: LanguageSubject, network: Any, rows: Any) -> list[Units]:
    """The hidden units of every perceptron, and the cells of recurrent layers."""
    spans: dict[str, tuple[Tensor, Tensor]] = {}

    def widen(name: str, values: Tensor) -> None:
        flat = values.detach().flatten(0, -2)
        low, high = flat.amin(dim=0), flat.amax(dim=0)
        if name in spans:
            low, high = torch.minimum(low, spans[name][0]), torch.maximum(high, spans[name][1])
        spans[name] = low, high

    hooks = []
    for name, stage in stages_of(network):
        for module in stage.modules():
            if isinstance(module, Perceptron):  # what goes into its second layer are its units
                hooks.append(
                    module.down.register_forward_pre_hook(
                        lambda _, inputs, name=name: widen(name, inputs[0])
                    )
                )
            elif isinstance(module, nn.RNNBase):
                hooks.append(
                    module.register_forward_hook(
                        lambda _, inputs, output, name=name: widen(name, output[0])
                    )
                )
    with torch.no_grad():
        for some in np.array_split(rows, -(-rows.size // 2_048)):
            if len(some):
                network(next(iter(batch_of(subject, some).inputs.values())))
    for hook in hooks:
        hook.remove()
    return [_told(name, low, high) for name, (low, high) in spans.items()]


def _told(name: str, low: Tensor, high: Tensor) -> Units:
    most = torch.maximum(low.abs(), high.abs()).max()
    return Units(name, len(low), int((high - low <= CLOSE * most).sum()))


def _dead_units(found: list[Units], tokens: int) -> Record:
    units, dead = sum(each.units for each in found), sum(each.dead for each in found)
    if not units:
        reason = "The network has no hidden units whose activity could be looked at."
        return not_applicable("anatomy.dead_units", "anatomy", reason)
    share = dead / units
    grade: Grade = "poor"
    if share < anatomy.FAIR_DEAD:
        grade = "good" if share < anatomy.GOOD_DEAD else "fair"
    tail = "every unit takes part."
    if dead:
        worst = max(found, key=lambda each: each.dead / max(each.units, 1))
        tail = (
            f"they take no part in any answer. Most are in {worst.stage} ({worst.dead:,} of "
            f"{worst.units:,})."
        )
    return Record(
        "anatomy.dead_units",
        "anatomy",
        sentence=(
            f"{wording.count(dead)} of {units:,} hidden units ({wording.percent(share)}) give the "
            f"same output at each of {tokens:,} tokens: {tail}"
        ),
        value=share,
        n=tokens,
        split="validation",
        method="hidden units of perceptrons, or cells, whose output never varies",
        higher_is_better=False,
        grade=grade,
    )
