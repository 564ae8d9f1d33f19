"""Texts and sound, side by side: seconds of training until an accuracy on test was reached.

    python benchmarks/sequences.py texts --data FOLDER    train.csv, test.csv: text, category
    python benchmarks/sequences.py sound --data FOLDER    recordings DIGIT_SPEAKER_NUMBER.wav

The texts are Banking77's (77 intents, 10,003 and 3,080 of them), the sound the Free Spoken Digit
Dataset (3,000 recordings, 300 for testing). Timed as benchmarks/images.py times pictures. Results
go to benchmarks/results/sequences.jsonl.
"""

from __future__ import annotations

import subprocess
from argparse import ArgumentParser
from pathlib import Path
from typing import NamedTuple

from field.curves import Curve, marks_of, run_fathom, run_peer, settings_of
from field.environments import THIS
from field.lines import keep, scratch
from field.made import spoken_digits


class Kind(NamedTuple):
    """What is measured on one kind of data, and the budgets that Fathom is given."""

    name: str
    n: int
    marks: tuple[float, ...]
    budgets: tuple[int, ...]


KINDS = {
    "texts": Kind("banking77", 3_080, (0.70, 0.80, 0.85), (30, 45, 60, 90, 120, 180)),
    "sound": Kind("spoken-digits", 300, (0.90, 0.95, 0.97), (45, 60, 90, 120, 180)),
}
SCRIPTS = {name: f"{name}_sequences.py" for name in ("keras", "skorch")}
FILE = "sequences.jsonl"


def of_fathom(kind: str, data: str, most_seconds: float) -> Curve:
    """One run for each budget."""
    _, _, marks, budgets = KINDS[kind]
    with scratch() as made:
        train, test = Path(data) / "train.csv", Path(data) / "test.csv"
        words = ["--target", "category"]
        if kind == "sound":
            train, test = spoken_digits(Path(data), Path(made))
            words = ["--target", "digit", "--drop", "speaker"]
        arguments = [str(train), "--test", str(test), *words]
        return run_fathom(arguments, budgets, marks[-1], most_seconds)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("--data", required=True)
    parser.add_argument("--who", nargs="+", default=[THIS, *SCRIPTS], choices=[THIS, *SCRIPTS])
    parser.add_argument("--most-seconds", type=float, default=180)
    options = parser.parse_args()
    kind, most = KINDS[options.kind], options.most_seconds
    for who in options.who:
        told = {"name": kind.name, "n": kind.n, "most_seconds": most,
                "settings": settings_of(who, SCRIPTS.get(who, ""))}  # fmt: skip
        try:
            if who == THIS:
                curve = of_fathom(options.kind, options.data, most)
            else:
                words = (options.kind, options.data, str(most), str(kind.marks[-1]))
                curve = run_peer(who, SCRIPTS[who], *words)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            keep(FILE, who, **told, failed=str(error))
            continue
        best = max(point["accuracy"] for point in curve)
        keep(FILE, who, **told, seconds_to=marks_of(curve, kind.marks), best=best, curve=curve)


if __name__ == "__main__":
    main()
