"""What a mixed table costs as it grows: seconds by stage, and the most memory in use.

    python benchmarks/growth.py                        10k, 100k, 1M and 3M rows
    python benchmarks/growth.py --rows 10000 --budget 30s

Each table (10 numbers, 5 categories, a share of cells missing, two classes) is made from a seed in
a folder for the time being, and `fathom fit` runs on it in a process of its own, as a user runs it.
Results are added to benchmarks/results/growth.jsonl. One heavy job at a time, or the figures mean
nothing.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pandas as pd

from field.environments import THIS
from field.lines import fit_with_fathom, keep, scratch

BUDGETS = {10_000: "60s", 100_000: "60s", 1_000_000: "120s", 3_000_000: "300s"}
CHUNK = 250_000
MISSING = 0.05
# What the budget is for; everything else should take a fifth of it at most.
WORK = ("fitting baselines", "trying networks", "training", "measuring the evidence")


def chunk_of(rows: int, generator: np.random.Generator) -> pd.DataFrame:
    """Rows of the table: the class follows from some numbers and categories, with noise."""
    numbers = generator.normal(size=(rows, 10))
    numbers[:, 3:6] = np.exp(numbers[:, 3:6])
    sizes = (2, 5, 12, 40, 200)
    codes = [np.minimum(generator.geometric(min(0.5, 3 / k), rows), k) - 1 for k in sizes]
    logit = numbers[:, 0] + np.sin(2 * numbers[:, 1]) + 0.5 * numbers[:, 3] - 0.3 * codes[1]
    logit += np.where(codes[2] % 3 == 0, 1.0, -0.5) * numbers[:, 2]
    frame = pd.DataFrame(numbers.round(5), columns=[f"number_{i}" for i in range(10)])
    frame[["number_8", "number_9"]] = (10 * frame[["number_8", "number_9"]]).round()
    for k, code in zip(sizes, codes, strict=True):
        frame[f"category_{k}"] = np.array([f"value {i}" for i in range(k)], dtype=object)[code]
    frame = frame.mask(generator.random(frame.shape) < MISSING)
    noisy = logit + generator.logistic(size=rows)
    frame["outcome"] = np.where(noisy > 0.5, "yes", "no")
    return frame


def write_table(path: Path, rows: int) -> None:
    """The table as CSV, in pieces, so that making it takes little memory."""
    generator = np.random.default_rng(rows)
    for start in range(0, rows, CHUNK):
        frame = chunk_of(min(CHUNK, rows - start), generator)
        frame.to_csv(path, index=False, mode="w" if not start else "a", header=not start)


def measure(rows: int, budget: str) -> None:
    """Run one size; print and keep what came out."""
    with scratch() as folder:
        table = Path(folder) / f"rows-{rows}.csv"
        write_table(table, rows)
        words = (str(table), "--target", "outcome", "--budget", budget)
        done = fit_with_fathom(*words, out=f"{folder}/runs")
        story = json.loads((Path(done["run"]) / "story.json").read_text())
    stages: dict[str, float] = story["stages"]
    seconds = done["process_seconds"]
    other = seconds - sum(stages.get(name, 0.0) for name in WORK)  # the report is in it
    keep(
        "growth.jsonl",
        THIS,
        rows=rows,
        budget=budget,
        process_seconds=seconds,
        stages=stages,
        share_outside_work=round(other / story["budget_seconds"], 3),
        peak_memory_bytes=done["records"]["cost.peak_memory_bytes"]["value"],
    )


def main() -> None:
    """Measure the sizes asked for, one after the other."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--budget", help="for every size; by default it grows with the rows")
    arguments = parser.parse_args()
    for rows in arguments.rows:
        measure(rows, arguments.budget or BUDGETS.get(rows, "120s"))


if __name__ == "__main__":
    main()
