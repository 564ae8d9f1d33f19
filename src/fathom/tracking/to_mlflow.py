"""MLflow: a run of the experiment `fathom` on the server or in the database of MLFLOW_TRACKING_URI,
by default in `mlflow.db` beside the run folders. See it with `mlflow ui --backend-store-uri …`.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

# A server that does not answer may cost some seconds once, never minutes of a budget.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
# Nothing is told to anybody but the store that was asked for.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from fathom.core.files import read_json, write_json
from fathom.core.urls import without_password

for noisy in ("mlflow", "alembic"):
    logging.getLogger(noisy).setLevel(logging.WARNING)

URI = "MLFLOW_TRACKING_URI"
EXPERIMENT = "fathom"
STATE, DATABASE = "tracking.json", "mlflow.db"
# Points are sent together: each call is a transaction of a database or a request to a server.
MOST_WAITING, SECONDS_BETWEEN = 500, 5.0
LONGEST_VALUE, MOST_PARAMETERS = 500, 100
TRACKING_FORMAT = 1


class TrackedRun(Struct, frozen=True, forbid_unknown_fields=True):
    """The file `tracking.json`: which run of which store a resumed run goes on with."""

    uri: str
    run_id: str
    format_version: int = TRACKING_FORMAT


class MLflow:
    """One run. What is logged anew after a resume is left out, being the same to the last bit."""

    def __init__(self, folder: Path) -> None:
        path = folder / STATE
        known = read_json(path, TrackedRun) if path.exists() else None
        self.uri = os.environ.get(URI) or f"sqlite:///{(folder.parent / DATABASE).resolve()}"
        self.client = MlflowClient(tracking_uri=self.uri)
        shown = without_password(self.uri)
        if known is not None and known.uri == shown:
            self.run_id = known.run_id
            self.client.update_run(self.run_id, status="RUNNING")
            self.sent = self._sent()
        else:
            self.run_id = self._create(folder.name)
            write_json(path, TrackedRun(shown, self.run_id))
            self.sent = -1
        self._begun = False
        self._waiting: list[Metric] = []
        self._flushed = time.monotonic()

    def keep_until(self, step: int) -> None:
        """At first this tells where a resumed run stands; later, that training went back."""
        if self._begun:
            self.sent = min(self.sent, step)
            self._waiting = [point for point in self._waiting if point.step <= step]
        self._begun = True

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keep the points, and send them from time to time."""
        if step <= self.sent:
            return
        now = int(time.time() * 1000)
        self._waiting += [Metric(name, value, now, step) for name, value in values.items()]
        if len(self._waiting) >= MOST_WAITING or self._due:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        waiting, self._waiting = self._waiting, []
        self._send(waiting)
        self._flushed = time.monotonic()

    def parameters(self, values: Mapping[str, str]) -> None:
        """Parameters cannot be changed: a resumed run has the same."""
        params = [Param(key, value[:LONGEST_VALUE]) for key, value in values.items()]
        for start in range(0, len(params), MOST_PARAMETERS):
            self.client.log_batch(self.run_id, params=params[start : start + MOST_PARAMETERS])

    def results(self, values: Mapping[str, float], texts: Mapping[str, str]) -> None:
        """Records as metrics and tags."""
        self.flush()
        now = int(time.time() * 1000)
        self._send([Metric(f"evidence/{name}", value, now, 0) for name, value in values.items()])
        for name, text in texts.items():
            self.client.set_tag(self.run_id, name, text)

    def close(self, done: bool) -> None:
        """Send what waits, and say how the run ended."""
        self.flush()
        self.client.set_terminated(self.run_id, "FINISHED" if done else "KILLED")

    @property
    def _due(self) -> bool:
        return time.monotonic() - self._flushed > SECONDS_BETWEEN

    def _send(self, metrics: list[Metric]) -> None:
        for start in range(0, len(metrics), MOST_WAITING):
            self.client.log_batch(self.run_id, metrics=metrics[start : start + MOST_WAITING])

    def _create(self, name: str) -> str:
        experiment: Any = self.client.get_experiment_by_name(EXPERIMENT)
        number = (
            experiment.experiment_id if experiment else self.client.create_experiment(EXPERIMENT)
        )
        return str(self.client.create_run(number, run_name=name).info.run_id)

    def _sent(self) -> int:
        """The last step of the training that the store knows."""
        history = self.client.get_metric_history(self.run_id, "train/loss")
        return max((point.step for point in history), default=-1)


def open_tracker(folder: Path) -> MLflow:
    """The run of `folder`, made where there is none yet."""
    return MLflow(folder)
