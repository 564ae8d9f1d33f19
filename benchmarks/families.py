"""The same data, one network after another: what each reaches in the same time.

    python benchmarks/families.py texts sound series pictures --data FOLDER [--budget 60s]
    python benchmarks/families.py sound --networks convnet lstm --data FOLDER

FOLDER holds text-banking77/, audio-fsdd/ and series/ (X_TRAIN.ts and X_TEST.ts of sets with more
than one step; the first by name is taken); the pictures are the digits of scikit-learn. Every
network has Fathom's defaults but for its kind. Results go to benchmarks/results/families.jsonl, and
a table in Markdown is printed.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from field.environments import THIS
from field.lines import fit_with_fathom, keep, scratch
from field.made import spoken_digits

NETWORKS = ("mlp", "convnet", "rnn", "lstm", "gru", "transformer")
FILE = "families.jsonl"


def arguments_of(kind: str, data: Path, made: Path) -> tuple[str, ...]:
    """What `fathom fit` is told of a kind of data."""
    if kind == "texts":
        folder = data / "text-banking77"
        return (str(folder / "train.csv"), "--test", str(folder / "test.csv"),
                "--target", "category")  # fmt: skip
    if kind == "sound":
        train, test = spoken_digits(data / "audio-fsdd", made)
        return (str(train), "--test", str(test), "--target", "digit", "--drop", "speaker")
    if kind == "series":
        train = sorted((data / "series").glob("*_TRAIN.ts"))[0]
        return (str(train), "--test", str(train).replace("_TRAIN.ts", "_TEST.ts"))
    return ("digits",)


def _figure(line: dict[str, Any]) -> str:
    if line["accuracy"] is None:
        return "not measured in the time"
    low, high = line["interval"]
    return f"{line['accuracy']:.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="+", choices=["texts", "sound", "series", "pictures"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS)
    options = parser.parse_args()
    lines = []
    for kind in options.kinds:
        # Pictures are no sequences: recurrent networks do not read them.
        names = [
            n
            for n in options.networks
            if kind != "pictures" or n in ("mlp", "convnet", "transformer")
        ]
        for name in names:
            with scratch() as out:
                words = arguments_of(kind, options.data, Path(out))
                done = fit_with_fathom(
                    *words, "--budget", options.budget, "--set", f"network={name}", out=out
                )
            records = done["records"]
            reached = records["performance.accuracy"]
            lines.append(
                keep(
                    FILE,
                    THIS,
                    name=kind,
                    network=name,
                    budget=options.budget,
                    accuracy=reached["value"],
                    interval=reached["interval"],
                    n=reached["n"],
                    parameters=records["cost.parameters"]["value"],
                    train_seconds=records["cost.train_seconds"]["value"],
                    epochs=done.get("epochs"),
                )
            )
    print(
        "| data | network | weights | seconds of training | test accuracy |\n|---|---|---|---|---|"
    )
    for line in lines:
        print(f"| {line['name']} | {line['network']} | {line['parameters']:,.0f} "
              f"| {line['train_seconds']:.0f} | {_figure(line)} |")  # fmt: skip


if __name__ == "__main__":
    main()
