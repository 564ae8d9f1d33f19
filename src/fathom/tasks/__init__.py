"""What is to be learned: losses, predictions, metrics. One file for each task."""

from __future__ import annotations

from fathom.core.errors import PlanError
from fathom.core.output import OutputSpec
from fathom.core.registry import Registry
from fathom.core.schema import TaskName
from fathom.core.task import SupervisedTask
from fathom.tasks.classification import Classification
from fathom.tasks.metrics import HIGHER_IS_BETTER
from fathom.tasks.multilabel import Multilabel
from fathom.tasks.regression import Regression
from fathom.tasks.selection import Selection, selection

__all__ = [
    "HIGHER_IS_BETTER",
    "TASKS",
    "Classification",
    "Multilabel",
    "Regression",
    "Selection",
    "build_task",
    "selection",
]

TASKS: Registry[type[Classification] | type[Multilabel] | type[Regression]] = Registry("task")
TASKS.register("classification")(Classification)
TASKS.register("multilabel")(Multilabel)
TASKS.register("regression")(Regression)


def build_task(
    name: TaskName, output: OutputSpec, *, label_smoothing: float = 0.0
) -> SupervisedTask:
    """The task called `name` over outputs of the form `output`.

    `label_smoothing` in [0, 1) belongs to tasks whose targets have names. Raises PlanError for an
    unknown name, an output that does not fit the task, or a smoothing that means nothing.
    """
    kind = TASKS[name]
    if kind is Classification or kind is Multilabel:
        return kind(output, label_smoothing)
    if label_smoothing != 0.0:
        raise PlanError(
            f"label_smoothing is {label_smoothing:g}, but {name} has no labels to smooth: "
            "leave it at 0."
        )
    return Regression(output)
