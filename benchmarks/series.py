"""Series: the default network beside random convolutions, on sets of the UCR and UEA archives.

    python benchmarks/series.py --data FOLDER                        every set that FOLDER holds
    python benchmarks/series.py GunPoint PLAID --data FOLDER --steps 300

FOLDER holds NAME/NAME_TRAIN.ts and NAME/NAME_TEST.ts, or both files beside each other, as the
wheels of aeon and sktime do (aeon/datasets/data, `pip download --no-deps aeon`, then unzip). Each
run is the whole command in a process of its own, by default with its default budget. Results are
added to benchmarks/results/series.jsonl.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from statistics import fmean

from field.environments import THIS
from field.lines import fit_with_fathom, keep, scratch


def sets(folder: Path) -> dict[str, tuple[Path, Path]]:
    """The name of each set, its training file and its test file."""
    found = {}
    for train in sorted(folder.rglob("*_TRAIN.ts")):
        test = train.with_name(train.name.replace("_TRAIN.ts", "_TEST.ts"))
        if test.exists():
            found[train.name.removesuffix("_TRAIN.ts")] = (train, test)
    return found


def measure(name: str, files: tuple[Path, Path], extent: list[str]) -> dict[str, float]:
    """The metric of both models on the test file, and who was better on validation."""
    train, test = files
    with scratch() as out:
        done = fit_with_fathom(str(train), "--test", str(test), *extent, out=out)
    records = done["records"]
    metric = "accuracy" if "performance.accuracy" in records else "rmse"
    values = {
        "network": records[f"performance.{metric}"]["value"],
        "baseline": records[f"baseline.series.{metric}"]["value"],
    }
    keep(
        "series.jsonl",
        THIS,
        set=name,
        metric=metric,
        extent=" ".join(extent),
        n=records[f"performance.{metric}"]["n"],
        seconds=done["process_seconds"],
        **values,
    )
    return values if metric == "accuracy" else {}


def main() -> None:
    """Measure the sets that are named, or all, and print the mean accuracies."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", help="train so many steps instead of for a time")
    parser.add_argument("--budget", default="90s")
    given = parser.parse_args()
    extent = ["--steps", given.steps] if given.steps else ["--budget", given.budget]
    known = sets(given.data)
    results = [measure(name, known[name], extent) for name in given.names or known]
    scored = [values for values in results if values]
    for model in ("network", "baseline") if scored else ():
        print(f"mean accuracy, {model}: {fmean(values[model] for values in scored):.4f}")


if __name__ == "__main__":
    main()
