"""The command `fathom` itself: its help, version and verbs."""

from __future__ import annotations

import click

import fathom as package
from fathom.cli.fit import fit
from fathom.cli.inspect import inspect
from fathom.cli.predict import predict
from fathom.cli.report import report
from fathom.cli.sample import sample


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package.__version__, prog_name="fathom")
def fathom() -> None:
    """Deep learning that you can get to the bottom of.

    One command takes your data to a deep network that is measured honestly beside a traditional
    method, and says which of the two is the better choice.

    \b
    Examples:
      fathom fit digits                                    a first try, on built-in data
      fathom fit churn.csv --target Churn --budget 10m     a table; texts, pictures, sounds in it
      fathom fit photos/                                   a folder for each class: pictures,
      fathom fit calls/                                      sounds or texts
      fathom fit GunPoint_TRAIN.ts                         time series
      fathom inspect churn.csv --target Churn              look first, train nothing
      fathom predict runs/churn new.csv -o answers.csv     use what was learned
      fathom fit books/ --task language                    a corpus: text or source code
      fathom sample runs/books "Once upon a time"          let it write
      fathom report runs/churn                             where the report is
    """


for verb in (fit, inspect, predict, sample, report):
    fathom.add_command(verb)
