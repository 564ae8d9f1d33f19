"""Race: a few networks are trained for a part of their steps; the one best on validation is taken.

What suits a table cannot be seen from its size. Every candidate gets the same share of the steps
that it would have in the run itself, so that a slow one is judged by what it reaches in the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

import numpy as np
from msgspec.structs import replace as changed

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.planning.draft import Draft
from fathom.planning.plan import Plan
from fathom.planning.probe import Speed, speed_of
from fathom.planning.racers import called
from fathom.planning.trial import VALIDATIONS, run_trial
from fathom.tasks import HIGHER_IS_BETTER
from fathom.training.supervised import Supervised

# The race may take so much of the time for training, and of what training would leave unused.
SHARE_OF_TRAINING, SHARE_OF_SPARE = 0.3, 0.8
# Trials are planned to fit comfortably: one that had to be cut short would say nothing.
COMFORT = 0.7
SHARE_OF_TIMING = 0.01  # of the time for training, for each candidate
# The parts of their steps that candidates may be tried for: a few fixed ones, so that a small
# change of a measured speed seldom changes what is tried. A smaller part says too little.
PARTS = (1.0, 0.5, 0.25, 0.125)
ENOUGH = 0.5  # rather two candidates for longer than three for a smaller part than this
FEWEST = 2
# Where whole trainings are cheap each candidate has several, from different seeds.
MOST_ROUNDS = 3
# A later candidate must be better by so much of what is left to gain: a tie goes to the earlier.
CLEARLY = 0.005
# The same for each of few validation examples, which seldom tell two networks apart: of eight the
# earlier one is left only for one that gains two thirds.
BY_CHANCE = 5.0

Scores = Sequence[Sequence[float]] | Array


@dataclass(frozen=True)
class Entrant:
    """A candidate with its fit, its speed, and the steps that it would have in the run."""

    draft: Draft
    what: Supervised
    speed: Speed
    steps: int

    @property
    def name(self) -> str:
        """What the candidates differ in."""
        return called(self.draft.network)

    @property
    def seconds(self) -> float:
        """What a whole training takes as a trial, validation included."""
        validating = VALIDATIONS * len(self.what.validation) * self.speed.predict_seconds
        return self.steps * self.speed.step_seconds + validating


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
    if len(field) < FEWEST:
        return plan, own.draft, speed
    entrants = [own, *(_entrant(d, plan, what, seconds) for d in field[1:])]
    entrants, part, rounds = _course(entrants, seconds)
    if not part:
        why = "There was no time to try others on validation; this one was best on other data."
        return changed(plan, why={"network.family": why} | plan.why), own.draft, speed
    progress.stage("trying networks")
    scores = _scores(entrants, part, rounds, Budget(_allowed(entrants, seconds)), progress)
    if not len(scores):
        why = (
            "Others were to be tried on validation, but steps took longer than measured and not "
            "all of the trials came to their end; this one was best on other data."
        )
        return changed(plan, why={"network.family": why} | plan.why), own.draft, speed
    metric = own.what.selection_metric
    utmost = 1.0 if HIGHER_IS_BETTER[metric] else 0.0
    best = entrants[winner(scores, utmost, len(own.what.validation))]
    return _taken(plan, best, _told(entrants, best.name, scores, part, metric))


def winner(scores: Scores, utmost: float = 1.0, examples: float = inf) -> int:
    """The place of the best of scores (rounds, candidates), higher being better.

    An earlier one unless it is clearly beaten: by more than the standard error of the difference
    over the rounds, and by a share of what is left to gain up to the `utmost` score, the larger the
    fewer the `examples` are that it was measured on.
    """
    scores = np.asarray(scores, dtype=np.float64)
    means, best = scores.mean(axis=0), 0
    share = CLEARLY + BY_CHANCE / max(examples, 1)
    for place in range(1, len(means)):
        if not np.isfinite(means[best]):
            best = place if means[place] > means[best] else best
        elif np.isfinite(means[place]):
            gains = scores[:, place] - scores[:, best]
            noise = gains.std(ddof=1) / len(gains) ** 0.5 if len(gains) > 1 else 0.0
            room = utmost - means[best]
            best = place if gains.mean() > share * room + noise else best
    return best


def _allowed(entrants: Sequence[Entrant], seconds: float) -> float:
    """What the race may take: its share, or most of what the longest training leaves unused."""
    spare = seconds - max(entrant.seconds for entrant in entrants)
    return max(SHARE_OF_TRAINING * seconds, SHARE_OF_SPARE * spare)


def _course(entrants: list[Entrant], seconds: float) -> tuple[list[Entrant], float, int]:
    """Who races, for what part of the steps (0: there is no time), and how often.

    `seconds` are there for the race and the training after it. Where all candidates would have too
    small a part the last is left out: it is the dearest.
    """
    comfortable = COMFORT * _allowed(entrants, seconds)
    whole = sum(entrant.seconds for entrant in entrants)
    part = next((part for part in PARTS if part * whole <= comfortable), 0.0)
    if part < ENOUGH and len(entrants) > FEWEST:
        return _course(entrants[:-1], seconds)
    return entrants, part, int(np.clip(comfortable / whole, 1, MOST_ROUNDS))


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
) -> Array:
    """Scores (rounds, candidates) of the rounds that came to their end within the budget.

    Each trial brings its learning rate down to zero over a length that is fixed beforehand; where
    the time runs out, or would by what the trials so far have taken, the round does not count.
    """
    finished: list[list[float]] = []
    foreseen = 0.0
    for turn in range(rounds):
        scores: list[float] = []
        for place, entrant in enumerate(entrants):
            rest = part * sum(e.seconds for e in entrants[place:])
            if foreseen and rest * budget.elapsed / foreseen > budget.remaining:
                return np.array(finished)
            foreseen += part * entrant.seconds
            done = turn * len(entrants) + place
            progress.advance(done, rounds * len(entrants), f"trying {entrant.name}")
            trial = run_trial(
                replace(entrant.what, seed=entrant.what.seed + turn),
                steps=(steps := max(1, int(part * entrant.steps))),
                watcher=lambda score: budget.exhausted,
            )
            if trial.steps < steps and budget.exhausted:
                return np.array(finished)
            scores.append(trial.score)
        finished.append(scores)
    return np.array(finished)


def _told(entrants: Sequence[Entrant], best: str, scores: Array, part: float, metric: str) -> str:
    means = scores.mean(axis=0)
    listed = "; ".join(f"{e.name} {_figure(s)}" for e, s in zip(entrants, means, strict=True))
    several = f", {len(scores)} times from different seeds" if len(scores) > 1 else ""
    # The best figure does not win where it is better by no more than chance.
    tie = best != entrants[int(means.argmax())].name
    return (
        f"Each candidate was trained for {part:.0%} of its steps{several}; {metric} on validation "
        f"was: {listed}.{f' The difference to {best} is within chance.' if tie else ''}"
    )


def _figure(score: float) -> str:
    return f"{abs(score):.5g}" if np.isfinite(score) else "not finite"


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
