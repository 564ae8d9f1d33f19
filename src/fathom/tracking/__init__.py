"""Tracking: the training log, the plan and the records in a tool that compares runs (`--track`).

A tracker is one file with a function `open_tracker(folder, name) -> Tracker`. Whatever goes wrong
with it costs one sentence and never the training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import Any, TypeGuard

from fathom.core.errors import PlanError, nearest
from fathom.core.packages import require
from fathom.core.progress import Progress
from fathom.core.record import Record
from fathom.core.tree import leaves
from fathom.tracking.tracker import Tracker

TRACKERS = {"tensorboard": "tensorboard", "mlflow": "mlflow"}
"""Name of a tracker to the package that it needs."""

__all__ = ["TRACKERS", "Tracking", "check_tracker", "tracking"]


def check_tracker(name: str | None) -> None:
    """Raise PlanError for a tracker that is not known, MissingExtraError for a missing package."""
    if name is None:
        return
    if name not in TRACKERS:
        known = ", ".join(TRACKERS)
        raise PlanError(f"There is no tracker {name!r}; known: {known}.{nearest(name, TRACKERS)}")
    require(TRACKERS[name], "track")


class Tracking:
    """What the pipeline speaks to; a listener of the training log. Without a tracker it does
    nothing, and after the first fault of its tracker it does nothing any more.
    """

    def __init__(self, tracker: Tracker | None, progress: Progress) -> None:
        self._tracker, self._progress = tracker, progress
        self._done = False

    @property
    def on(self) -> bool:
        """Whether anything is tracked."""
        return self._tracker is not None

    def keep_until(self, step: int) -> None:
        """The lines of later steps are going to be written anew."""
        self._do("keep_until", step)

    def line(self, kind: str, step: int, values: Mapping[str, Any]) -> None:
        """One line of the log."""
        prefix = "train" if kind == "step" else kind
        scalars = {
            name: float(value)
            for name, value in leaves(values, f"{prefix}/", "/")
            if _is_number(value)
        }
        if scalars:
            self._do("scalars", step, scalars)

    def parameters(self, plan: Mapping[str, Any]) -> None:
        """The plan, as nested dictionaries."""
        self._do("parameters", {key: str(value) for key, value in leaves(plan)})

    def flush(self) -> None:
        """A checkpoint is going to be saved: the lines before it are not written anew."""
        self._do("flush")

    def records(self, records: Iterable[Record]) -> None:
        """What was measured, when all is done."""
        found = tuple(records)
        values = {r.id: float(r.value) for r in found if _is_number(r.value)}
        texts = {r.id: r.value for r in found if isinstance(r.value, str)}
        self._do("results", values, texts)
        self._done = True

    def close(self) -> None:
        """Write what still waits."""
        self._do("close", self._done)
        self._tracker = None

    def _do(self, what: str, *arguments: Any) -> None:
        if self._tracker is None:
            return
        try:
            getattr(self._tracker, what)(*arguments)
        except Exception as error:  # whatever a foreign tool does, training goes on
            self._tracker = None
            self._progress.say(
                f"Tracking stopped ({type(error).__name__}: {_reason(error)}); training goes "
                "on, and log.jsonl has all of it."
            )


@contextmanager
def tracking(name: str | None, folder: Path, progress: Progress) -> Iterator[Tracking]:
    """Track the run in `folder` with the tracker called `name`; None tracks nothing."""
    tracked = Tracking(None if name is None else _open(name, folder, progress), progress)
    try:
        yield tracked
    finally:
        tracked.close()


def _open(name: str, folder: Path, progress: Progress) -> Tracker | None:
    try:
        tracker: Tracker = import_module(f"fathom.tracking.to_{name}").open_tracker(folder)
    except Exception as error:
        progress.say(f"Nothing is tracked: {name} cannot be used ({_reason(error)}).")
        return None
    return tracker


def _reason(error: BaseException) -> str:
    """Why, without the words of the libraries that a connection passes through."""
    inner: BaseException = error
    while (cause := inner.__cause__ or inner.__context__) is not None:
        inner = cause
    if inner is not error and isinstance(inner, OSError):
        return f"its server cannot be reached: {inner.strerror or inner}"
    return (str(error).splitlines() or [""])[0][:200].rstrip(".")


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
