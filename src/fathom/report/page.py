"""The page: what stands where in `report.html`. The words and the looks are in the templates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup

from fathom.core.record import Record
from fathom.report import plan_view, words
from fathom.report.figures import Drawing, draw
from fathom.report.findings import Findings
from fathom.report.story import Story
from fathom.report.tables import Tables, race, stats, tables_of
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
    Part("samples", "Samples", "What it writes", ("samples",), ("samples",)),
    Part("overfitting", "Overfitting", "Does it know its examples by heart?", ("gap",), ()),
    Part(
        "memorisation",
        "Reciting",
        "Does it recite its training text?",
        ("memorisation",),
        ("memorisation",),
    ),
    Part("context", "Context", "How far back does it look?", ("context",), ("context",)),
    Part(
        "in-context",
        "Prompts",
        "Does it learn from its prompt?",
        ("in_context",),
        ("in_context",),
    ),
    Part("training", "Training", "How it learned", ("training",), ("training",)),
    Part("tuning", "Search", "What else was tried?", ("tuning",), ("tuning",)),
    Part(
        "calibration",
        "Calibration",
        "Can its confidence be believed?",
        ("calibration",),
        ("calibration",),
    ),
    Part("fields", "Fields", "What it goes by", ("fields",), ()),
    Part("anatomy", "Anatomy", "Inside the network", ("anatomy",), ("anatomy",)),
    Part("features", "Depth", "What depth does", ("features",), ("features",)),
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
            stats=stats(findings),
            race=race(findings),
            sections=[section for section in sections if not section.empty],
            missing=[line for section in sections if section.empty for line in section.unmeasured],
            choices=plan_view.choices(story),
            versions=plan_view.facts(story.versions),
            hardware=plan_view.facts(story.hardware),
        )
    )


def _style() -> Markup:
    text = (files("fathom.report") / "templates" / "style.css").read_text(encoding="utf-8")
    return Markup(text)


def _further(findings: Findings) -> list[Part]:
    """Parts for groups that later kinds of evidence add."""
    known = {group for part in PARTS for group in part.groups} | {"verdict"}
    further = [group for group in findings.groups if group not in known]
    return [
        Part(f"more-{place}", words.plain(group), words.plain(group), (group,), (group,))
        for place, group in enumerate(further, start=1)
    ]


def _section(part: Part, findings: Findings, gallery: Gallery) -> Section:
    tables = tables_of(part.anchor, findings)
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
            primary = record.id.removesuffix(words.UNSEEN) == f"{group}.{findings.primary}"
            if primary or record.figure is not None:
                records.append(record)
    return records


def _reasons(records: Iterable[Record]) -> list[tuple[str, str]]:
    """Reasons with the names of what was not measured for them, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for record in records:
        reason = words.sentence_case(record.reason or record.sentence)
        by_reason.setdefault(reason, []).append(words.record_title(record))
    return [(", ".join(dict.fromkeys(names)), reason) for reason, names in by_reason.items()]
