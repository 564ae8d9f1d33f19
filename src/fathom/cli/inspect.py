"""`fathom inspect`: what the data is, and what would be done with it."""

from __future__ import annotations

from typing import Any

import click

from fathom.cli.options import data_options


@click.command(short_help="Look at data without training: schema, audit, the plan that would run.")
@click.argument("data")
@data_options
@click.pass_obj
def inspect(started: float, /, data: str, *, settings: tuple[str, ...], **options: Any) -> None:
    """Look at DATA without training: its schema, its audit, and the plan that would run.

    DATA is whatever `fathom fit` takes: tables, folders of pictures, sounds or texts, series.

    \b
    Examples:
      fathom inspect churn.csv --target Churn
      fathom inspect photos/ --budget 10m
      fathom inspect calls/                                       sounds; texts in the same way
      fathom inspect GunPoint_TRAIN.ts                            time series
      fathom inspect steps.csv --target state --set series_id=patient --set series_time=minute
      fathom inspect birds.csv --target species                   a column of paths of sounds
      fathom inspect mails/ --set pretrained=all-minilm-l6-v2     begin with a trained net
    """
    from fathom.display import Display
    from fathom.inspection import inspect as inspect_data
    from fathom.planning.overrides import parse_settings

    with Display() as display:
        inspection = inspect_data(
            data,
            settings=parse_settings(settings),
            progress=display,
            started=started,
            **options,
        )
    click.echo(inspection.text())
