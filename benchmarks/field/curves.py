"""Curves of accuracy over seconds of training, of Fathom and of the peers."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from field.environments import THIS, clean_environment, python_of
from field.lines import fit_with_fathom, scratch

Curve = list[dict[str, Any]]
FIELD = Path(__file__).parent


def marks_of(curve: Curve, marks: Sequence[float]) -> dict[str, float | None]:
    """The least seconds of training at which each accuracy was reached."""
    return {
        f"{mark:.2f}": min(
            (p["train_seconds"] for p in curve if p["accuracy"] >= mark), default=None
        )
        for mark in marks
    }


def settings_of(who: str, script: str) -> str:
    """What a peer's script says of itself: its network, optimizer and the like."""
    if who == THIS:
        return "all defaults"
    said = ast.get_docstring(ast.parse((FIELD / script).read_text())) or ""
    return " ".join(said.split())


def run_fathom(
    arguments: Sequence[str], budgets: Iterable[float], enough: float, most_seconds: float
) -> Curve:
    """One run for each budget, until an accuracy is reached or the time is up."""
    curve = []
    for budget in budgets:
        with scratch() as out:
            done = fit_with_fathom(*arguments, "--budget", f"{budget}s", out=out)
        records = done["records"]
        point = {
            "budget_seconds": budget,
            "train_seconds": records["cost.train_seconds"]["value"],
            "accuracy": records["performance.accuracy"]["value"],
            "process_seconds": done["process_seconds"],
        }
        print(json.dumps(point), flush=True)
        curve.append(point)
        if point["accuracy"] >= enough or point["train_seconds"] >= most_seconds:
            break
    return curve


def run_peer(name: str, script: str, *arguments: str) -> Curve:
    """The curve that a peer's script prints. Raises RuntimeError where it fails."""
    curve = []
    with TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [python_of(name), FIELD / script, *arguments],
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
