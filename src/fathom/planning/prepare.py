"""Prepare: from a request to encoded, audited, split data; the same for `fit` and `inspect`."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from fathom.core.blocks import InputSpec
from fathom.core.budget import Budget
from fathom.core.errors import DataError, LeakError, PlanError
from fathom.core.examples import Examples
from fathom.core.output import OutputSpec
from fathom.core.progress import Progress
from fathom.core.record import Record
from fathom.core.schema import ImageStatistics, LabelReading, Schema
from fathom.data.audit import Audit, after_encoding, audit, with_problems
from fathom.data.encode import Encoded, encode, input_spec, output_spec
from fathom.data.file_columns import find_files
from fathom.data.infer import infer_schema
from fathom.data.labels import fold_labels, left_out
from fathom.data.pictures import foresee, told_clipped
from fathom.data.prepare import drop_unusable
from fathom.data.raw import Raw
from fathom.data.read import read
from fathom.data.remarks import remarks
from fathom.data.repeats import find_repeats
from fathom.data.sounds import foresee_sounds
from fathom.data.split import Splits, split
from fathom.planning.backbones import Start, choose_start
from fathom.planning.request import Request

SPLIT_NAMES = ("train", "validation", "calibration", "test")
# The audit may take so much of the whole; above it, it subsamples and says so.
AUDIT_SHARE = 0.05
_AUDIT_LEAST_SECONDS = 1.0


@dataclass(frozen=True)
class Prepared:
    """Data that is ready to be learned from. `examples` maps split names to encoded examples."""

    raw: Raw
    schema: Schema
    audit: Audit
    splits: Splits
    inputs: InputSpec
    output: OutputSpec
    examples: Mapping[str, Examples]
    unreadable: Mapping[int, str] = field(default_factory=dict)
    start: Start = field(default_factory=Start)

    @property
    def near_searched(self) -> bool:
        """Whether near duplicates were looked for."""
        repeats = self.audit.repeats
        return repeats is not None and repeats.near.searched

    @property
    def records(self) -> tuple[Record, ...]:
        """What the audit found."""
        return self.audit.records


def understand(request: Request, budget: Budget, progress: Progress) -> tuple[Raw, Schema]:
    """Read and infer; nothing is learned yet."""
    progress.stage("reading")
    raw = read(
        request.source,
        test=request.test,
        target=request.target,
        kinds=request.kinds,
        series=request.series,
        progress=progress,
    )
    folded = fold_labels(raw, request.target, request.task)
    if folded.hint:
        progress.say(folded.hint)
    _refuse_other_roles(request, folded.reading)
    raw = folded.raw
    schema = infer_schema(
        raw,
        target=folded.target,
        task=folded.task,
        labels=folded.reading,
        kinds=request.kinds,
        drop=request.drop,
        group=request.group,
        order=request.time,
    )
    if folded.reading is not None:
        schema = _with_reason(schema, folded.reason)
        progress.say(f"What is learned: {folded.reason}.")
    raw = drop_unusable(find_files(raw, schema, progress), schema)
    for pictures in schema.of_kind("image"):
        foresee(raw.table[pictures.name], raw.digest, budget)
    for sounds in schema.of_kind("audio"):
        foresee_sounds(raw.table[sounds.name], budget)
    return raw, schema


def part_and_audit(
    request: Request, raw: Raw, schema: Schema, budget: Budget, progress: Progress
) -> tuple[Splits, Audit]:
    """Split, with repeats on one side, and audit: leaks are looked for in training rows alone."""
    progress.stage("auditing")
    repeats = find_repeats(
        raw,
        schema,
        seed=request.seed,
        wanted=request.near_duplicates,
        budget=budget,
        progress=progress,
    )
    splits = split(raw, schema, seed=request.seed, repeats=repeats)
    # Even where nothing is left of the budget a leak must not pass.
    seconds = max(_AUDIT_LEAST_SECONDS, AUDIT_SHARE * budget.seconds)
    found = audit(
        raw,
        schema,
        seed=request.seed,
        budget=Budget(seconds),
        training=splits.train,
        repeats=repeats,
        progress=progress,
    )
    return splits, found


def _with_reason(schema: Schema, reason: str) -> Schema:
    """The schema with the reason for its task, which its target gives, too."""
    fields = tuple(
        replace(f, reason=f"{f.reason}: {reason}") if f.role == "target" else f
        for f in schema.fields
    )
    return replace(schema, fields=fields, task_reason=reason)


def _refuse_other_roles(request: Request, labels: LabelReading | None) -> None:
    """Raise PlanError where one of several targets is asked for as something else, too."""
    others = {"--drop": request.drop, "--group": (request.group,), "--time": (request.time,)}
    for option, names in others.items():
        for name in names:
            if labels is not None and name in labels.columns:
                raise PlanError(f"Column {name!r} cannot be a target and go with {option}, too.")


def refuse_leaks(found: Audit, allowed: bool) -> None:
    """Raise LeakError where a column gives the target away and the user did not allow it."""
    if not found.leaks or allowed:
        return
    columns = ", ".join(repr(c) for c in found.leaks)
    drops = " ".join(f"--drop {shlex.quote(c)}" for c in found.leaks)
    plural = len(found.leaks) > 1
    way_out = (
        f"so the model would learn nothing else. Leave out what will not be known when predicting "
        f"({drops}), or go on with --allow-leaks if it is legitimate."
    )
    if found.series is not None:
        way_out = f"and {found.series.way_out}; or go on with --allow-leaks if that is legitimate."
    raise LeakError(
        f"The column{'s' if plural else ''} {columns} give{'' if plural else 's'} the target away: "
        f"alone {'they predict' if plural else 'it predicts'} it almost perfectly, {way_out}"
    )


def encode_splits(
    raw: Raw, splits: Splits, encoded: Encoded, progress: Progress
) -> dict[str, Examples]:
    """Cut what was encoded into splits; `splits` hold no unreadable rows any more."""
    examples = {}
    for name in SPLIT_NAMES:
        examples[name] = encoded.examples.take(getattr(splits, name))
        if not len(examples[name]):
            raise DataError(f"No example is left for the split {name!r}: add data.")
    if encoded.unreadable:
        first = next(iter(encoded.unreadable))
        progress.say(
            f"{len(encoded.unreadable)} of {len(raw.table)} rows could not be read and are left "
            f"out, first {raw.locate(first)}: {encoded.unreadable[first]}."
        )
    return examples


def _tell_clipped(raw: Raw, schema: Schema, encoded: Encoded, progress: Progress) -> None:
    """Say of deep pictures which are brighter or darker than those that the levels come from."""
    for name, rows in encoded.clipped.items():
        statistics = next(f.statistics for f in schema.inputs if f.name == name)
        if rows and isinstance(statistics, ImageStatistics) and statistics.levels:
            progress.say(
                f"{len(rows):,} of {len(raw):,} pictures in {name!r}, first "
                f"{raw.locate(min(rows))}, {told_clipped(statistics.levels)}."
            )


def prepare(
    request: Request, budget: Budget, progress: Progress, *, refuse: bool = True
) -> Prepared:
    """All that comes before a plan. Raises DataError, and LeakError unless `refuse` is off."""
    raw, schema = understand(request, budget, progress)
    start = choose_start(request, raw, schema)
    splits, found = part_and_audit(request, raw, schema, budget, progress)
    refuse_leaks(found, request.allow_leaks or not refuse)
    schema = start.learned(schema, raw.table, splits.train, image_size=request.image_size)
    progress.stage("encoding")
    encoded = encode(raw.table, schema, progress=progress, budget=budget, digest=raw.digest)
    _tell_clipped(raw, schema, encoded, progress)
    noticed = remarks(raw, schema, encoded, len(splits.train))
    for remark in noticed:
        progress.say(f"{remark.where}: {remark.reason}.")
    problems = (*raw.problems, *left_out(raw, schema), *noticed)
    raw = dataclasses.replace(raw, problems=problems)
    found = with_problems(found, raw)
    found, splits = after_encoding(found, raw, schema, splits, encoded.unreadable)
    examples = encode_splits(raw, splits, encoded, progress)
    return Prepared(
        raw=raw,
        schema=schema,
        audit=found,
        splits=splits,
        inputs=input_spec(schema),
        output=output_spec(schema),
        examples=examples,
        unreadable=encoded.unreadable,
        start=start,
    )
