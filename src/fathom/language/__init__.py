"""The story of `fit` for a corpus, on one page: from text to a measured network that writes.

read, look for duplicates, split      what is the text, and which of it is held out?
cut into tokens                       with a tokenizer that is sized to the text
fit the n-grams                       what does a traditional method reach?
plan                                  which network, how long, why?
train                                 the one loop
calibrate                             how far can its probabilities be believed?
measure the evidence                  on held-out text that nothing before has decided upon
bundle, report                        what is shipped, and what a person reads
"""

from __future__ import annotations

import torch
from msgspec import to_builtins
from msgspec.structs import replace

from fathom import folders
from fathom.core.errors import ArtefactError
from fathom.core.progress import Progress, Timed
from fathom.core.threads import threads
from fathom.job import LanguageJob
from fathom.language.beginning import begin_from
from fathom.language.findings import measure
from fathom.language.shipping import Learned, Outcome, ship
from fathom.planning.environment import describe_environment, differences
from fathom.planning.language.draft import begun_draft
from fathom.planning.language.plan import LanguagePlan, identity_of, save_plan
from fathom.planning.language.prepare import Prepared, prepare_corpus
from fathom.planning.language.resolve import language_fit, resolve_language
from fathom.planning.language.rivals import Rivals, fit_ngrams
from fathom.run import Run
from fathom.tracking import Tracking, tracking
from fathom.training.schedule import load_replans

FOR_NOW = 2**62  # tokens of a text that is not read yet


def work(job: LanguageJob, progress: Progress) -> Run:
    """The whole way, once it is clear what to do and where."""
    progress = timed = Timed(progress, job.budget.elapsed, job.budget.clock)
    beginning = begin_from(job.request.begin)
    if beginning is not None:  # a slip is told before anything is read
        begun_draft(job.request, beginning, text_tokens=FOR_NOW)
    prepared = prepare_corpus(job.request, beginning, job.budget, progress)
    known = job.request.plan
    rivals = fit_ngrams(
        prepared,
        budget=None if job.request.steps is not None else job.budget,
        plan=None if known is None else known.ngrams,
        progress=progress,
    )
    plan = _settle(job, prepared, rivals, progress)
    with tracking(job.track, job.folder, progress) as tracked:
        tracked.parameters(to_builtins(plan))
        learned = _train(job, prepared, plan, progress, tracked)
        outcome = Outcome(job, prepared, rivals, plan, learned)
        # What was compiled for training would be compiled anew for each shape that is read.
        eager = torch.compiler.set_stance("force_eager")
        with threads(plan.training.threads), eager:
            run = measure(outcome, ship(outcome, progress), timed)
        tracked.records(run.evidence)
    progress.stage("writing the report")
    run.report()
    return run


def _settle(
    job: LanguageJob, prepared: Prepared, rivals: Rivals, progress: Progress
) -> LanguagePlan:
    """The plan that is going to run, on disk before step 1.

    Raises ArtefactError where an interrupted run would go on with another text: what it has trained
    on could then be what it is tested on.
    """
    plan, digest = job.request.plan, prepared.survey.digest
    if plan is None:
        plan = resolve_language(job.request, prepared, rivals, job.budget, progress)
    elif job.resumed and plan.data.digest != digest:
        raise ArtefactError(
            f"The text has changed since {job.folder} was begun: restore it, or leave --resume out "
            "to begin anew."
        )
    else:
        plan = _renewed(plan, job, prepared, progress)
    if not (job.folder / folders.PLAN).exists():
        save_plan(plan, job.folder / folders.PLAN)
    return plan


def _renewed(
    plan: LanguagePlan, job: LanguageJob, prepared: Prepared, progress: Progress
) -> LanguagePlan:
    """A repeated plan, stamped with the text and the machine that it runs on now."""
    environment = describe_environment(job.request.device)
    if plan.data.digest != prepared.survey.digest:
        progress.say("The text is not what the plan was made for (its digest differs).")
    begun = prepared.beginning
    if begun is not None and begun.digest != plan.begin.digest:
        progress.say("The network that is gone on with has other weights than the plan's had.")
    for sentence in differences(plan.environment, environment):
        progress.say(f"{sentence}: the weights may differ.")
    data = replace(
        plan.data,
        digest=prepared.survey.digest,
        documents=prepared.survey.documents,
        bytes=prepared.survey.bytes,
        train_tokens=prepared.splits["train"].predicted,
        vocabulary=prepared.tokenizer.size,
    )
    return replace(plan, name=job.request.name, data=data, environment=environment)


def _train(
    job: LanguageJob,
    prepared: Prepared,
    plan: LanguagePlan,
    progress: Progress,
    tracked: Tracking,
) -> Learned:
    """Run the one loop; only a plan that was made for this very clock is ever changed by it."""
    progress.stage("training")
    fresh = job.request.plan is None and job.request.steps is None
    what = language_fit(prepared, plan.network, plan.training, plan.seed, job.request.device)
    before = job.budget.elapsed
    network, result = what.fit(
        job.folder,
        resume=job.resumed,
        budget=job.budget.share(plan.seconds["training"]) if fresh else None,
        replans=load_replans(job.replans),
        progress=progress,
        identity=identity_of(plan, prepared.parted.key),
        listener=tracked if tracked.on else None,
    )
    if job.resumed:
        earlier = result.seconds - (job.budget.elapsed - before)
        job.budget.count(earlier + plan.seconds["before"])
    return Learned(network, what, result)


__all__ = ["work"]
