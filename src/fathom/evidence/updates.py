"""Gradient norms and update ratios of the stages over training, from the training log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torch import nn

from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.networks.backbones.models import Model

POINTS = 300
# Size of a step relative to the weights. About 0.001 is a common rule of thumb; Muon's steps are
# larger and weights that shrink make it larger still, so the borders are wide.
GOOD_UPDATE, FAIR_UPDATE = (1e-4, 5e-2), (1e-5, 3e-1)

Curves = dict[str, tuple[list[int], list[float]]]
"""Stage name to steps and values."""

Stages = Sequence[tuple[str, nn.Module]]


def update_curves(log: list[dict[str, Any]], network: Any, stages: Stages | None = None) -> Curves:
    """Update ratios: the norm of a step over the norm of the weights, for every stage.

    `stages` are those of the network where it does not tell them itself.
    """

    def ratio(norms: dict[str, float]) -> float | None:
        weight = norms["weight_norm"]
        return norms["update_norm"] / weight if weight > 0 else None

    return _curves(log, network, ratio, stages)


def gradient_curves(
    log: list[dict[str, Any]], network: Any, stages: Stages | None = None
) -> Curves:
    """The norm of the gradient, before clipping, for every stage.

    Layers of a model of transformers count as stages, and the stage as what lies outside of them.
    """
    return _curves(log, network, lambda norms: norms["grad_norm"], stages, by_layer=True)


def _curves(
    log: list[dict[str, Any]],
    network: Any,
    value_of: Callable[[dict[str, float]], float | None],
    stages: Stages | None,
    *,
    by_layer: bool = False,
) -> Curves:
    """A value of each stage's norms over the lines of the log that hold them."""
    parts = network.stages() if stages is None else stages
    owner = {id(p): name for name, module in parts for p in module.parameters()}
    for name, module in parts if by_layer else ():
        inner = module.layers() if isinstance(module, Model) else []
        for number, layer in enumerate(inner, 1):
            owner |= {id(p): f"{name} layer {number}" for p in layer.parameters()}
    stage_of = {name: owner.get(id(p)) for name, p in network.named_parameters()}
    curves: Curves = {}
    for line in log:
        if line.get("kind") != "layers":
            continue
        for stage, norms in _stage_norms(line["layers"], stage_of).items():
            value = value_of(norms)
            if value is not None and np.isfinite(value):
                steps, values = curves.setdefault(stage, ([], []))
                steps.append(line["step"])
                values.append(value)
    return curves


def _stage_norms(
    layers: dict[str, dict[str, float]], stage_of: dict[str, str | None]
) -> dict[str, dict[str, float]]:
    """Norms over all parameters of a stage together, from those of each parameter."""
    squares: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for parameter, norms in layers.items():
        stage = stage_of.get(parameter)
        if stage is not None:
            for name, norm in norms.items():
                squares[stage][name] += norm * norm
    return {
        stage: {name: float(total**0.5) for name, total in sums.items()}
        for stage, sums in squares.items()
    }


def _figure(curves: Curves, y_label: str) -> Figure:
    series = []
    for name, (steps, values) in curves.items():
        every = max(1, len(steps) // POINTS)
        series.append({"name": name, "x": steps[::every], "y": values[::every]})
    return Figure(
        "curves", {"series": series, "x_label": "step", "y_label": y_label, "log_y": True}
    )


def gradients_record(curves: Curves) -> Record:
    """`anatomy.gradient_norms` from `gradient_curves`."""
    if not curves:
        reason = "The training log holds no sizes of the stages' gradients."
        return not_applicable("anatomy.gradient_norms", "anatomy", reason)
    medians = {name: float(np.median(norms)) for name, (_, norms) in curves.items()}
    value = float(np.median(list(medians.values())))
    largest, smallest = max(medians, key=medians.__getitem__), min(medians, key=medians.__getitem__)
    sentence = (
        f"Over training the gradient was largest in {largest}, with a norm of "
        f"{wording.number(medians[largest])} as a median, and smallest in {smallest}, with "
        f"{wording.number(medians[smallest])}."
    )
    if largest == smallest:
        sentence = (
            f"Over training the gradient of {largest} had a norm of {wording.number(value)} as a "
            "median."
        )
    silent = [name for name, (_, norms) in curves.items() if not any(norms)]
    if silent:
        sentence += f" None ever reached {', '.join(silent)}, which therefore learned nothing."
    return Record(
        "anatomy.gradient_norms",
        "anatomy",
        sentence=sentence,
        value=value,
        method="norm of a stage's gradient before clipping; median over training, then over stages",
        grade="poor" if silent else "good",
        figure=_figure(curves, "gradient norm"),
    )


def updates_record(curves: Curves) -> Record:
    """`anatomy.update_ratio` from `update_curves`."""
    if not curves:
        reason = "The training log holds no sizes of weights and updates."
        return not_applicable("anatomy.update_ratio", "anatomy", reason)
    medians = {name: float(np.median(ratios)) for name, (_, ratios) in curves.items()}
    value = float(np.median(list(medians.values())))
    grade: Grade = "poor"
    if GOOD_UPDATE[0] <= value <= GOOD_UPDATE[1]:
        grade = "good"
    elif FAIR_UPDATE[0] <= value <= FAIR_UPDATE[1]:
        grade = "fair"
    said = "a healthy size"
    if grade != "good":
        said = "rather small: it may have learned too slowly"
        if value > GOOD_UPDATE[1]:
            said = "rather large: it may have jumped over good weights"
    return Record(
        "anatomy.update_ratio",
        "anatomy",
        sentence=(
            f"A training step changed the weights by {wording.percent(value)} of their size, "
            f"{said}."
        ),
        value=value,
        method="norm of the step over norm of the weights; median over training, then over stages",
        grade=grade,
        figure=_figure(curves, "step over weights"),
    )
