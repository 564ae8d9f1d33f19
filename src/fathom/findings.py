"""Findings: the evidence about what was learned, and the story that the report tells with it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from fathom import __version__, folders
from fathom.core.budget import Budget
from fathom.core.files import append_line, read_json, read_lines, write_json
from fathom.core.memory import peak_memory
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Timed
from fathom.core.record import Evidence, Record
from fathom.core.registry import Registry
from fathom.evidence import EVIDENCE, Measure, Subject, gather
from fathom.evidence.measure import AnySubject
from fathom.job import Job, Work
from fathom.networks import PretrainedSpec
from fathom.planning.language.plan import LanguagePlan
from fathom.planning.plan import InferencePlan, Plan, to_yaml
from fathom.planning.prepare import SPLIT_NAMES, Prepared
from fathom.planning.rivals import Rivals
from fathom.planning.trials import Search
from fathom.planning.trials import records as search_records
from fathom.report import Story
from fathom.report.story import schema_rows
from fathom.run import Run
from fathom.shipping import Outcome, Shipped

MOST_WARNINGS = 20  # that the report shows


def measure(outcome: Outcome, shipped: Shipped, progress: Timed) -> Run:
    """Gather all evidence, write evidence.json and story.json, and return the finished run."""
    progress.stage("measuring the evidence")
    job = outcome.job
    subject = _subject(outcome, shipped, progress.seconds)
    seconds = seconds_for_evidence(outcome.plan, job.budget)
    gathered = gather_in(job, subject, seconds, progress)
    found = (*outcome.prepared.records, *gathered, *_search_records(job))
    records = tuple(finite(r) for r in found)
    story = _story(outcome, shipped, progress.seconds)
    write_json(job.folder / folders.EVIDENCE, Evidence(records))
    write_json(job.folder / folders.STORY, story)
    return Run(job.folder, records, story)


def gather_in(
    job: Work,
    subject: AnySubject,
    seconds: float,
    progress: Progress,
    kinds: Registry[Measure] = EVIDENCE,
) -> list[Record]:
    """All of some kinds of evidence within so many seconds; faults of ours stand in a file."""
    faults: list[str] = []

    def keep_fault(name: str, traceback_text: str) -> None:
        faults.append(name)
        with (job.folder / folders.FAULT).open("a", encoding="utf-8") as file:
            file.write(f"Evidence {name}\n{traceback_text}\n")

    gathered = gather(subject, Budget(seconds, clock=job.budget.clock), progress, keep_fault, kinds)
    for name in faults:
        progress.say(f"Measuring {name} failed; the details are in {job.folder / folders.FAULT}.")
    return gathered


def _search_records(job: Job) -> list[Record]:
    """What a search before this training tried, where there was one."""
    path = job.folder / folders.TUNING
    return search_records(read_json(path, Search)) if path.exists() else []


def finite(record: Record) -> Record:
    """The record without what JSON cannot hold: a value or an interval that is no number."""
    value, interval = record.value, record.interval
    if interval is not None and not all(isfinite(end) for end in interval):
        interval = None
    if isinstance(value, float) and not isfinite(value):
        value = None
    return replace(record, value=value, interval=interval)


def seconds_for_evidence(plan: Plan | LanguagePlan, budget: Budget) -> float:
    """What the plan set aside; a run that had time to spare may use what is left of the whole."""
    planned = plan.seconds["evidence"]
    if plan.budget_seconds is None:
        return max(planned, 60.0)
    left = budget.remaining - plan.seconds["report"]
    return float(np.clip(left, planned, 3 * planned))


def _subject(outcome: Outcome, shipped: Shipped, stages: dict[str, float]) -> Subject:
    job, prepared, rivals = outcome.job, outcome.prepared, outcome.rivals

    def note_access(name: str) -> None:
        line = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "by": name}
        append_line(job.folder / folders.TEST_ACCESS, line)

    straddlers, near_straddlers = _straddlers(outcome)
    return Subject(
        model=shipped.network.model,
        network=shipped.network,
        baselines=dict(rivals.fitted),
        best_baseline=rivals.best,
        splits=prepared.examples,
        table=prepared.raw.table,
        locate=prepared.raw.locate,
        schema=prepared.schema,
        task=outcome.learned.what.task,
        log=read_lines(job.folder / folders.LOG),
        checkpoints=tuple(sorted((job.folder / folders.CHECKPOINTS).glob("step-*"))),
        costs=_costs(outcome),
        stages=stages,
        samples=outcome.plan.evidence,
        seed=outcome.plan.seed,
        straddlers=straddlers,
        near_straddlers=near_straddlers,
        bound_by=_bound_by(outcome),
        scratch=outcome.learned.scratch,
        on_test_access=note_access,
    )


def _straddlers(outcome: Outcome) -> tuple[Array, Array]:
    """Positions within a given test split whose inputs something was learned or chosen from too,
    and of those the ones that stand there in nearly the same form.
    """
    prepared = outcome.prepared
    given, repeats = prepared.raw.given_split, prepared.audit.repeats
    if given is None or repeats is None or not (given == "test").any():
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    test = prepared.examples["test"].rows
    others = [prepared.examples[name].rows for name in SPLIT_NAMES if name != "test"]
    exactly, nearly = repeats.known(test, np.concatenate(others))
    return np.flatnonzero(exactly | nearly), np.flatnonzero(nearly)


def _bound_by(outcome: Outcome) -> str:
    """What set the length of training: the 'time', the 'data', or the user by 'steps'."""
    training = outcome.plan.training
    if outcome.plan.budget_seconds is None:
        return "steps"
    return "data" if outcome.learned.result.steps >= training.most_steps else "time"


def _costs(outcome: Outcome) -> dict[str, float]:
    plan = outcome.plan
    return {
        "train_seconds": outcome.learned.result.seconds,
        "total_seconds_so_far": outcome.job.budget.elapsed,
        "peak_memory_bytes": float(peak_memory()),
        "threads": float(plan.training.threads),
        "learning_rate": plan.training.optimizer.learning_rate,
        "scratch_seconds": outcome.learned.scratch_seconds,
    }


def _story(outcome: Outcome, shipped: Shipped, stages: dict[str, float]) -> Story:
    job, prepared, plan = outcome.job, outcome.prepared, outcome.plan
    folder = str(job.folder)
    warnings = _warnings(prepared, outcome.rivals)
    more = len(warnings) - MOST_WARNINGS
    shown = (*warnings[:MOST_WARNINGS], f"… and {more} more.") if more > 0 else warnings
    return Story(
        name=job.folder.name,
        task=_task_sentence(prepared),
        created=datetime.now(UTC).date().isoformat(),
        command=job.command,
        repeat_command=repeat_command(plan.data.source, f"{folder}/{folders.PLAN}"),
        predict_command=f"fathom predict {shlex.quote(folder)} DATA -o predictions.csv",
        rows=len(prepared.raw.table),
        columns=len(prepared.schema.fields),
        splits={name: len(prepared.examples[name]) for name in SPLIT_NAMES},
        schema=schema_rows(prepared.schema),
        plan_yaml=to_yaml(_as_used(plan, shipped)),
        why=_why(plan, shipped),
        versions=plan.environment["versions"],
        hardware=plan.environment["hardware"],
        default_model=shipped.default,
        seconds=round(job.budget.elapsed, 1),
        stages={name: round(seconds, 2) for name, seconds in stages.items()},
        budget_seconds=plan.budget_seconds,
        warnings=shown,
        warning_count=len(warnings),
        source=plan.data.source,
        folder=folder,
        split_how=prepared.splits.how,
        primary=outcome.learned.what.task.primary,
        best_baseline=outcome.rivals.best,
        fathom_version=__version__,
        replans=tuple(events(job.folder, "replan")),
        pretrained=_begun_with(plan),
    )


def _begun_with(plan: Plan) -> str:
    """Whose weights the network began with, and their licence; empty where it began with none."""
    if not isinstance(plan.network, PretrainedSpec):
        return ""
    backbone = plan.network.backbone
    how = "trained on" if plan.network.tune else "kept as they were, with a new head"
    return (
        f"The network began with the weights of {backbone.source} (licence: {backbone.licence}), "
        f"{how}. What it is used for must agree with that licence."
    )


def _as_used(plan: Plan, shipped: Shipped) -> Plan:
    """The plan with the views that were chosen once the network was trained."""
    return replace(plan, inference=InferencePlan(shipped.network.model.views))


def _why(plan: Plan, shipped: Shipped) -> dict[str, str]:
    return plan.why | ({"inference.views": shipped.why_views} if shipped.why_views else {})


def repeat_command(source: str, plan: str) -> str:
    """How to repeat the run; data that lay in memory has to be handed in again."""
    return f"fathom fit {shlex.quote(plan)}" if source else f"fathom.fit(data, plan={plan!r})"


# What the only input is, in words.
ONE_OF_KIND: Mapping[str, str] = {
    "image": "a picture",
    "text": "a text",
    "audio": "a sound",
    "series": "a series",
}


def _task_sentence(prepared: Prepared) -> str:
    schema, target = prepared.schema, prepared.schema.target.name
    count = len(schema.inputs)
    inputs = (
        ONE_OF_KIND.get(schema.inputs[0].kind, "one column") if count == 1 else f"{count} columns"
    )
    if schema.task == "regression":
        return f"Predict the number {target!r} from {inputs}."
    if schema.task == "multilabel":
        return f"Predict which of {len(schema.labels)} labels of {target!r} hold, from {inputs}."
    return f"Predict {target!r}, one of {len(schema.labels)} classes, from {inputs}."


def _warnings(prepared: Prepared, rivals: Rivals) -> tuple[str, ...]:
    problems = [f"{p.where}: {p.reason}" for p in prepared.raw.problems]
    unread = [f"{prepared.raw.locate(r)}: {why}" for r, why in prepared.unreadable.items()]
    notes = [note for model in rivals.fitted.values() for note in model.notes]
    return (*problems, *unread, *rivals.left_out, *notes)


def events(folder: Path, event: str) -> list[str]:
    """The sentences of a kind of event in the log of a run."""
    lines: list[dict[str, Any]] = read_lines(folder / folders.LOG)
    return [line["sentence"] for line in lines if line.get("event") == event]
