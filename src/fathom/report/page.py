"""The page: what stands where in `report.html`. The words and the looks are in the templates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from fathom.core.record import Record
from fathom.report import plan_view, words
from fathom.report.figures import Drawing, draw
from fathom.report.figures.bars import Scale, Span, spans
from fathom.report.findings import Comparison, Findings
from fathom.report.story import SchemaRow, Story
from fathom.report.templating import render


@dataclass(frozen=True)
class Part:
    """A section of the report: its anchor, its name in the contents, its heading, its groups.

    `told` are the groups whose records are told one by one; those of the others stand in tables.
    """

    anchor: str
    name: str
    heading: str
    groups: tuple[str, ...]
    told: tuple[str, ...]


PARTS = (
    Part("data", "Data", "What the data is", ("data",), ("data",)),
    Part("result", "Result", "How good is it?", ("performance",), ("performance",)),
    Part("baselines", "Baselines", "Is it better than a simpler method?", ("gain", "baseline"), ()),
    Part("overfitting", "Overfitting", "Does it know its examples by heart?", ("gap",), ()),
    Part("training", "Training", "How it learned", ("training",), ("training",)),
    Part(
        "calibration",
        "Calibration",
        "Can its confidence be believed?",
        ("calibration",),
        ("calibration",),
    ),
    Part("anatomy", "Anatomy", "Inside the network", ("anatomy",), ("anatomy",)),
    Part("mistakes", "Mistakes", "Where it is most wrong", ("worst",), ("worst",)),
    Part("cost", "Cost", "What it costs", ("cost",), ()),
)


@dataclass(frozen=True)
class Exhibit:
    """A figure on the page: its number and what was drawn."""

    number: int
    drawing: Drawing


@dataclass(frozen=True)
class Told:
    """A record with its sentence and its figure."""

    record: Record
    exhibit: Exhibit | None


@dataclass
class Gallery:
    """Numbers figures in the order in which they are hung."""

    hung: int = 0

    def hang(self, record: Record) -> Told:
        """A record with its figure drawn and numbered."""
        if record.figure is None:
            return Told(record, None)
        drawing = draw(record.figure)
        self.hung += bool(drawing.caption)  # a table that needs no caption needs no number
        return Told(record, Exhibit(self.hung, drawing))


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


@dataclass(frozen=True)
class Section:
    """A section as the template wants it."""

    part: Part
    told: list[Told]
    tables: Tables
    unmeasured: list[tuple[str, str]]

    @property
    def empty(self) -> bool:
        """Whether nothing of it was measured: it has no place of its own then."""
        return not (self.told or self.tables)


def render_page(records: Sequence[Record], story: Story) -> str:
    """The whole of `report.html`."""
    findings = Findings(records, story)
    gallery = Gallery()
    sections = [_section(part, findings, gallery) for part in [*PARTS, *_further(findings)]]
    headline, rest = findings.headline
    return str(
        render(
            "page.html",
            style=_style(),
            story=story,
            findings=findings,
            headline=headline,
            verdict_text=rest,
            stats=_stats(findings),
            race=_race(findings),
            default_title=findings.default_title,
            facts=_facts(story),
            sections=[section for section in sections if not section.empty],
            missing=[line for section in sections if section.empty for line in section.unmeasured],
            choices=plan_view.choices(story),
            versions=plan_view.facts(story.versions),
            hardware=plan_view.facts(story.hardware),
        )
    )


def _style() -> Markup:
    text = (files("fathom.report") / "templates" / "style.css").read_text(encoding="utf-8")
    return Markup(text)  # noqa: S704


def _further(findings: Findings) -> list[Part]:
    """Parts for groups that later kinds of evidence add."""
    known = {group for part in PARTS for group in part.groups} | {"verdict"}
    further = [group for group in findings.groups if group not in known]
    return [
        Part(f"more-{place}", words.plain(group), words.plain(group), (group,), (group,))
        for place, group in enumerate(further, start=1)
    ]


def _section(part: Part, findings: Findings, gallery: Gallery) -> Section:
    tables = _tables(part.anchor, findings)
    told = [record for group in part.told for record in findings.group(group)]
    told += [r for r in _leading(part, findings) if r not in told]
    hung = [gallery.hang(record) for record in told]
    return Section(part, hung, tables, _reasons(findings.unmeasured(*part.groups)))


def _leading(part: Part, findings: Findings) -> list[Record]:
    """Of groups that stand in tables: the primary metric's record, and what no table shows."""
    records = []
    for group in part.groups:
        if group in part.told or group in {"baseline", "cost"}:
            records += [r for r in findings.group(group) if group == "cost" and r.figure]
            continue
        for record in findings.group(group):
            primary = record.id == f"{group}.{findings.primary}"
            if primary or record.figure is not None:
                records.append(record)
    return records


def _tables(anchor: str, findings: Findings) -> Tables:
    story = findings.story
    if anchor == "data":
        return Tables(splits=_splits(story), schema=story.schema, warnings=story.warnings)
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


def _reasons(records: Iterable[Record]) -> list[tuple[str, str]]:
    """Reasons with the names of what was not measured for them, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for record in records:
        reason = words.sentence_case(record.reason or record.sentence)
        by_reason.setdefault(reason, []).append(words.record_title(record))
    return [(", ".join(dict.fromkeys(names)), reason) for reason, names in by_reason.items()]


def _facts(story: Story) -> list[tuple[str, str]]:
    facts = [("rows", f"{story.rows:,}"), ("columns", f"{story.columns:,}")]
    facts += [(f"in {name}", f"{count:,}") for name, count in story.splits.items()]
    return facts


def _splits(story: Story) -> list[dict[str, Any]]:
    """Each split's rows and the stretch of the whole that it takes, in per cent."""
    total = sum(story.splits.values()) or 1
    start, rows = 0.0, []
    for name, count in story.splits.items():
        width = 100 * count / total
        rows.append({"name": name, "count": count, "start": round(start, 2), "width": width})
        start += width
    return rows


def _stats(findings: Findings) -> list[dict[str, Any]]:
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


def _race(findings: Findings) -> Markup:
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
