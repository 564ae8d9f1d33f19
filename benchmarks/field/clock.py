"""A clock of training alone: it stands still while the test data are predicted. Standard library.

Every peer's script uses it, so that all are timed in the same way.
"""

from __future__ import annotations

import json
import time


class TrainingClock:
    """Counts seconds of training; `evaluated` prints a JSON line and stops the clock meanwhile."""

    def __init__(self, *, most_seconds: float, enough: float) -> None:
        self.most_seconds, self.enough = most_seconds, enough
        self.seconds, self._since = 0.0, time.perf_counter()
        self.done = False

    def pause(self) -> None:
        """What follows is not training."""
        self.seconds += time.perf_counter() - self._since

    def go_on(self) -> None:
        """What follows is training."""
        self._since = time.perf_counter()

    def evaluated(self, accuracy: float, step: int) -> None:
        """Tell what was reached; call between `pause` and `go_on`."""
        line = {"step": step, "train_seconds": round(self.seconds, 2), "accuracy": accuracy}
        print(json.dumps(line), flush=True)
        self.done = accuracy >= self.enough or self.seconds >= self.most_seconds
