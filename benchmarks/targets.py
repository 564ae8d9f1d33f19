"""What `fathom fit` reaches on real data, in the time it is given. One heavy job at a time.

    python benchmarks/targets.py digits
    python benchmarks/targets.py fashion --data /usr/share/datasets
    python benchmarks/targets.py adult titanic california telco clothing --data FOLDER

FOLDER holds `fashion-mnist/` (IDX files, Debian's package dataset-fashion-mnist), `tab-adult/`
(train.csv, test.csv), `tab-california-titanic/` (housing.csv, titanic-train.csv),
`tab-telco-churn/` and `clothing/` (folders train, validation, test). Each run is the whole command
in a process of its own, as a user runs it; the seconds are those of the whole process. Results are
added to benchmarks/results/targets.jsonl.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import NamedTuple

from field.environments import THIS
from field.lines import fit_with_fathom, keep, scratch


class Target(NamedTuple):
    """One command, how often (seeds), and the record that must reach the value."""

    arguments: tuple[str, ...]
    seeds: int
    metric: str
    least: float | None


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
    "clothing": Target(("{data}/clothing", "--budget", "5m"), 1, "gain.accuracy", 0.0),
}


def measure(name: str, data: str) -> None:
    """Run one target over its seeds; print and keep what came out."""
    target = TARGETS[name]
    values = []
    for seed in range(target.seeds):
        words = [a.format(data=data) for a in target.arguments]
        with scratch() as out:
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
