"""Findings: the evidence about a network of language, and the story that the report tells."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime

from fathom import __version__, folders
from fathom.baselines.language import Compressed, Compressor, joined
from fathom.core.files import append_line, read_lines, write_json
from fathom.core.memory import peak_memory
from fathom.core.progress import Timed
from fathom.core.record import Evidence
from fathom.evidence.language import LANGUAGE_EVIDENCE
from fathom.evidence.language.subject import XZ, LanguageSubject
from fathom.findings import (
    MOST_WARNINGS,
    events,
    finite,
    gather_in,
    repeat_command,
    seconds_for_evidence,
)
from fathom.language.shipping import Outcome, Shipped
from fathom.planning.language.plan import to_yaml
from fathom.planning.prepare import SPLIT_NAMES
from fathom.report import SchemaRow, Story
from fathom.run import Run

XZ_SHARE = 0.1  # of the time for evidence, once for validation text and once for test text


def measure(outcome: Outcome, shipped: Shipped, progress: Timed) -> Run:
    """Gather all evidence, write evidence.json and story.json, and return the finished run."""
    progress.stage("measuring the evidence")
    job = outcome.job
    seconds = seconds_for_evidence(outcome.plan, job.budget)
    subject = _subject(outcome, shipped, progress.seconds, seconds)
    gathered = gather_in(job, subject, seconds, progress, LANGUAGE_EVIDENCE)
    records = tuple(finite(r) for r in (*outcome.prepared.records, *gathered))
    story = _story(outcome, shipped, progress.seconds, subject.best_baseline)
    write_json(job.folder / folders.EVIDENCE, Evidence(records))
    write_json(job.folder / folders.STORY, story)
    return Run(job.folder, records, story)


def _subject(
    outcome: Outcome, shipped: Shipped, stages: dict[str, float], seconds: float
) -> LanguageSubject:
    job, prepared = outcome.job, outcome.prepared

    def note_access(name: str) -> None:
        line = {"when": datetime.now(UTC).isoformat(timespec="seconds"), "by": name}
        append_line(job.folder / folders.TEST_ACCESS, line)

    def squeezed(split: str) -> Compressed:
        texts, xz = subject.pieces(split), Compressor()
        size = sum(map(len, texts))
        most = xz.priming_bytes(XZ_SHARE * seconds, sample=b"".join(texts[:20]), held_out=size)
        return xz.compressed(texts, joined(prepared.texts("train", most)))

    subject = LanguageSubject(
        network=shipped.network,
        baselines={outcome.rivals.ngrams.name: outcome.rivals.ngrams},
        best_baseline=outcome.rivals.ngrams.name,
        splits=prepared.splits,
        compressed=squeezed,
        log=read_lines(job.folder / folders.LOG),
        checkpoints=tuple(sorted((job.folder / folders.CHECKPOINTS).glob("step-*"))),
        costs=_costs(outcome),
        stages=stages,
        samples=outcome.plan.evidence,
        seed=outcome.plan.seed,
        bound_by=_bound_by(outcome),
        on_test_access=note_access,
    )
    subject.best_baseline = _best_rival(subject, outcome.rivals.ngrams.name)
    return subject


def _best_rival(subject: LanguageSubject, ngrams: str) -> str:
    """Which rival needs fewer bits for a byte of validation text: the n-grams or xz."""

    def taken(name: str) -> float:
        sums = subject.sums(name, "validation")
        return float(sums.nats.sum() / sums.sizes.sum())

    return min((ngrams, XZ), key=taken)


def _bound_by(outcome: Outcome) -> str:
    """What set the length of training: the 'time', the 'data', or the user by 'steps'."""
    training = outcome.plan.training
    if outcome.plan.budget_seconds is None:
        return "steps"
    return "data" if outcome.learned.result.steps >= training.most_steps else "time"


def _costs(outcome: Outcome) -> dict[str, float]:
    plan, result = outcome.plan, outcome.learned.result
    tokens = result.steps * outcome.learned.what.source().tokens_per_batch
    return {
        "train_seconds": result.seconds,
        "total_seconds_so_far": outcome.job.budget.elapsed,
        "peak_memory_bytes": float(peak_memory()),
        "threads": float(plan.training.threads),
        "learning_rate": plan.training.optimizer.learning_rate,
        "tokens_per_second": tokens / max(result.seconds, 1e-9),
    }


def _story(outcome: Outcome, shipped: Shipped, stages: dict[str, float], rival: str) -> Story:
    job, prepared, plan = outcome.job, outcome.prepared, outcome.plan
    folder = str(job.folder)
    warnings = _warnings(outcome)
    more = len(warnings) - MOST_WARNINGS
    shown = (*warnings[:MOST_WARNINGS], f"… and {more} more.") if more > 0 else warnings
    return Story(
        name=job.folder.name,
        task=(
            f"Say which token of {prepared.tokenizer.size:,} comes next in a text, and so write "
            "texts."
        ),
        created=datetime.now(UTC).date().isoformat(),
        command=job.command,
        repeat_command=repeat_command(plan.data.source, f"{folder}/{folders.PLAN}"),
        predict_command=f'fathom sample {shlex.quote(folder)} "How a text begins"',
        rows=plan.data.documents,
        unit_of_rows="documents",
        columns=1,
        splits={name: int(prepared.splits[name].sizes.sum()) for name in SPLIT_NAMES},
        schema=(SchemaRow("text", "text", "input", plan.why.get("data.tokenizer", "")),),
        plan_yaml=to_yaml(plan),
        why=plan.why,
        versions=plan.environment["versions"],
        hardware=plan.environment["hardware"],
        default_model=shipped.default,
        seconds=round(job.budget.elapsed, 1),
        stages={name: round(spent, 2) for name, spent in stages.items()},
        budget_seconds=plan.budget_seconds,
        warnings=shown,
        warning_count=len(warnings),
        source=plan.data.source,
        folder=folder,
        split_how=prepared.parted.how,
        primary=outcome.learned.what.task.primary,
        best_baseline=rival,
        fathom_version=__version__,
        replans=tuple(events(job.folder, "replan")),
        pretrained=_begun_with(outcome),
    )


def _begun_with(outcome: Outcome) -> str:
    """Whose weights the network began with; empty where it began with none."""
    begin = outcome.plan.begin
    if not begin.source:
        return ""
    licence = f" (licence: {begin.licence})" if begin.licence else ""
    return (
        f"The network began with the weights of {begin.source}{licence}, trained on. What it is "
        "used for must agree with their licence."
    )


def _warnings(outcome: Outcome) -> tuple[str, ...]:
    prepared = outcome.prepared
    problems = (*prepared.corpus.problems, *prepared.parted.problems)
    return (*(f"{p.where}: {p.reason}" for p in problems), *outcome.rivals.ngrams.notes)
