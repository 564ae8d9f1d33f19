"""Resolve: from data, probe and budget to a plan in which nothing is open any more."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as renewed
from math import ceil

import numpy as np
from msgspec.structs import replace

from fathom.core.budget import Budget, format_duration
from fathom.core.errors import BudgetError
from fathom.core.progress import Progress
from fathom.core.randomness import numpy_generator
from fathom.core.schema import Schema
from fathom.inference.views import VIEWS, candidates
from fathom.planning.draft import Draft, make_draft
from fathom.planning.environment import describe_environment
from fathom.planning.flips import flips_allowed
from fathom.planning.patching import patched
from fathom.planning.plan import InferencePlan, Plan
from fathom.planning.prepare import AUDIT_SHARE, Prepared
from fathom.planning.probe import SHARE_OF_BUDGET, Speed, probe
from fathom.planning.race import race
from fathom.planning.racers import racers
from fathom.planning.request import Request, data_plan
from fathom.planning.rivals import BASELINE_SHARE, Rivals
from fathom.planning.search import Searching, Terms, terms_for_steps, terms_for_time
from fathom.planning.slim import slimmed
from fathom.planning.transfer import begin_with, beside
from fathom.tasks import build_task
from fathom.training.supervised import Supervised

# What comes after training, as a share of the whole with a least and a most, in seconds.
EVIDENCE_SHARE, EVIDENCE_LEAST, EVIDENCE_MOST = 0.15, 2.5, 180.0
# Each split is predicted once by the network; metrics and pictures cost less than that again.
PASSES = 1.0
REPORT_SECONDS = 1.5
# Baselines, audit and probe may take so much of the whole before training begins.
SHARES_BEFORE = BASELINE_SHARE + AUDIT_SHARE + SHARE_OF_BUDGET
# Of the time for training, the race may count on this share where a pretrained start is tried, too.
RACE_BEFORE_TRANSFER = 0.4
# Kept back, because a probe of a second does not foresee a busy machine.
MARGIN = 0.03
LEAST_STEPS = 20
# Validation is how the best weights are found; it may cost so much of the training time.
VALIDATION_SHARE, VALIDATIONS_LEAST, VALIDATIONS_MOST = 0.08, 4, 30
VALIDATION_ROWS = 10_000
# Averaging over views may cost so much of the whole, trying it and measuring with it together.
VIEWS_SHARE = 0.05
# A network from scratch beside a pretrained one gets so much of the time for training.
SCRATCH_SHARE = 0.3
SAVE_EVERY_SECONDS = 10.0
LOG_LINES = 200
WARMUP_SHARE = 0.1
# Beyond these, intervals are narrower than anybody acts upon.
SAMPLES = {"train": 5_000, "validation": 20_000, "calibration": 20_000, "test": 100_000}


def supervised(plan: Plan, prepared: Prepared, device: str) -> Supervised:
    """The fit that a plan describes."""
    task = build_task(
        prepared.schema.task, prepared.output, label_smoothing=plan.task.label_smoothing
    )
    return Supervised(
        train=prepared.examples["train"],
        validation=prepared.examples["validation"].sample(
            VALIDATION_ROWS, numpy_generator(plan.seed, "validation sample")
        ),
        inputs=prepared.inputs,
        output=prepared.output,
        task=task,
        network=plan.network,
        training=plan.training,
        augmentation=plan.augmentation,
        seed=plan.seed,
        device=device,
    )


@dataclass(frozen=True)
class Resolving:
    """A plan on its way, and what every step of the way needs."""

    request: Request
    prepared: Prepared
    rivals: Rivals
    budget: Budget
    progress: Progress

    def what(self, plan: Plan) -> Supervised:
        """The fit that the plan describes as it stands."""
        return supervised(plan, self.prepared, self.request.device)

    def training_seconds(self, plan: Plan) -> float:
        """What is left for training once measuring and the report have their time."""
        after = plan.seconds["evidence"] + plan.seconds["report"] + plan.seconds.get("scratch", 0.0)
        return self.budget.remaining - after - MARGIN * self.budget.seconds

    def begun(self, draft: Draft) -> Plan:
        """The draft as a plan, before anything is timed."""
        request, prepared = self.request, self.prepared
        return Plan(
            name=request.name,
            seed=request.seed,
            data=data_plan(
                request,
                target=target_columns(prepared.schema),
                task=prepared.schema.task,
                rows=len(prepared.raw.table),
                digest=prepared.raw.digest,
                near_duplicates=prepared.near_searched,
                pretrained=prepared.start.source,
            ),
            task=draft.task,
            network=draft.network,
            training=draft.training,
            augmentation=draft.augmentation,
            inference=draft.inference,
            baselines=self.rivals.limits,
            evidence=dict(SAMPLES),
            budget_seconds=None if request.steps else request.budget_seconds,
            seconds={"evidence": EVIDENCE_LEAST, "report": REPORT_SECONDS},
            environment=describe_environment(request.device),
            why=draft.why,
        )

    def timed(self, plan: Plan, draft: Draft) -> tuple[Plan, Speed]:
        """The plan with what the probe and the trial of flips have found, and its speed."""
        speed, plan = probe(self.what(plan), plan, draft, self.budget, self.progress)
        plan = self.evidence_set_aside(plan, speed)
        if self.request.tune is None:  # a search tries fewer channels, too
            plan, speed = slimmed(
                self.what(plan), plan, draft, speed=speed, seconds=self.training_seconds(plan)
            )
            plan = self.evidence_set_aside(plan, speed)
        self.check(plan, speed)
        if not self.pretrained(draft):
            plan = self.flips_decided(plan, draft, speed)
        return plan, speed

    def pretrained(self, draft: Draft) -> bool:
        """Whether a pretrained start is to be tried beside the draft's own network."""
        return self.prepared.start.backbone is not None and "network.family" not in draft.fixed

    def flips_decided(self, plan: Plan, draft: Draft, speed: Speed) -> Plan:
        """The plan with flips allowed or not, where that is open."""
        if not draft.may_flip:
            return plan
        return flips_allowed(self.what(plan), plan, speed, self.training_seconds(plan))

    def evidence_set_aside(self, plan: Plan, speed: Speed) -> Plan:
        """Foresee what measuring will take, from the speeds of predicting."""
        sizes = {n: min(len(self.prepared.examples[n]), most) for n, most in SAMPLES.items()}
        network = PASSES * sum(sizes.values()) * speed.predict_seconds
        # The verdict asks on validation, too, what a method that was cut short might have become.
        asked = sizes["test"] + (0 if self.rivals.settled else sizes["validation"])
        foreseen = EVIDENCE_LEAST + network + asked * self.rivals.answer_seconds
        most = np.clip(EVIDENCE_SHARE * self.budget.seconds, EVIDENCE_LEAST, EVIDENCE_MOST)
        seconds = round(float(min(foreseen, most)), 2)
        return replace(plan, seconds=plan.seconds | {"evidence": seconds})

    def raced(self, plan: Plan, draft: Draft, speed: Speed) -> tuple[Plan, Draft, Speed]:
        """The plan with the network that is best on validation among a few."""
        field = racers(self.request, self.prepared, draft)
        # The fit of the plan as it is now: the candidates run in what the probe has found.
        what, seconds = self.what(plan), self.training_seconds(plan)
        if self.pretrained(draft):
            seconds *= RACE_BEFORE_TRANSFER
        plan, draft, speed = race(
            field, what, plan, speed=speed, seconds=seconds, progress=self.progress
        )
        return self.evidence_set_aside(plan, speed), draft, speed

    def transferred(self, plan: Plan, draft: Draft, speed: Speed) -> tuple[Plan, Draft, Speed]:
        """The plan that begins with a pretrained network, where one is there and is better."""
        if not self.pretrained(draft):
            return plan, draft, speed
        frozen, tuned = (
            make_draft(self.request, self.prepared, family="pretrained", tune=tune)
            for tune in (False, True)
        )
        own = renewed(draft, network=plan.network)
        plan, draft, found = begin_with(
            plan,
            (frozen, tuned, own),
            self.what(plan),
            useful=_useful_steps(plan, own, len(self.prepared.examples["train"]))
            * speed.step_seconds,
            seconds=self.training_seconds(plan),
            progress=self.progress,
        )
        if found is None:
            return self.flips_decided(plan, draft, speed), draft, speed
        plan = self.evidence_set_aside(plan, found)
        return self.scratch_set_aside(plan, step_seconds=speed.step_seconds), draft, found

    def scratch_set_aside(self, plan: Plan, *, step_seconds: float) -> Plan:
        """Time for the network from scratch beside a pretrained one; as steps, fixed now."""
        if plan.scratch is None:
            return plan
        seconds = round(SCRATCH_SHARE * self.training_seconds(plan), 2)
        scratch = beside(plan.scratch, seconds, step_seconds)
        return replace(plan, scratch=scratch, seconds=plan.seconds | {"scratch": seconds})

    def searched(self, plan: Plan, draft: Draft, terms: Terms) -> Plan:
        """Try other settings than this plan's, then resolve anew with those that were best."""
        searching = Searching(
            self.request,
            self.prepared,
            plan=plan,
            draft=draft,
            what_of=self.what,
            terms=terms,
            progress=self.progress,
        )
        found = searching.run(self.budget)
        settings, why = dict(found.settings), dict(found.why)
        if draft.may_flip:  # that was looked at once, and need not be again
            settings["augmentation.flip"] = plan.augmentation.flip
            why |= {k: v for k, v in plan.why.items() if k == "augmentation.flip"}
        chosen = renewed(self.request, tune=None, settings={**self.request.settings, **settings})
        resolved = renewed(self, request=chosen).resolved(racing=False, family=self.family)
        return replace(resolved, why=resolved.why | why)

    def check(self, plan: Plan, speed: Speed) -> None:
        """Raise BudgetError where too little time is left to train, saying what is needed."""
        budget, validation = self.budget, self.what(plan).validation
        validating = VALIDATIONS_LEAST * len(validation) * speed.predict_seconds
        least = LEAST_STEPS * speed.step_seconds + validating
        if self.training_seconds(plan) >= least:
            return
        # What comes before training takes a share that grows with the budget.
        after = plan.seconds["evidence"] + plan.seconds["report"]
        needed = ceil((budget.elapsed + after + least) / (1 - MARGIN - SHARES_BEFORE))
        raise BudgetError(
            f"The budget of {format_duration(budget.seconds)} is too small for this data: "
            f"{format_duration(budget.elapsed)} went into reading it, the baselines and the timing "
            "of steps, and what is left does not suffice to train and measure. "
            f"Give --budget {needed}s."
        )

    def stretched(self, plan: Plan, draft: Draft, speed: Speed) -> Plan:
        """Fix the steps: as many as time allows, and no more epochs than the data is good for."""
        self.check(plan, speed)
        validation = len(self.what(plan).validation) * speed.predict_seconds
        seconds = self.training_seconds(plan)
        validations = int(
            np.clip(
                VALIDATION_SHARE * seconds / max(validation, 1e-6),
                VALIDATIONS_LEAST,
                VALIDATIONS_MOST,
            )
        )
        affordable = (seconds - validations * validation) / speed.step_seconds
        rows = len(self.prepared.examples["train"])
        per_epoch = max(1, rows // plan.training.batch_size)
        useful = _useful_steps(plan, draft, rows)
        steps = max(LEAST_STEPS, int(min(affordable, useful)))
        epochs = steps / per_epoch
        why = (
            f"{format_duration(seconds)} are left for training and a step takes "
            f"{1000 * speed.step_seconds:.1f} ms, which makes {epochs:.1f} epochs."
            if affordable <= useful
            else f"{draft.most_epochs} epochs are as many as {rows:,} examples are good for; "
            f"the time would allow {affordable / per_epoch:.0f}."
        )
        told = {"before": round(self.budget.elapsed, 2), "training": round(seconds, 2)}
        plan = replace(plan, seconds=told | plan.seconds)
        plan = _with_steps(
            plan, draft, steps, why, most=useful, speed=speed, validations=validations
        )
        return patched(plan, draft, self.prepared.inputs, rows)

    @property
    def family(self) -> str | None:
        """The family that is begun with, where the data do not say.

        A pretrained start that is named counts at once by steps, which are not timed, and in a
        search, whose trials take the place of those of `transferred`.
        """
        untimed = self.request.steps is not None or self.request.tune is not None
        return "pretrained" if untimed and self.prepared.start.backbone is not None else None

    def resolved(self, *, racing: bool = True, family: str | None = None) -> Plan:
        """The plan; without `racing` its family of networks stands, `family` where none is set."""
        request = self.request
        draft = make_draft(request, self.prepared, family=family or self.family)
        plan = self.begun(draft)
        if request.steps is not None:
            plan = _with_steps(plan, draft, request.steps, "was asked for")
            plan = patched(plan, draft, self.prepared.inputs, len(self.prepared.examples["train"]))
            if request.tune is None:
                return plan
            return self.searched(plan, draft, terms_for_steps(request.steps, request.tune))
        plan, speed = self.timed(plan, draft)
        if racing and request.tune is None:
            plan, draft, speed = self.raced(plan, draft, speed)
            plan, draft, speed = self.transferred(plan, draft, speed)
        plan = _set_views_aside(plan, self.prepared, speed, self.budget)
        if request.tune is not None:
            terms = terms_for_time(
                self.training_seconds(plan),
                trials=request.tune,
                step_seconds=speed.step_seconds,
                useful=_useful_steps(plan, draft, len(self.prepared.examples["train"])),
            )
            return self.searched(plan, draft, terms)
        plan = self.stretched(plan, draft, speed)
        if speed.unsteady and plan.training.steps < plan.training.most_steps:
            self.progress.say(
                "Something else is using this machine: training steps take unevenly long, and "
                "less will be trained in the time."
            )
        return plan


def resolve(
    request: Request,
    prepared: Prepared,
    rivals: Rivals,
    budget: Budget,
    progress: Progress,
) -> Plan:
    """The plan that uses what is left of the budget; with `request.steps` nothing is timed.

    Families of networks race, or a search tries them. Raises BudgetError where too little time is
    left to train, saying what would be needed.
    """
    progress.stage("planning")
    return Resolving(request, prepared, rivals, budget, progress).resolved()


def target_columns(schema: Schema) -> str | tuple[str, ...]:
    """The columns that are to be learned, as they stand in the data."""
    reading = schema.label_reading
    several = reading is not None and len(reading.columns) > 1
    return reading.columns if reading is not None and several else schema.target.name


def _set_views_aside(plan: Plan, prepared: Prepared, speed: Speed, budget: Budget) -> Plan:
    """Leave time to choose the views and to measure with them, or do without where it is short."""
    if plan.inference.views != "auto":
        return plan
    passes = [len(VIEWS[views]) for views in candidates(flip=plan.augmentation.flip)]
    measured = sum(min(len(prepared.examples[name]), most) for name, most in SAMPLES.items())
    rows = (1 + sum(passes)) * len(prepared.examples["validation"]) + max(passes) * measured
    seconds = rows * speed.predict_seconds
    if seconds > VIEWS_SHARE * budget.seconds:
        why = (
            f"To try averaging over several views, and to measure with them, would have taken "
            f"{format_duration(seconds)} of {format_duration(budget.seconds)}."
        )
        return replace(
            plan, inference=InferencePlan("one"), why=plan.why | {"inference.views": why}
        )
    evidence = round(plan.seconds["evidence"] + seconds, 2)
    why = "Averaged over several views where that gains more than noise on validation."
    return replace(
        plan,
        seconds=plan.seconds | {"evidence": evidence},
        why=plan.why | {"inference.views": why},
    )


def _useful_steps(plan: Plan, draft: Draft, rows: int) -> int:
    """As many steps as `rows` training examples are good for."""
    return draft.most_epochs * max(1, rows // plan.training.batch_size)


def _with_steps(
    plan: Plan,
    draft: Draft,
    steps: int,
    why: str,
    *,
    most: int = 0,
    speed: Speed | None = None,
    validations: int = 10,
) -> Plan:
    """Everything that follows from the number of steps, except what the user has fixed."""
    every = max(1, steps // validations)
    saves = steps // 8 if speed is None else int(SAVE_EVERY_SECONDS / speed.step_seconds)
    values = {
        "steps": steps,
        "most_steps": max(most, steps),
        "warmup_steps": int(WARMUP_SHARE * steps),
        "validate_every": every,
        "save_every": max(1, saves),
        "log_every": max(1, steps // LOG_LINES),
    }
    kept = {k: v for k, v in values.items() if f"training.{k}" not in draft.fixed}
    training = replace(plan.training, **kept)
    reasons = plan.why if "training.steps" in draft.fixed else plan.why | {"training.steps": why}
    seconds = {"before": 0.0, "training": 0.0} | plan.seconds
    return replace(plan, training=training, why=reasons, seconds=seconds)
