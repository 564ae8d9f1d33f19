"""Results as JSON lines: each says when, on what and with which versions it was measured."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from fathom.planning.environment import describe_environment
from field.environments import clean_environment, versions_of

RESULTS = Path(__file__).parents[1] / "results"
_VERSIONS: dict[str, dict[str, str]] = {}


def keep(file: str, who: str, **what: Any) -> dict[str, Any]:
    """Add a line to a file in benchmarks/results and print it shortly."""
    if who not in _VERSIONS:
        _VERSIONS[who] = versions_of(who)
    hardware = describe_environment("cpu")["hardware"]
    line = {"date": date.today().isoformat(), "commit": _commit(), "who": who, **what}
    print(json.dumps(line), flush=True)
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / file).open("a") as out:
        out.write(json.dumps(line | {"versions": _VERSIONS[who], "hardware": hardware}) + "\n")
    return line


def _commit() -> str:
    """The commit of this checkout, with a + where the package was changed since."""
    head = ["git", "rev-parse", "--short", "HEAD"]
    changed = ["git", "status", "--porcelain", "--", "src"]
    said = [
        subprocess.run(words, cwd=RESULTS.parents[1], capture_output=True, text=True, check=False)
        for words in (head, changed)
    ]
    return said[0].stdout.strip() + ("+" if said[1].stdout.strip() else "")


def fit_with_fathom(*arguments: str, out: str) -> dict[str, Any]:
    """Run `fathom fit` as a user does; the summary, the records by id, the seconds of all of it."""
    command = [sys.executable, "-m", "fathom", "fit", *arguments, "--out", out, "--json"]
    started = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env=clean_environment()
    )
    seconds = round(time.perf_counter() - started, 1)
    summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    evidence = json.loads((Path(summary["run"]) / "evidence.json").read_text())
    records = {record["id"]: record for record in evidence["records"]}
    return summary | {"records": records, "process_seconds": seconds}


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for what is not kept."""
    return tempfile.TemporaryDirectory(prefix="fathom-benchmark-")
