"""`fathom predict`: use what was learned."""

from __future__ import annotations

import click

from fathom.cli.options import device_option


@click.command(short_help="Predict new data with a finished run.")
@click.argument("run")
@click.argument("data")
@click.option(
    "-o", "--output", metavar="FILE", help="CSV, TSV, Parquet or JSONL  [default: print CSV]"
)
@click.option(
    "--model",
    type=click.Choice(["network", "baseline"]),
    help="Which of the two  [default: the better one on validation]",
)
@device_option
def predict(run: str, data: str, output: str | None, model: str | None, device: str) -> None:
    """Predict DATA with RUN: a class, labels or a number for each row, with calibrated
    probabilities. Several labels are a JSON list of those from one half on.

    DATA has the columns that the model was trained on (the target may be missing). Pictures, sounds
    or texts may lie in one folder; series come as they did in training: .ts, arrays, or a long
    table, of which each series gets one answer. Rows that cannot be read are named in the column
    `problem` and left empty.

    \b
    Examples:
      fathom predict runs/churn new.csv -o answers.csv
      fathom predict runs/photos photos/new/ --model baseline
      fathom predict runs/calls new-calls/ -o answers.csv       a folder of sounds; of texts, too
      fathom predict runs/gunpoint_train GunPoint_TEST.ts       series
      fathom predict runs/steps new-steps.csv                   a long table: a row for each step
    """
    from fathom.deployment.bundle import find_bundle, load_bundle
    from fathom.deployment.predict import check_output, write_predictions
    from fathom.deployment.predict import predict as predict_data
    from fathom.display import Display
    from fathom.planning.device import choose_device

    if output is not None and output != "-":
        check_output(output)
    with Display() as display:
        display.stage("loading")
        bundle = load_bundle(find_bundle(run), device=choose_device(device))
        predictions = predict_data(bundle, data, model=model, progress=display)
        for sentence in predictions.sentences():
            display.say(sentence)
    if output is None or output == "-":
        click.echo(predictions.frame.to_csv(index=False), nl=False)
    else:
        write_predictions(predictions, output)
        click.echo(f"{len(predictions.frame)} predictions are in {output}.", err=True)
