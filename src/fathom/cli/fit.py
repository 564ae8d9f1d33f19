"""`fathom fit`: from data to a trusted model."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from fathom.cli.options import data_options, device_option
from fathom.core.urls import without_password


@click.command(short_help="Train a deep network beside a traditional method, and measure both.")
@click.argument("data")
@data_options
@click.option("--name", metavar="NAME", help="Name of the run  [default: the data's name]")
@click.option("--out", default="runs", show_default=True, metavar="FOLDER", help="Where runs lie.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    help="Train exactly so many steps, whatever the clock says; the traditional methods still have "
    "their share of --budget.",
)
@click.option(
    "--tune",
    type=click.IntRange(2),
    metavar="TRIALS",
    help="Try so many settings on validation first, in up to half of the time for training.",
)
@click.option(
    "--tune-storage",
    metavar="URL",
    help="A database for the trials; machines that give the same command share them.  "
    "[default: a file in the run's folder]",
)
@click.option(
    "--track",
    type=click.Choice(["tensorboard", "mlflow"]),
    help="Write the training log and the results there too.",
)
@click.option(
    "--from",
    "begin",
    metavar="RUN",
    help="Go on with the network of language of a run, or of a folder in Hugging Face's format.",
)
@device_option
@click.option("--resume", is_flag=True, help="Go on with a run that was interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on the last line.")
@click.pass_obj
def fit(
    started: float, /, data: str, *, as_json: bool, settings: tuple[str, ...], **options: Any
) -> None:
    """Train a deep network beside a traditional method on DATA, and measure both.

    DATA is one of these. What comes out lies in runs/NAME: open report.html first.

    \b
      a table       CSV, TSV, JSON Lines, JSON (packed too: .gz .bz2 .xz .zst .zip),
                    Parquet, Feather, Arrow; columns may hold texts, lists of numbers
                    (series), or name files of pictures or of sound
      shards        files of one table: a folder, or a pattern in quotes, 'part-*.csv'
      a folder      with a folder for each class: pictures, sounds, or texts (.txt)
      series        .ts files (UCR, UEA); arrays (n, channels, time); long tables, a row
                    for each step: --set series_id=COLUMN --set series_time=COLUMN
      arrays        NumPy (.npz, .npy), a folder of IDX files
      a corpus      with --task language: a text file, a folder of texts or source code, JSON
                    Lines with a text field; python-library is built in
      built in      digits, wine, breast-cancer, diabetes
      a run         its folder, or its plan.yaml: the run is repeated

    In Python (fathom.fit) also a DataFrame, arrays, or a data set of PyTorch or Hugging Face.

    \b
    Examples:
      fathom fit digits --budget 30s
      fathom fit churn.csv --target Churn
      fathom fit train.csv --test test.csv --target income --budget 5m
      fathom fit 'parts/part-*.csv' --target income               several files, one table
      fathom fit films.csv --target genres --task multilabel      drama|comedy
      fathom fit things.csv --target red --target round           yes/no columns
      fathom fit photos/ --set network.depth=4 --set optimizer=sgd
      fathom fit calls/ --budget 5m                               sounds: WAV, FLAC, OGG, MP3
      fathom fit mails/ --set pretrained=all-minilm-l6-v2         texts; begin with a trained net
      fathom fit GunPoint_TRAIN.ts --test GunPoint_TEST.ts        time series
      fathom fit steps.csv --target state --set series_id=patient --set series_time=minute
      fathom fit birds.csv --target species                       a column of paths of sounds
      fathom fit books/ --task language --budget 10m              a network that writes
      fathom fit letters.txt --task language --from runs/books    goes on with it
      fathom fit churn.csv --target Churn --tune 20 --budget 10m
      fathom fit churn.csv --target Churn --device cuda:1 --track mlflow
      fathom fit runs/churn/plan.yaml            the same plan again: the same weights
      fathom fit churn.csv --target Churn --resume
    """
    from fathom.cli.summary import print_summary
    from fathom.display import Display
    from fathom.pipeline import fit as fit_data
    from fathom.planning.overrides import parse_settings

    command = without_password(shlex.join(["fathom", *sys.argv[1:]]))
    with Display() as display:
        run = fit_data(
            data,
            settings=parse_settings(settings),
            progress=display,
            started=started,
            command=command,
            **options,
        )
    print_summary(run, as_json=as_json)
