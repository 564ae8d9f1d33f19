"""The metrics of every task, as evidence needs them."""

from __future__ import annotations

from fathom.core.schema import TaskName
from fathom.evidence.label_scores import LABEL_METRICS
from fathom.evidence.scores import CLASS_METRICS, NUMBER_METRICS, Metric

METRICS: dict[TaskName, tuple[Metric, ...]] = {
    "classification": CLASS_METRICS,
    "multilabel": LABEL_METRICS,
    "regression": NUMBER_METRICS,
}


def metrics_of(task: str) -> tuple[Metric, ...]:
    """The metrics of a task, the most readable first; none of one that is not supervised."""
    return next((metrics for known, metrics in METRICS.items() if known == task), ())


def metric_named(task: str, name: str) -> Metric:
    """One metric of a task."""
    return next(metric for metric in metrics_of(task) if metric.name == name)
