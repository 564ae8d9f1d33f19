"""The model card: `card.md`, in the sections of Mitchell et al. 2019 (arXiv 1810.03993)."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.core.record import Record
from fathom.report import plan_view, words
from fathom.report.findings import Findings
from fathom.report.story import Story
from fathom.report.tables import splits_of
from fathom.report.templating import render


def render_card(records: Sequence[Record], story: Story) -> str:
    """The whole of `card.md`."""
    findings = Findings(records, story)
    headline, rest = findings.headline
    text = render(
        "card.md",
        story=story,
        findings=findings,
        headline=headline,
        verdict_text=rest,
        comparisons=[findings.compare(metric) for metric in findings.metrics],
        rival=words.model_title(findings.best_baseline),
        roles={
            role: [row for row in story.schema if row.role == role]
            for role in ("target", "input", "group", "order", "ignored")
        },
        splits=splits_of(story),
        hardware=plan_view.facts(story.hardware),
        versions=plan_view.facts(story.versions),
    )
    return str(text)
