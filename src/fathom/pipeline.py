"""The story of `fit`, on one page: from data to a trusted model.

read, infer, audit, split, encode      what is the data, and can it be learned from honestly?
fit the baselines                      what does a traditional method reach?
plan                                   which network, how long, why?
train                                  the one loop
calibrate                              how far can its probabilities be believed?
measure the evidence                   on test data that nothing before has decided upon
bundle, report                         what is shipped, and what a person reads
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from fathom import folders, language
from fathom.core.budget import DEFAULT_BUDGET, Budget, parse_duration
from fathom.core.errors import ArtefactError
from fathom.core.files import write_json
from fathom.core.progress import Progress, Timed
from fathom.core.schema import AnyTask
from fathom.core.threads import threads
from fathom.display import shown
from fathom.findings import measure
from fathom.job import Job, LanguageJob, accounting, open_job
from fathom.planning.device import choose_device
from fathom.planning.environment import describe_environment, differences
from fathom.planning.plan import Plan, identity_of, save_plan
from fathom.planning.prepare import Prepared, prepare
from fathom.planning.resolve import resolve, supervised
from fathom.planning.rivals import Rivals, fit_rivals
from fathom.run import Run, load
from fathom.scratch import beside_scratch
from fathom.shipping import Learned, Outcome, ship
from fathom.tasks import build_task
from fathom.tracking import Tracking, tracking
from fathom.training.schedule import load_replans


def fit(
    source: object,
    *,
    target: str | Sequence[str] | None = None,
    test: object | None = None,
    task: AnyTask | None = None,
    group: str | None = None,
    time: str | None = None,
    drop: str | tuple[str, ...] = (),
    allow_leaks: bool = False,
    budget: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    tune: int | None = None,
    tune_storage: str | None = None,
    begin: str | Path | Run | None = None,
    name: str | None = None,
    out: str | Path = "runs",
    device: str = "auto",
    resume: bool = False,
    track: str | None = None,
    plan: str | Path | None = None,
    progress: Progress | None = None,
    started: float | None = None,
    command: str = "",
) -> Run:
    """Take data to a measured network beside a traditional baseline.

    `source` is a path, a built-in name, a `plan.yaml` to repeat, a DataFrame, or a pair of arrays
    (inputs, targets). Several targets are yes/no columns, learned as labels that may hold at once.
    `budget` is the time for all of it, such as '5m' (90 seconds by default),
    counted from `started` (monotonic seconds; from now by default). `settings` fixes keys of the
    plan, `steps` the training's length without any timing; `tune` is how many settings are tried on
    validation first, and `tune_storage` a database URL that several machines may share; `track` is
    'tensorboard' or 'mlflow'; `plan` is a `plan.yaml` to repeat on data in memory. `begin` is a
    run, or a folder in Hugging Face's format, whose network of language training goes on with.
    Without `progress` bars are shown where somebody can see them. Returns the finished Run, whose
    files lie in the folder `out`/`name`.

    Raises a UserError whose one sentence says what to mend, LeakError where a column gives the
    target away, InterruptedRunError after Ctrl-C, when all that was done is saved.
    """
    job = open_job(
        source,
        settings=settings or {},
        budget=Budget(parse_duration(budget or DEFAULT_BUDGET), started),
        budget_given=budget is not None,
        name=name,
        out=out,
        device=choose_device(device),
        resume=resume,
        track=track,
        command=command,
        plan=plan,
        target=target,
        test=test,
        task=task,
        group=group,
        time=time,
        drop=(drop,) if isinstance(drop, str) else tuple(drop),
        allow_leaks=allow_leaks,
        steps=steps,
        seed=seed,
        tune=tune,
        tune_storage=tune_storage,
        begin=None if begin is None else str(begin.folder if isinstance(begin, Run) else begin),
    )
    with accounting(job), shown(progress) as display:
        if job.finished:
            display.say(f"{job.folder} is finished: there is nothing to resume.")
            return load(job.folder)
        return language.work(job, display) if isinstance(job, LanguageJob) else work(job, display)


def work(job: Job, progress: Progress) -> Run:
    """The whole way, once it is clear what to do and where; `language.work` is that of a corpus."""
    progress = timed = Timed(progress, job.budget.elapsed, job.budget.clock)
    prepared = prepare(job.request, job.budget, progress)
    write_json(job.folder / folders.SCHEMA, prepared.schema)
    rivals = _fit_rivals(job, prepared, progress)
    plan = _settle(job, prepared, rivals, progress)
    with tracking(job.track, job.folder, progress) as tracked:
        tracked.parameters(to_builtins(plan))
        learned = _train(job, prepared, plan, progress, tracked)
        outcome = Outcome(job, prepared, rivals, plan, learned)
        with threads(plan.training.threads):
            run = measure(outcome, ship(outcome, progress), timed)
        tracked.records(run.evidence)
    progress.stage("writing the report")
    run.report()
    return run


def _fit_rivals(job: Job, prepared: Prepared, progress: Progress) -> Rivals:
    known = job.request.plan.baselines if job.request.plan else {}
    task = build_task(prepared.schema.task, prepared.output)
    budget, untimed = job.budget, job.request.steps is not None
    if untimed:  # no clock ends the run, so that what reading took is not missing here
        budget = Budget(budget.seconds, clock=budget.clock)
    return fit_rivals(
        prepared,
        task,
        seed=job.request.seed,
        budget=budget,
        limits=known,
        progress=progress,
        guaranteed=untimed,
    )


def _settle(job: Job, prepared: Prepared, rivals: Rivals, progress: Progress) -> Plan:
    """The plan that is going to run, on disk before step 1.

    Raises ArtefactError where an interrupted run would go on with other data: what it has trained
    on could then be what it is tested on.
    """
    plan = job.request.plan
    if plan is None:
        plan = resolve(job.request, prepared, rivals, job.budget, progress)
    elif job.resumed and plan.data.digest != prepared.raw.digest:
        raise ArtefactError(
            f"The data has changed since {job.folder} was begun: restore it, or leave --resume out "
            "to begin anew."
        )
    else:
        plan = _renewed(plan, job, prepared, progress)
    if not (job.folder / folders.PLAN).exists():
        save_plan(plan, job.folder / folders.PLAN)
    return plan


def _renewed(plan: Plan, job: Job, prepared: Prepared, progress: Progress) -> Plan:
    """A repeated plan, stamped with the data and the machine that it runs on now."""
    environment = describe_environment(job.request.device)
    if plan.data.digest != prepared.raw.digest:
        progress.say("The data is not what the plan was made for (its digest differs).")
    for sentence in differences(plan.environment, environment):
        progress.say(f"{sentence}: the weights may differ.")
    data = replace(plan.data, digest=prepared.raw.digest, rows=len(prepared.raw.table))
    return replace(plan, name=job.request.name, data=data, environment=environment)


def _train(
    job: Job, prepared: Prepared, plan: Plan, progress: Progress, tracked: Tracking
) -> Learned:
    """Run the one loop; only a plan that was made for this very clock is ever changed by it."""
    progress.stage("training")
    fresh = job.request.plan is None and job.request.steps is None
    what = supervised(plan, prepared, job.request.device)
    before = job.budget.elapsed
    network, result = what.fit(
        job.folder,
        resume=job.resumed,
        budget=job.budget.share(plan.seconds["training"]) if fresh else None,
        replans=load_replans(job.replans),
        progress=progress,
        identity=identity_of(plan, prepared.splits),
        listener=tracked if tracked.on else None,
    )
    if job.resumed:
        earlier = result.seconds - (job.budget.elapsed - before)
        job.budget.count(earlier + plan.seconds["before"])
    return beside_scratch(Learned(network, what, result), job, prepared, plan, progress)
