"""Race: a few networks are trained for a part of their steps; the one best on validation is taken.

What suits a table cannot be seen from its size. Every candidate gets the same share of the steps
that it would have in the run itself, so that a slow one is judged by what it reaches in the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
from msgspec.structs import replace as changed

from fathom.core.budget import Budget
from fathom.core.errors import PlanError
from fathom.core.progress import Progress
from fathom.planning.defaults import CANDIDATES
from fathom.planning.draft import Draft, make_draft
from fathom.planning.plan import Plan
from fathom.planning.prepare import Prepared
from fathom.planning.probe import Speed, speed_of
from fathom.planning.request import Request
from fathom.planning.trial import run_trial
from fathom.tasks import HIGHER_IS_BETTER
from fathom.training.supervised import Supervised

# The race may take so much of the time for training, and the timing of each candidate so much.
SHARE_OF_TRAINING, SHARE_OF_TIMING = 0.3, 0.01
# A smaller part of the steps says too little of the whole.
LEAST_PART = 0.1
# Where whole trainings are cheap each candidate has several, from different seeds.
MOST_ROUNDS = 3
OVERRUN = 1.3  # trials that take longer than foreseen may take so much more before they are cut
# A later candidate must be better by so much of what is left to gain: a tie goes to the earlier.
CLEARLY = 0.005


@dataclass(frozen=True)
class Entrant:
    """A candidate with its fit, its speed, and the steps that it would have in the run."""

    draft: Draft
    what: Supervised
    speed: Speed
    steps: int

    @property
    def name(self) -> str:
        """The family, which is what the candidates differ in."""
        return str(self.draft.network.__struct_config__.tag)

    @property
    def seconds(self) -> float:
        """What a whole training takes, validation included."""
        return 1.1 * self.steps * self.speed.step_seconds


def race(
    field: Sequence[Draft],
    what: Supervised,
    plan: Plan,
    *,
    speed: Speed,
    seconds: float,
    progress: Progress,
) -> tuple[Plan, Draft, Speed]:
    """The plan, draft and speed of the candidate in `field` that is best on validation.

    The first is the plan's own, `what` its fit and `speed` its speed; `seconds` are there for
    training, of which the race takes its share. Where that is too little, or there is but one
    candidate, the plan stays as it is.
    """
    own = Entrant(field[0], what, speed, _steps(field[0], what, speed, seconds))
    if len(field) < 2:
        return plan, own.draft, speed
    entrants = [own, *(_entrant(d, plan, what, seconds) for d in field[1:])]
    allowed = SHARE_OF_TRAINING * seconds
    whole = sum(e.seconds for e in entrants)
    part = min(1.0, allowed / whole)
    if part < LEAST_PART:
        why = "There was no time to try others on validation; this one was best on other tables."
        return changed(plan, why={"network.family": why} | plan.why), own.draft, speed
    rounds = int(np.clip(allowed / whole, 1, MOST_ROUNDS))
    progress.stage("trying networks")
    scores = _scores(entrants, part, rounds, Budget(OVERRUN * allowed), progress)
    best = winner(scores)
    return _taken(plan, entrants[best], _told(entrants, scores, part, rounds))


def winner(scores: Sequence[float]) -> int:
    """The place of the best score, higher being better; an earlier one unless clearly beaten."""
    best = 0
    for place, score in enumerate(scores):
        # Scores up to 1 (shares) are told from negative errors by their sign.
        room = 1.0 - scores[best] if scores[best] >= 0 else -scores[best]
        if score > scores[best] + (CLEARLY * room if isfinite(room) else 0.0):
            best = place
    return best


def _entrant(draft: Draft, plan: Plan, what: Supervised, seconds: float) -> Entrant:
    """A candidate in the precision, on the threads that the probe has found for the plan."""
    training = changed(
        draft.training,
        threads=plan.training.threads,
        precision=plan.training.precision,
        channels_last=plan.training.channels_last,
    )
    what = replace(what, network=draft.network, training=training)
    speed = speed_of(what, seconds=SHARE_OF_TIMING * seconds)
    return Entrant(draft, what, speed, _steps(draft, what, speed, seconds))


def _steps(draft: Draft, what: Supervised, speed: Speed, seconds: float) -> int:
    """The steps that a candidate would have in the run: what is useful, or what is affordable."""
    useful = draft.most_epochs * max(1, len(what.train) // what.training.batch_size)
    affordable = (1 - SHARE_OF_TRAINING) * seconds / speed.step_seconds
    return max(1, int(min(useful, affordable)))


def _scores(
    entrants: Sequence[Entrant], part: float, rounds: int, budget: Budget, progress: Progress
) -> list[float]:
    """The mean score of each candidate over `rounds` seeds."""
    scores = np.zeros((rounds, len(entrants)))
    for trial, (turn, place) in enumerate(np.ndindex(scores.shape)):
        entrant = entrants[place]
        progress.advance(trial, scores.size, f"trying {entrant.name}")
        scores[turn, place] = run_trial(
            replace(entrant.what, seed=entrant.what.seed + turn),
            steps=max(1, int(part * entrant.steps)),
            # What is left in equal parts: a foreseen time that is too short must not end a trial.
            budget=budget.share(budget.remaining / (scores.size - trial)),
        ).score
    return [float(score) for score in scores.mean(axis=0)]


def _told(entrants: Sequence[Entrant], scores: Sequence[float], part: float, rounds: int) -> str:
    metric = entrants[0].what.task.primary
    if HIGHER_IS_BETTER[metric] and min(scores) < 0:
        metric = "log_loss"  # what few rows are judged by
    listed = ", ".join(f"{e.name} {abs(s):.5g}" for e, s in zip(entrants, scores, strict=True))
    several = f", {rounds} times from different seeds" if rounds > 1 else ""
    return (
        f"Each candidate was trained for {part:.0%} of its steps{several}; {metric} on validation "
        f"was: {listed}."
    )


def _taken(plan: Plan, best: Entrant, why: str) -> tuple[Plan, Draft, Speed]:
    training, draft = best.what.training, best.draft
    told = {k: v for k, v in plan.why.items() if not k.startswith(("network.", "training.opt"))}
    reasons = told | {k: v for k, v in draft.why.items() if k not in told}
    plan = changed(
        plan,
        network=draft.network,
        training=training,
        task=draft.task,
        why=reasons | {"network.family": why},
    )
    return plan, draft, best.speed


def racers(request: Request, prepared: Prepared, draft: Draft) -> list[Draft]:
    """The drafts that are worth a race, the one of the plan first; settings hold for all of them.

    One alone where the user has chosen the family, and for pictures.
    """
    if prepared.inputs.images or "network.family" in draft.fixed:
        return [draft]
    own = draft.network.__struct_config__.tag
    others = [name for name in CANDIDATES if name != own]
    return [draft, *(d for d in (_other(request, prepared, name) for name in others) if d)]


def _other(request: Request, prepared: Prepared, family: str) -> Draft | None:
    """The draft with another family; None where the user's settings are not for that one."""
    try:
        return make_draft(request, prepared, family=family)
    except PlanError:
        return None
