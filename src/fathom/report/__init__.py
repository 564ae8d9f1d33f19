"""The report: records in, a page, a model card and a summary out. Loads no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fathom.core.files import write_atomic
from fathom.core.record import Record
from fathom.report.story import SchemaRow, Story
from fathom.report.summary import summary_json, summary_lines

__all__ = ["SchemaRow", "Story", "summary_json", "summary_lines", "write_report"]


def write_report(folder: Path, records: Sequence[Record], story: Story) -> Path:
    """Write `report.html` and `card.md` into `folder`; return the path of the page.

    The page is one file that loads nothing from anywhere. Equal records and story give equal bytes.
    """
    # Drawing is what costs time to import; a summary needs none of it.
    from fathom.report.card import render_card
    from fathom.report.page import render_page

    path = Path(folder) / "report.html"
    write_atomic(Path(folder) / "card.md", render_card(records, story).encode())
    write_atomic(path, render_page(records, story).encode())
    return path
