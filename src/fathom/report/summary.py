"""The short summary of a run: lines for a terminal, a dictionary for a program."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from fathom.core.budget import format_duration
from fathom.core.record import Record
from fathom.report import words
from fathom.report.findings import Findings, measured
from fathom.report.story import Story

_WIDTH = 92
_LINES = 15
_LABEL = 18  # the longest name of a baseline, and two blanks


def summary_lines(records: Sequence[Record], story: Story) -> list[str]:
    """At most 15 lines: verdict, primary metric of both models, gap, calibration, time, files."""
    findings = Findings(records, story)
    lines = _score_lines(findings)
    lines += _line("overfitting", findings.get(f"gap.{findings.primary}"), "train minus test ")
    lines += _line("calibration", findings.get("calibration.ece"), "stated confidence off by ")
    lines.append(_labelled("time", _time(story)))
    lines += _warning_lines(findings)
    if story.folder:
        lines.append(_labelled("report", f"{story.folder}/report.html"))
    lines += _predict_lines(findings)
    return [*_verdict_lines(findings, _LINES - 1 - len(lines)), "", *lines]


def _warning_lines(findings: Findings) -> list[str]:
    """Test examples that are no news to the models, and the first of the story's warnings."""
    seen, warnings = findings.seen_before, findings.story.warnings
    texts = [(seen, "")] if seen else []
    if warnings:
        more = (findings.story.warning_count or len(warnings)) - 1
        texts += [(warnings[0], f" (and {more:,} more)" if more else "")]
    return [
        _labelled("warning", textwrap.shorten(text, _WIDTH, placeholder=" …") + more)
        for text, more in texts
    ]


def _predict_lines(findings: Findings) -> list[str]:
    """The command, and where it names a model that is not the default, why."""
    command, note = findings.predict_command, findings.default_note
    noted = textwrap.wrap(note, _WIDTH, max_lines=2, placeholder=" …") if command else []
    verb = "sample" if findings.writes else "predict"
    lines = [_labelled(verb, command)] if command else []
    return lines + [_labelled("", line) for line in noted]


def summary_json(records: Sequence[Record], story: Story) -> dict[str, Any]:
    """What `--json` prints: verdict, every measured value with its interval, folder, seconds."""
    findings = Findings(records, story)
    verdict = findings.verdict
    reached = verdict is not None and verdict.status == "measured"
    return {
        "name": story.name,
        "run": story.folder,
        "report": f"{story.folder}/report.html" if story.folder else "",
        "verdict": verdict.value if verdict is not None and reached else None,
        "sentence": verdict.sentence if verdict is not None else "",
        "default_model": story.default_model,
        "recommended_model": findings.recommended,
        "primary": findings.primary,
        "best_baseline": findings.best_baseline,
        "metrics": {r.id: _measurement(r) for r in records if measured(r) and r.id != "verdict"},
        "not_measured": {r.id: r.reason for r in findings.unmeasured()},
        "seconds": story.seconds,
        "budget_seconds": story.budget_seconds,
        "warnings": list(story.warnings),
    }


def _measurement(record: Record) -> dict[str, Any]:
    interval = None if record.interval is None else list(record.interval)
    return {"value": record.value, "interval": interval, "unit": record.unit, "n": record.n}


def _verdict_lines(findings: Findings, room: int) -> list[str]:
    headline, rest = findings.headline
    return textwrap.wrap(f"{headline} {rest}", _WIDTH, max_lines=room, placeholder=" …")


def _score_lines(findings: Findings) -> list[str]:
    comparison = findings.compare(findings.primary)
    lines = []
    for name, record in (
        ("network", comparison.network),
        (findings.best_baseline, comparison.baseline),
    ):
        if record is not None:
            lines.append(_labelled(name, f"{comparison.title} {_with_interval(record)}"))
    if comparison.gain is not None:
        lines.append(_labelled("gain", _with_interval(comparison.gain)))
    return lines


def _line(label: str, record: Record | None, lead: str) -> list[str]:
    return [] if record is None else [_labelled(label, lead + _with_interval(record))]


def _with_interval(record: Record) -> str:
    interval = words.record_interval(record)
    return words.record_value(record) + (f"  ({interval})" if interval else "")


def _labelled(label: str, text: str) -> str:
    return f"{label + ' ':<{_LABEL}}{text}"


def _time(story: Story) -> str:
    worked = format_duration(story.seconds)
    if story.budget_seconds is None:
        return worked
    return f"{worked} of {format_duration(story.budget_seconds)}"
