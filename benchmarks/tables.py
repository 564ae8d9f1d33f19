"""Tables, side by side at equal time: thirteen sets, scored by the same function on the same rows.

    python benchmarks/tables.py --data FOLDER [--who fathom autogluon keras] [--tables adult …]

FOLDER holds `tab-adult/`, `tab-california-titanic/` and `tab-telco-churn/`; the other ten lie
inside published packages (scikit-learn, ISLP, plotnine). Each system gets the same seconds,
`--seconds`, for all that it does up to its model; then it predicts the test rows. Fathom answers
with its default model (network or baseline, chosen on validation), and its network alone is scored
besides. `row_seconds` is one row answered from a DataFrame, the mean of 20. Results go to
benchmarks/results/tables.jsonl; `--report` prints the table of those since `--since`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from argparse import ArgumentParser
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd

from fathom.run import load
from field.environments import THIS, clean_environment, python_of
from field.lines import RESULTS, fit_with_fathom, keep, scratch
from field.tables import TABLES, mean_ranks, prepare, score

FILE = "tables.jsonl"
PEERS = {"autogluon": "autogluon_tables.py", "keras": "keras_tables.py"}
NETWORK = "fathom's network"


def run_fathom(name: str, train: Path, test: Path, seconds: float, seed: int) -> None:
    """Fit, then score the default model and the network on the test rows."""
    table = TABLES[name]
    with scratch() as out:
        arguments = (str(train), "--test", str(test), "--target", table.target)
        done = fit_with_fathom(
            *arguments, "--budget", f"{seconds:g}s", "--seed", str(seed), out=out
        )
        records = done["records"]
        peak = _value(records, "cost.peak_memory_bytes")
        told = {
            "fit_seconds": done["process_seconds"],
            "peak_gib": None if peak is None else peak / 2**30,
        }
        default = json.loads((Path(done["run"]) / "bundle" / "bundle.json").read_text())["default"]
        truth = pd.read_csv(test)[table.target]
        for who, model in ((THIS, default), (NETWORK, "network")):
            answers = Path(out) / f"{model}.csv"
            command = ["predict", done["run"], str(test), "--model", model, "-o", str(answers)]
            subprocess.run([sys.executable, "-m", "fathom", *command], check=True,
                           stdout=subprocess.DEVNULL, env=clean_environment())  # fmt: skip
            value, row_seconds = scored(name, truth, answers), row_latency(done["run"], test, model)
            keep(FILE, THIS, name=name, system=who, metric=table.metric, value=value, n=len(truth),
                 budget_seconds=seconds, seed=seed, default=default, row_seconds=row_seconds,
                 **told)  # fmt: skip


def run_peer(who: str, name: str, train: Path, test: Path, seconds: float, preset: str) -> None:
    """Fit a peer in its own environment and score what it says of the test rows."""
    table = TABLES[name]
    with scratch() as out:
        answers = Path(out) / "answers.csv"
        script = Path(__file__).parent / "field" / PEERS[who]
        words = (train, test, table.target, table.metric, seconds, preset, out, answers)
        started = time.perf_counter()
        done = subprocess.run(
            [python_of(who), script, *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment(),
        )
        if done.returncode:
            failed = done.stderr.strip().splitlines()[-1]
            keep(FILE, who, name=name, system=who, metric=table.metric, failed=failed)
            return
        told = json.loads(done.stdout.strip().splitlines()[-1])
        told["process_seconds"] = round(time.perf_counter() - started, 1)
        truth = pd.read_csv(test)[table.target]
        keep(FILE, who, name=name, system=who, metric=table.metric, n=len(truth),
             value=scored(name, truth, answers), budget_seconds=seconds,
             **({"preset": preset} if who == "autogluon" else {}), **told)  # fmt: skip


def row_latency(run: str, test: Path, model: str) -> float:
    """Seconds to answer one row from a DataFrame, the mean of 20, after one that does not count."""
    loaded, row = load(run), pd.read_csv(test, nrows=1)
    loaded.predict(row, model=model)
    started = time.perf_counter()
    for _ in range(20):
        loaded.predict(row, model=model)
    return (time.perf_counter() - started) / 20


def scored(name: str, truth: pd.Series, answers: Path) -> float:
    """The table's metric of answers in a CSV file."""
    return score(name, truth, pd.read_csv(answers), sorted(truth.astype(str).unique()))


def _value(records: dict[str, dict[str, Any]], id: str) -> float | None:
    return records[id]["value"] if id in records else None


def report(since: str) -> None:
    """The latest value of each system and table since a day, and mean ranks over all tables."""
    scores: dict[str, dict[str, float]] = {}
    for text in (RESULTS / FILE).read_text().splitlines():
        line = json.loads(text)
        if line["date"] >= since and "value" in line:
            scores.setdefault(line["name"], {})[line["system"]] = line["value"]
    frame = pd.DataFrame(scores).T
    frame.insert(0, "metric", [TABLES[name].metric for name in frame.index])
    print(frame.to_string(float_format=lambda v: f"{v:,.4f}" if v < 10 else f"{v:,.0f}"))
    everywhere = [s for s in frame.columns[1:] if frame[s].notna().all()]
    print("mean rank over", len(frame), "tables:", mean_ranks(scores, everywhere))
    main_systems = [s for s in everywhere if s != NETWORK]
    print("without the network alone:", mean_ranks(scores, main_systems))
    if "autogluon" in everywhere:
        print("against AutoGluon alone:", mean_ranks(scores, [THIS, "autogluon"]))


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--who", nargs="+", default=[THIS, *PEERS], choices=[THIS, *PEERS])
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", default="medium_quality", help="AutoGluon's")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "fathom-benchmarks")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--since", default=date.today().isoformat(), metavar="DAY")
    options = parser.parse_args()
    if options.report:
        report(options.since)
        return
    for name in options.tables:
        train, test = prepare(name, options.data, options.cache)
        for who in options.who:
            if who == THIS:
                run_fathom(name, train, test, options.seconds, options.seed)
            else:
                run_peer(who, name, train, test, options.seconds, options.preset)


if __name__ == "__main__":
    main()
