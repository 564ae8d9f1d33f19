"""Re-planning in mid-run: fewer steps where the machine turns out slower than was probed."""

from __future__ import annotations

from collections import deque

from fathom.core.budget import Budget
from fathom.training.schedule import Replan

OVERRUN = 1.05
UNDERRUN = 0.9
WINDOWS = 3


class Pace:
    """Watches how fast steps go, and says when the run needs another length to end in time.

    Steps are timed over the last few windows, so that a collapse is noticed soon. Validating and
    saving come at long intervals; they are spread over all steps so far.
    """

    def __init__(self, budget: Budget, planned: int, step: int) -> None:
        self.budget, self.planned, self.first = budget, planned, step
        self.window = max(5, planned // 50)
        self.pauses = 0.0
        self._marks = deque([(step, 0.0)], maxlen=WINDOWS + 1)
        self._started = budget.clock()

    def pause(self, seconds: float) -> None:
        """So many seconds were spent on something else than steps."""
        self.pauses += seconds

    def replan(self, step: int, steps: int) -> Replan | None:
        """The length that fits the time left, where `steps` no longer does; never above the plan.

        Fewer steps where the run would end more than 5 % after the budget does; back towards the
        plan where an earlier cut turns out too deep.
        """
        if step >= steps or (step - self.first) % self.window:
            return None
        working = self.budget.clock() - self._started - self.pauses
        self._marks.append((step, working))
        seconds = self._step_seconds(step)
        projected = self.budget.elapsed + (steps - step) * seconds
        short = projected > OVERRUN * self.budget.seconds
        ample = projected < UNDERRUN * self.budget.seconds and steps < self.planned
        fitting = max(step + 1, step + int(self.budget.remaining / max(seconds, 1e-9)))
        fitting = min(fitting, self.planned)
        return Replan(step, fitting) if (short or ample) and fitting != steps else None

    def _step_seconds(self, step: int) -> float:
        """What one step is going to take, pauses included."""
        (old_step, old_working), (_, working) = self._marks[0], self._marks[-1]
        return (working - old_working) / (step - old_step) + self.pauses / (step - self.first)
