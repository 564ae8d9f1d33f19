"""`fathom report`: write the report of a run anew, and say where it is."""

from __future__ import annotations

import click


@click.command(short_help="Write a run's report anew and say where it is.")
@click.argument("run")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on the last line.")
def report(run: str, *, show: bool, as_json: bool) -> None:
    """Write the report of RUN anew from its evidence (it loads no network) and say where it is.

    \b
    Examples:
      fathom report runs/digits --open
    """
    from fathom.cli.summary import print_summary
    from fathom.run import load

    loaded = load(run)
    path = loaded.report()
    print_summary(loaded, as_json=as_json)
    if show:
        click.launch(str(path))
