"""Pictures, side by side: seconds of training until 0.90, 0.92, 0.93 on Fashion-MNIST's test.

    python benchmarks/images.py --data /usr/share/datasets/fashion-mnist [--who fathom keras …]

Every peer runs alone, in its own environment, on all cores. A peer's clock stands still while it
predicts the test data, four times an epoch, and it may stop at 0.93 or after `--most-seconds` of
training. Fathom is run as a command, once for each budget, because its learning rate is brought
down to zero at the end of the run; validation and checkpoints count as training there, and the
seconds of the whole command, with baselines, evidence and report, are told beside. Results go to
benchmarks/results/images.jsonl.
"""

from __future__ import annotations

import ast
import json
import subprocess
from argparse import ArgumentParser
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from field.environments import PEERS, THIS, clean_environment, python_of
from field.lines import fit_with_fathom, keep, scratch

MARKS = (0.90, 0.92, 0.93)
BUDGETS = (60, 75, 90, 120, 150, 240, 400)  # seconds
SCRIPTS = {name: f"{name}_images.py" for name in ("keras", "lightning", "skorch", "fastai")}
FILE = "images.jsonl"


def marks_of(curve: list[dict[str, Any]]) -> dict[str, float | None]:
    """The least seconds of training at which each accuracy was reached."""
    return {
        f"{mark:.2f}": min(
            (p["train_seconds"] for p in curve if p["accuracy"] >= mark), default=None
        )
        for mark in MARKS
    }


def settings_of(who: str) -> str:
    """What a peer's script says of itself: its network, optimizer and the like."""
    if who == THIS:
        return "all defaults"
    script = Path(__file__).parent / "field" / SCRIPTS[who]
    return " ".join((ast.get_docstring(ast.parse(script.read_text())) or "").split())


def run_fathom(data: str, most_seconds: float) -> list[dict[str, Any]]:
    """One run for each budget, until the last mark is reached or the time is up."""
    curve = []
    for budget in BUDGETS:
        with scratch() as out:
            done = fit_with_fathom(data, "--budget", f"{budget}s", out=out)
        records = done["records"]
        point = {
            "budget_seconds": budget,
            "train_seconds": records["cost.train_seconds"]["value"],
            "accuracy": records["performance.accuracy"]["value"],
            "process_seconds": done["process_seconds"],
        }
        print(json.dumps(point), flush=True)
        curve.append(point)
        if point["accuracy"] >= MARKS[-1] or point["train_seconds"] >= most_seconds:
            break
    return curve


def run_peer(name: str, data: str, most_seconds: float) -> list[dict[str, Any]]:
    """The curve that a peer's script prints. Raises RuntimeError where it fails."""
    script = Path(__file__).parent / "field" / SCRIPTS[name]
    curve = []
    with TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [python_of(name), script, data, str(most_seconds), str(MARKS[-1])],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=clean_environment(),
        )
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                curve.append(json.loads(line))
                print(name, line, end="", flush=True)
        if process.wait() or not curve:
            errors.seek(0)
            said = errors.read().strip().splitlines()
            raise RuntimeError(said[-1] if said else f"it ended with {process.returncode}")
    return curve


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="/usr/share/datasets/fashion-mnist")
    parser.add_argument("--who", nargs="+", default=[THIS, *SCRIPTS], choices=[THIS, *PEERS])
    parser.add_argument("--most-seconds", type=float, default=420)
    options = parser.parse_args()
    for who in options.who:
        try:
            if who == THIS:
                curve = run_fathom(options.data, options.most_seconds)
            else:
                curve = run_peer(who, options.data, options.most_seconds)
        except (RuntimeError, subprocess.CalledProcessError) as error:
            keep(FILE, who, name="fashion-mnist", failed=str(error))
            continue
        best = max(point["accuracy"] for point in curve)
        keep(FILE, who, name="fashion-mnist", seconds_to=marks_of(curve), best=best, n=10_000,
             most_seconds=options.most_seconds, settings=settings_of(who), curve=curve)  # fmt: skip


if __name__ == "__main__":
    main()
