"""Transfer: whether to begin with a pretrained network, and how, tried on validation.

Its features as they are with a linear head, all of it trained on, and a network from scratch: the
last two get the same time, the first takes seconds once the features are there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from time import perf_counter

import numpy as np
from msgspec.structs import replace as changed

from fathom.core.budget import Budget, format_duration
from fathom.core.progress import Progress
from fathom.networks.pretrained import Pretrained
from fathom.planning.draft import Draft
from fathom.planning.flips import judged, mirrored, primary
from fathom.planning.plan import Plan, ScratchPlan
from fathom.planning.probe import Speed, speed_of
from fathom.planning.race import winner
from fathom.planning.trial import VALIDATIONS, run_trial
from fathom.tasks import HIGHER_IS_BETTER
from fathom.training.supervised import Supervised
from fathom.training.transfer import begun, computing, loaded, on_features

FEATURES_SHARE = 0.35  # of the time for training: what features may cost
SPARED_SHARE = 0.8  # the same of the time that a network from scratch has no use for
LOOK_SHARE = 0.1  # what they are allowed goes by so far before they are given up by a forecast
FEWEST_PARTS = 3  # the first may be of long texts
TIMED = 32  # examples
TRIAL_SHARE = 0.12  # of the time that is left after them, for each of the two trials
SHARE_OF_TIMING = 0.01
FEW_VALIDATIONS = 3  # of a trial: to answer is as dear as a third of learning
BOTH_WAYS = 3.0  # what learning from an example costs beside its features alone
LEAST_STEPS = 20  # of a trial: after fewer nothing can be said
STEPS_SHARE = 0.85  # of the time from scratch: the rest is for validation
OVERRUN = 1.5  # a trial on a machine that slows down ends at a validation after so much
KEY, FLIP = "data.pretrained", "augmentation.flip"
_OF_THE_DRAFT = ("network.", "training.opt", "augmentation.")


@dataclass(frozen=True)
class Way:
    """One way to begin: what it is called, its draft, its fit, its speed, its score."""

    name: str
    draft: Draft
    what: Supervised
    speed: Speed
    score: float


def begin_with(
    plan: Plan,
    drafts: tuple[Draft, Draft, Draft],
    what: Supervised,
    *,
    useful: float,
    seconds: float,
    progress: Progress,
) -> tuple[Plan, Draft, Speed | None]:
    """The plan, draft and speed of what is best on validation; `seconds` are there for training.

    `drafts` are those of the frozen features, of all that is trained on, and of the plan's own
    network from scratch, whose fit is `what` and which has use for `useful` seconds. Where no time
    is left, or too little for the features of the pretrained network, the plan stays as it is, says
    so, and the speed is None.
    """
    frozen, tuned, scratch = drafts
    if seconds <= 0:
        why = "Nothing of the budget was left to try a pretrained network: it begins from scratch."
        progress.say(why)
        return changed(plan, why=plan.why | {KEY: why}), scratch, None
    progress.stage("trying the pretrained network")
    head = _fit_of(what, frozen)
    network = loaded(head)
    allowed = max(FEATURES_SHARE * seconds, SPARED_SHARE * (seconds - useful))
    started = perf_counter()
    needed, computed = _features_made(head, network, allowed, progress)
    if needed > allowed:
        why = (
            f"The features of the pretrained network would take {format_duration(needed)}, and "
            f"{format_duration(seconds)} are left for training: the network begins from scratch."
        )
        progress.say(why)
        return changed(plan, why=plan.why | {KEY: why}), scratch, None
    # Where they were there already, from a run before in this process, what they cost is timed.
    each = needed / computed if computed else _seconds_each(head, network)
    time = TRIAL_SHARE * (seconds - (perf_counter() - started))
    field = [_head_tried(frozen, head, each)]
    if scratch.may_flip:
        plan, flip = _flips(plan, head)
        tuned, scratch = (_flipping(draft, flip) for draft in (tuned, scratch))
    rest = (("all of it trained on", tuned, each), ("a network from scratch", scratch, 0.0))
    for place, (name, draft, cost) in enumerate(rest, 1):
        progress.advance(place, 3, name)
        field.append(_tried(name, draft, _fit_of(what, draft), time, cost))
    return _taken(plan, field, head.selection_metric)


def _fit_of(what: Supervised, draft: Draft) -> Supervised:
    """The fit of a draft, on the threads and in the precision that the probe has found."""
    found = what.training
    training = changed(
        draft.training,
        threads=found.threads,
        precision=found.precision,
        channels_last=found.channels_last,
    )
    return replace(what, network=draft.network, training=training, augmentation=draft.augmentation)


def _features_made(
    head: Supervised, network: Pretrained, allowed: float, progress: Progress
) -> tuple[float, int]:
    """Seconds that all features took, or would take where that is more than `allowed`.

    Beside them, of how many examples they were computed now: others were there already.
    """
    total, before, computed, parts = len(head.train) + len(head.validation), 0, 0, 0
    started = perf_counter()
    for examples in (head.validation, head.train):
        count = 0
        for count in computing(head, examples, network):
            done, gone, parts = before + count, perf_counter() - started, parts + 1
            progress.advance(done, total, "features of the pretrained network")
            foreseen = gone * total / max(done, 1)
            if parts >= FEWEST_PARTS and gone > LOOK_SHARE * allowed and foreseen > allowed:
                return foreseen, computed + count
        before, computed = before + len(examples), computed + count
    return perf_counter() - started, computed


def _seconds_each(head: Supervised, network: Pretrained) -> float:
    """How long the network takes for an example."""
    some = head.validation.take(np.arange(min(TIMED, len(head.validation))))
    started = perf_counter()
    head.predict(network, some)
    return (perf_counter() - started) / max(len(some), 1)


def _head_tried(draft: Draft, head: Supervised, each: float) -> Way:
    """The linear head on features: a whole training of it takes seconds."""
    started = perf_counter()
    start = begun(head)
    step = (perf_counter() - started) / head.training.steps
    fit = on_features(head, start)
    score = fit.validate(fit.build()).score
    return Way("its features with a linear head", draft, head, Speed(step, each, False), score)


def _flips(plan: Plan, head: Supervised) -> tuple[Plan, bool]:
    """Whether mirrored pictures mean the same to the linear head; the plan says why."""
    start = begun(head)
    as_they_are = on_features(head, start)
    mirror = on_features(replace(head, validation=mirrored(head.validation)), start)
    plain, flipped = (primary(fit, fit.build()) for fit in (as_they_are, mirror))
    flip, why = judged(head, "A linear head on features of pictures as they are", plain, flipped)
    return changed(plan, why=plan.why | {FLIP: why}), flip


def _flipping(draft: Draft, flip: bool) -> Draft:
    return replace(draft, augmentation=changed(draft.augmentation, flip=flip))


def _tried(name: str, draft: Draft, what: Supervised, time: float, cost: float) -> Way:
    """A training of about `time` seconds, of which its learning rate knows from the start.

    Where an example is known to cost so many seconds one way, hopeless steps are not even timed.
    """
    step = BOTH_WAYS * cost * what.training.batch_size
    if LEAST_STEPS * step > time:
        return Way(name, draft, what, Speed(step, cost, False), -inf)
    speed = speed_of(what, seconds=SHARE_OF_TIMING / TRIAL_SHARE * time)
    validating = FEW_VALIDATIONS * len(what.validation) * speed.predict_seconds
    useful = draft.most_epochs * max(1, len(what.train) // what.training.batch_size)
    steps = int(min(useful, (time - validating) / speed.step_seconds))
    if steps < LEAST_STEPS:
        return Way(name, draft, what, speed, -inf)
    budget = Budget(OVERRUN * time)
    trial = run_trial(
        what,
        steps=steps,
        watcher=lambda score: budget.exhausted,
        validations=FEW_VALIDATIONS,
    )
    return Way(name, draft, what, speed, trial.score)


def _taken(plan: Plan, field: list[Way], metric: str) -> tuple[Plan, Draft, Speed]:
    """The plan with the way that is best on validation, the simpler one of equals."""
    utmost = 1.0 if HIGHER_IS_BETTER[metric] else 0.0
    rows = len(field[0].what.validation)
    place = winner([[way.score for way in field]], utmost, rows)
    best = field[place]
    listed = "; ".join(f"{way.name} {_figure(way.score)}" for way in field)
    why = f"{metric} on validation, after trials of the same time: {listed}."
    draft, fit = best.draft, best.what
    told = {k: v for k, v in plan.why.items() if not k.startswith(_OF_THE_DRAFT) or k == FLIP}
    scratch = field[-1]
    kept = None
    if best is not scratch:
        fresh = scratch.what
        kept = ScratchPlan(fresh.network, fresh.training, fresh.augmentation, scratch.draft.task)
    plan = changed(
        plan,
        scratch=kept,
        network=fit.network,
        training=fit.training,
        augmentation=fit.augmentation,
        task=draft.task,
        inference=draft.inference,
        why=told | draft.why | {"network.family": why},
    )
    return plan, draft, best.speed


def beside(scratch: ScratchPlan, seconds: float, step_seconds: float) -> ScratchPlan:
    """The training from scratch in as many steps as `seconds` allow, most of it for steps."""
    steps = max(LEAST_STEPS, int(STEPS_SHARE * seconds / step_seconds))
    training = changed(
        scratch.training,
        steps=steps,
        most_steps=steps,
        compile=False,
        warmup_steps=steps // 10,
        validate_every=max(1, steps // VALIDATIONS),
        save_every=max(1, steps // 4),
        log_every=max(1, steps // 50),
    )
    return changed(scratch, training=training)


def _figure(score: float) -> str:
    return f"{abs(score):.4g}" if np.isfinite(score) else "had no time"
