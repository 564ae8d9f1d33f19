"""What `fathom fit` reaches on real data, in the time it is given. One heavy job at a time.

    python benchmarks/targets.py digits
    python benchmarks/targets.py fashion --data /usr/share/datasets
    python benchmarks/targets.py adult titanic california telco clothing --data FOLDER
    python benchmarks/targets.py sms banking spoken spoken-speakers --data FOLDER
    python benchmarks/targets.py clothing-pretrained banking-pretrained --data FOLDER

FOLDER holds `fashion-mnist/` (IDX files, Debian's package dataset-fashion-mnist), `tab-adult/`
(train.csv, test.csv), `tab-california-titanic/` (housing.csv, titanic-train.csv),
`tab-telco-churn/`, `clothing/` (folders train, validation, test), `text-sms-spam/` (sms.tsv),
`text-banking77/` (train.csv, test.csv) and `audio-fsdd/` (recordings). Each run is the whole
command in a process of its own, as a user runs it; the seconds are those of the whole process.
Results are added to benchmarks/results/targets.jsonl.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from field.environments import THIS
from field.lines import fit_with_fathom, keep, scratch
from field.made import clothes_with_columns, spoken_digits


class Target(NamedTuple):
    """One command, how often (seeds), and the record that must reach the value.

    `make` writes tables into a folder, `{made}` in the command, from the folder `{data}`.
    """

    arguments: tuple[str, ...]
    seeds: int
    metric: str
    least: float | None
    make: Callable[[Path, Path], object] | None = None


def _spoken(data: Path, made: Path) -> None:
    spoken_digits(data / "audio-fsdd", made)


def _clothes(data: Path, made: Path) -> None:
    clothes_with_columns(data / "clothing", made)


TARGETS = {
    "digits": Target(("digits", "--budget", "30s"), 5, "performance.accuracy", 0.98),
    "fashion": Target(
        ("{data}/fashion-mnist", "--budget", "150s"), 1, "performance.accuracy", 0.93
    ),
    "adult": Target(
        (
            *("{data}/tab-adult/train.csv", "--test", "{data}/tab-adult/test.csv"),
            *("--target", "income", "--budget", "120s"),
        ),
        1,
        "performance.roc_auc",
        0.925,
    ),
    "titanic": Target(
        ("{data}/tab-california-titanic/titanic-train.csv", "--target", "Survived"),
        1,
        "performance.roc_auc",
        None,
    ),
    "california": Target(
        ("{data}/tab-california-titanic/housing.csv", "--target", "median_house_value"),
        1,
        "performance.rmse",
        None,
    ),
    "telco": Target(
        ("{data}/tab-telco-churn/Telco-Customer-Churn.csv", "--target", "Churn"),
        1,
        "performance.roc_auc",
        None,
    ),
    # From scratch, on 3,068 photographs: the whole interval is to lie above zero.
    "clothing": Target(
        ("{data}/clothing", "--budget", "5m", "--set", "pretrained=none"), 1, "gain.accuracy", 0.0
    ),
    "clothing-pretrained": Target(
        ("{data}/clothing", "--budget", "5m"), 1, "performance.accuracy", 0.85
    ),
    "sms": Target(
        ("{data}/text-sms-spam/sms.tsv", "--target", "label", "--budget", "60s"),
        1,
        "performance.macro_f1",
        0.95,
    ),
    "banking": Target(
        (
            *("{data}/text-banking77/train.csv", "--test", "{data}/text-banking77/test.csv"),
            *("--target", "category", "--budget", "3m", "--set", "pretrained=none"),
        ),
        1,
        "performance.accuracy",
        0.85,
    ),
    "banking-pretrained": Target(
        (
            *("{data}/text-banking77/train.csv", "--test", "{data}/text-banking77/test.csv"),
            *("--target", "category", "--budget", "10m"),
        ),
        1,
        "performance.accuracy",
        0.90,
    ),
    "spoken": Target(
        (
            *("{made}/train.csv", "--test", "{made}/test.csv", "--target", "digit"),
            *("--drop", "speaker", "--budget", "3m"),
        ),
        1,
        "performance.accuracy",
        0.97,
        _spoken,
    ),
    # Speakers of the test split are heard in no other: the honest figure for a new voice.
    "spoken-speakers": Target(
        ("{made}/train.csv", "--target", "digit", "--group", "speaker", "--budget", "3m"),
        1,
        "performance.accuracy",
        None,
        _spoken,
    ),
    "clothes-and-columns": Target(
        ("{made}/train.csv", "--test", "{made}/test.csv", "--target", "kind", "--budget", "5m"),
        1,
        "performance.accuracy",
        None,
        _clothes,
    ),
}


def measure(name: str, data: str) -> None:
    """Run one target over its seeds; print and keep what came out."""
    target = TARGETS[name]
    values = []
    for seed in range(target.seeds):
        with scratch() as out:
            if target.make is not None:
                target.make(Path(data), Path(out))
            words = [a.format(data=data, made=out) for a in target.arguments]
            done = fit_with_fathom(*words, "--seed", str(seed), out=out)
        records = done["records"]
        main, metric = records[target.metric], target.metric.split(".")[1]
        values.append(main["value"])
        keep(
            "targets.jsonl",
            THIS,
            name=name,
            command=" ".join(("fathom", "fit", *target.arguments, "--seed", str(seed))),
            metric=target.metric,
            value=main["value"],
            interval=main["interval"],
            n=main["n"],
            baselines={
                id: r["value"]
                for id, r in records.items()
                if id.startswith("baseline.") and id.endswith(f".{metric}")
            },
            verdict=records["verdict"]["value"],
            process_seconds=done["process_seconds"],
        )
    mean = sum(values) / len(values)
    wanted = "" if target.least is None else f", must reach {target.least}"
    print(f"{name}: mean {mean:.4f} over {len(values)} seed(s){wanted}", flush=True)


def main() -> None:
    """Measure the targets named on the command line."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", choices=list(TARGETS))
    parser.add_argument("--data", default="/usr/share/datasets")
    arguments = parser.parse_args()
    for name in arguments.names:
        measure(name, arguments.data)


if __name__ == "__main__":
    main()
