"""Re-planning in mid-run, where the machine turns out slower or faster than was probed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from fathom.core.budget import Budget
from fathom.training.schedule import Replan

Cost = Callable[[float], float]
"""What a step costs at a share of the run's way, beside the dearest step."""

OVERRUN = 1.05
UNDERRUN = 0.9
WINDOWS = 3
POINTS = 40


class Pace:
    """Watches how fast steps go, and says when the run needs another length to end in time.

    Steps are timed over the last few windows, so that a collapse is noticed soon. Validating and
    saving come at long intervals; they are spread over all steps so far. `most` steps are as many
    as the data is good for. `cost` tells of steps that are known to become dearer on the way: that
    the first ones went fast is then no news.
    """

    def __init__(
        self, budget: Budget, planned: int, most: int, step: int, cost: Cost | None = None
    ) -> None:
        self.budget, self.most, self.first = budget, max(planned, most), step
        self.cost = cost
        self.window = max(5, planned // 50)
        self.pauses = 0.0
        self._marks = deque([(step, 0.0, 0.0)], maxlen=WINDOWS + 1)
        self._started = budget.clock()

    def pause(self, seconds: float) -> None:
        """So many seconds were spent on something else than steps."""
        self.pauses += seconds

    def replan(self, step: int, steps: int, done: float = 0.0) -> Replan | None:
        """The length that fits the time left, where `steps` no longer does; never above the most.

        `done` is the share of its way that the run has gone.

        Fewer steps where the run would end more than 5 % after the budget does; more where a tenth
        of it would be left, as after a probe on a busy machine or a cut that was too deep.
        """
        if step >= steps or (step - self.first) % self.window:
            return None
        working = self.budget.clock() - self._started - self.pauses
        self._marks.append((step, working, done))
        seconds = self._step_seconds(step)
        projected = self.budget.elapsed + (steps - step) * seconds
        short = projected > OVERRUN * self.budget.seconds
        ample = projected < UNDERRUN * self.budget.seconds and steps < self.most
        fitting = max(step + 1, step + int(self.budget.remaining / max(seconds, 1e-9)))
        fitting = min(fitting, self.most)
        return Replan(step, fitting) if (short or ample) and fitting != steps else None

    def _step_seconds(self, step: int) -> float:
        """What one step is going to take, pauses included."""
        (old_step, old_working, old_done), (_, working, done) = self._marks[0], self._marks[-1]
        dearer = mean_cost(self.cost, done, 1.0) / mean_cost(self.cost, old_done, done)
        lately = (working - old_working) / (step - old_step)
        return dearer * lately + self.pauses / (step - self.first)


def mean_cost(cost: Cost | None, start: float, end: float) -> float:
    """What a step costs in the mean between two shares of the way."""
    if cost is None:
        return 1.0
    points = [start + (end - start) * (i + 0.5) / POINTS for i in range(POINTS)]
    return sum(map(cost, points)) / POINTS
