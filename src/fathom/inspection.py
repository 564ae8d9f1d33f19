"""Inspection: what `fathom inspect` says: schema, audit, and the plan that would run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fathom.core.budget import DEFAULT_BUDGET, Budget, parse_duration
from fathom.core.progress import Progress, Silent
from fathom.core.record import MARKS, Record
from fathom.core.schema import Schema
from fathom.job import is_corpus
from fathom.language.inspection import CorpusInspection, inspect_corpus
from fathom.planning.device import choose_device
from fathom.planning.plan import Plan, to_yaml
from fathom.planning.prepare import prepare
from fathom.planning.request import make_request
from fathom.planning.resolve import resolve
from fathom.planning.rivals import BASELINE_SHARE, NO_RIVALS


@dataclass(frozen=True)
class Inspection:
    """Schema, findings and plan; `text()` is for a terminal."""

    schema: Schema
    records: tuple[Record, ...]
    split: str
    plan: Plan

    def text(self) -> str:
        """All of it as plain text."""
        width = max(len(f.name) for f in self.schema.fields)
        fields = [
            f"  {f.name:<{width}}  {f.role:<8} {f.kind:<9} {f.reason}" for f in self.schema.fields
        ]
        findings = [f"  {MARKS[r.grade]} {r.sentence}" for r in self.records]
        return "\n".join(
            [
                f"Task: {self.schema.task}. {self.schema.task_reason}",
                "",
                "Columns",
                *fields,
                "",
                "Audit",
                *findings,
                "",
                "Split",
                f"  {self.split}",
                "",
                "The plan that would run (--set KEY=VALUE fixes a key of network, training, task,",
                "augmentation, and data.image_size, data.kinds.COLUMN)",
                *("  " + line for line in to_yaml(self.plan).splitlines()),
            ]
        )


def inspect(
    source: object,
    *,
    settings: Mapping[str, Any] | None = None,
    budget: str | None = None,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
    started: float | None = None,
    **options: Any,
) -> Inspection | CorpusInspection:
    """Look at data without training. The options are those of `fathom.fit`.

    The time that the baselines would take is set aside, the network is timed, and nothing is
    written. Raises what `fathom.fit` would raise before training, except for leaks, which it shows.
    """
    shown = progress or Silent()
    clock = Budget(parse_duration(budget or DEFAULT_BUDGET), started)
    if is_corpus(source, options.get("task")):
        del options["task"]
        return inspect_corpus(
            source,
            settings or {},
            clock=clock,
            seed=seed,
            device=choose_device(device),
            progress=shown,
            **options,
        )
    request = make_request(
        source,
        settings or {},
        budget_seconds=clock.seconds,
        seed=seed,
        device=choose_device(device),
        **{k: tuple(v) if k == "drop" else v for k, v in options.items()},
    )
    prepared = prepare(request, clock, shown, refuse=False)
    after_baselines = Budget(clock.seconds, clock.started, already=BASELINE_SHARE * clock.seconds)
    plan = resolve(request, prepared, NO_RIVALS, after_baselines, shown)
    return Inspection(prepared.schema, prepared.records, prepared.splits.how, plan)
