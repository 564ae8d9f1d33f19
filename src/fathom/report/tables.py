"""Tables: what the page shows in rows and columns, and the race of network and baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from markupsafe import Markup

from fathom.core.record import Record
from fathom.report import words
from fathom.report.figures.bars import Scale, Span, spans
from fathom.report.findings import Comparison, Findings
from fathom.report.story import SchemaRow, Story


@dataclass(frozen=True)
class Tables:
    """What a section shows besides sentences; most sections have none of it."""

    splits: Sequence[dict[str, Any]] = ()
    schema: Sequence[SchemaRow] = ()
    warnings: Sequence[str] = ()
    metrics: Sequence[dict[str, Any]] = ()
    models: dict[str, Any] | None = None
    gaps: Sequence[dict[str, str]] = ()
    costs: Sequence[dict[str, str]] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, part.name) for part in fields(self))


def tables_of(anchor: str, findings: Findings) -> Tables:
    """The tables of the section with this anchor."""
    story = findings.story
    if anchor == "data":
        return Tables(splits=splits_of(story), schema=story.schema, warnings=story.warnings)
    if anchor == "result":
        return Tables(metrics=_metric_rows(findings))
    if anchor == "baselines":
        return Tables(models=_model_table(findings))
    if anchor == "overfitting":
        return Tables(gaps=[_tabled(record) for record in findings.group("gap")])
    if anchor == "cost":
        return Tables(costs=[_tabled(record) for record in findings.group("cost")])
    return Tables()


def _tabled(record: Record) -> dict[str, str]:
    return {
        "title": words.record_title(record),
        "value": words.record_value(record),
        "interval": words.record_interval(record),
        "grade": record.grade,
        "sentence": record.sentence,
    }


def splits_of(story: Story) -> list[dict[str, Any]]:
    """Each split's rows and the stretch of the whole that it takes, in per cent."""
    total = sum(story.splits.values()) or 1
    start, rows = 0.0, []
    for name, count in story.splits.items():
        width = 100 * count / total
        written = f"{count:,}" if story.unit_of_rows == "rows" else words.amount(count, "bytes")
        rows.append({"name": name, "written": written, "start": round(start, 2), "width": width})
        start += width
    return rows


def stats(findings: Findings) -> list[dict[str, Any]]:
    """The three numbers under the verdict: network, best baseline, gain."""
    comparison = findings.compare(findings.primary)
    rival = words.model_title(findings.best_baseline)
    named = (
        ("Network", comparison.network, True),
        (rival, comparison.baseline, False),
        ("Gain", comparison.gain, False),
    )
    return [
        {
            "name": name,
            "value": words.record_value(record),
            "interval": words.record_interval(record),
            "strong": strong,
        }
        for name, record, strong in named
        if record is not None
    ]


def race(findings: Findings) -> Markup:
    """Network against baselines by the primary metric.

    The constant answer would squeeze all others into a corner; it stands among the baselines below.
    """
    metric = findings.primary
    models = [
        (name, record)
        for name, record in findings.models(metric)
        if name != "constant" or findings.best_baseline == "constant"
    ]
    rows = [_span(words.model_title(name), r, strong=name == "network") for name, r in models]
    if not rows:
        return Markup("")
    comparison = findings.compare(metric)
    better = {True: ", more is better", False: ", less is better", None: ""}
    x_label = comparison.title + better[comparison.higher_is_better]
    write = _percent if metric in words.AS_PERCENT else None
    return spans(rows, x_label=x_label, write=write) if write else spans(rows, x_label=x_label)


def _percent(value: float) -> str:
    return f"{round(100 * value, 6):g} %"


def _span(label: str, record: Record, *, strong: bool) -> Span:
    value = float(record.value) if isinstance(record.value, int | float) else 0.0
    low, high = record.interval or (value, value)
    if not (math.isfinite(low) and math.isfinite(high)):
        low = high = value
    interval = words.record_interval(record)
    return Span(label, value, low, high, words.record_value(record), note=interval, strong=strong)


def _metric_rows(findings: Findings) -> list[dict[str, Any]]:
    """The result's table: a row for each metric, with the intervals on a small scale."""
    return [_metric_row(findings.compare(metric)) for metric in findings.metrics]


def _metric_row(comparison: Comparison) -> dict[str, Any]:
    both = [
        _span("", record, strong=record is comparison.network)
        for record in (comparison.network, comparison.baseline)
        if record is not None
    ]
    scale = Scale.around([end for span in both for end in (span.low, span.value, span.high)])
    return {
        "title": comparison.title,
        "less": comparison.higher_is_better is False,
        "network": _cell(comparison.network),
        "baseline": _cell(comparison.baseline),
        "gain": _cell(comparison.gain),
        "spans": both,
        "scale": scale,
    }


def _cell(record: Record | None) -> tuple[str, str]:
    """A value and its interval as text."""
    if record is None:
        return "–", ""
    return words.record_value(record), words.record_interval(record)


def _model_table(findings: Findings) -> dict[str, Any] | None:
    """Every model by every metric."""
    metrics = findings.metrics
    if not findings.baselines:
        return None
    rows = [
        {
            "title": words.model_title(name),
            "best": name == findings.best_baseline,
            "network": name == "network",
            "cells": [
                _cell(
                    findings.get(f"performance.{metric}")
                    if name == "network"
                    else findings.get(f"baseline.{name}.{metric}")
                )
                for metric in metrics
            ],
        }
        for name in ("network", *findings.baselines)
    ]
    return {"columns": [words.metric_title(metric) for metric in metrics], "rows": rows}
