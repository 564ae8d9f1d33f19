"""How far did each step move the weights? Update ratios of the stages, from the training log."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording

POINTS = 300
# Size of a step relative to the weights. About 0.001 is a common rule of thumb; Muon's steps are
# larger and weights that shrink make it larger still, so the borders are wide.
GOOD_UPDATE, FAIR_UPDATE = (1e-4, 5e-2), (1e-5, 3e-1)

Curves = dict[str, tuple[list[int], list[float]]]
"""Stage name to steps and update ratios."""


def update_curves(log: list[dict[str, Any]], network: Any) -> Curves:
    """Stage name to steps and update ratios: the norm of a step over the norm of the weights."""
    owner = {id(p): name for name, module in network.stages() for p in module.parameters()}
    stage_of = {name: owner.get(id(p)) for name, p in network.named_parameters()}
    curves: Curves = {}
    for line in log:
        if line.get("kind") != "layers":
            continue
        squares: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for parameter, norms in line["layers"].items():
            stage = stage_of.get(parameter)
            if stage is not None:
                squares[stage][0] += norms["update_norm"] ** 2
                squares[stage][1] += norms["weight_norm"] ** 2
        for stage, (update, weight) in squares.items():
            if weight > 0 and np.isfinite(update):
                steps, ratios = curves.setdefault(stage, ([], []))
                steps.append(line["step"])
                ratios.append((update / weight) ** 0.5)
    return curves


def updates_record(curves: dict[str, tuple[list[int], list[float]]]) -> Record:
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
    series = []
    for name, (steps, ratios) in curves.items():
        every = max(1, len(steps) // POINTS)
        series.append({"name": name, "x": steps[::every], "y": ratios[::every]})
    labels = {"x_label": "step", "y_label": "step over weights", "log_y": True}
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
        figure=Figure("curves", {"series": series, **labels}),
    )
