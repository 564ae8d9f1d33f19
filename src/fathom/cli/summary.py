"""The short summary of a run, for a person or for a program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fathom.run import Run


def print_summary(run: Run, *, as_json: bool) -> None:
    """Print the summary; with `as_json` the last line of standard output is one JSON object."""
    from fathom.report import summary_json, summary_lines

    click.echo("\n".join(["", *summary_lines(run.evidence, run.story)]), err=as_json)
    if as_json:
        click.echo(json.dumps(summary_json(run.evidence, run.story)))
