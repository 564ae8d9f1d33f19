"""What each package costs before it does anything: seconds to import it, megabytes installed.

    python benchmarks/installation.py [--who fathom keras lightning skorch autogluon]

Import times are medians of `--times` fresh processes, less Python's own start, compiled modules
being there. Sizes are those of the package, all that it needs and torch, and the same without torch
and what torch brings. Results go to benchmarks/results/installation.jsonl.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from argparse import ArgumentParser

from field.environments import THIS, clean_environment, python_of
from field.lines import keep

IMPORTS = {
    THIS: "import fathom",
    "fathom, ready to fit": "import fathom.pipeline",
    "keras": "import keras",
    "lightning": "import lightning",
    "skorch": "import skorch",
    "autogluon": "import autogluon.tabular",
    "autogluon, ready to fit": "from autogluon.tabular import TabularPredictor",
}
OF_TORCH = ("torch", "torchgen", "functorch", "sympy", "mpmath", "networkx", "triton", "nvidia")
# Megabytes of the folders that a package's own distribution and its dependencies installed.
_SIZES = """
import json, sys, sysconfig
from importlib import metadata
from pathlib import Path
from pip._vendor.packaging.requirements import Requirement

def needed(name, seen):
    name = name.lower().replace('_', '-')
    if name in seen:
        return seen
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return seen
    seen[name] = found
    for text in found.requires or ():
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate({'extra': ''}):
            needed(wanted.name, seen)
    return seen

def megabytes(found):
    files = [Path(found.locate_file(f)) for f in found.files or ()]
    return sum(f.stat().st_size for f in files if f.is_file() and f.suffix != '.pyc') / 1e6

found = needed('torch', needed(sys.argv[1], {}))
print(json.dumps({n: megabytes(d) for n, d in found.items()}))
"""
DISTRIBUTIONS = {THIS: "fathom-learn", "autogluon": "autogluon.tabular"}


def median_seconds(python: str, code: str, times: int) -> float:
    """The median of so many fresh processes; one before them does not count."""
    taken = []
    for _ in range(times + 1):
        started = time.perf_counter()
        subprocess.run([python, "-c", code], check=True, env=clean_environment(),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])


def sizes(who: str) -> dict[str, float]:
    """Megabytes by distribution: the package and all that it needs."""
    command = [python_of(who), "-c", _SIZES, DISTRIBUTIONS.get(who, who)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    known = [THIS, "keras", "lightning", "skorch", "autogluon"]
    parser.add_argument("--who", nargs="+", default=known, choices=known)
    parser.add_argument("--times", type=int, default=7)
    options = parser.parse_args()
    for who in options.who:
        bare = median_seconds(python_of(who), "pass", options.times)
        imports = {
            name: round(median_seconds(python_of(who), code, options.times) - bare, 3)
            for name, code in IMPORTS.items()
            if name.split(",")[0] == who
        }
        found = sizes(who)
        beyond = sum(size for name, size in found.items() if name not in OF_TORCH)
        keep("installation.jsonl", who, import_seconds=imports, python_seconds=round(bare, 3),
             megabytes=round(sum(found.values())), megabytes_beyond_torch=round(beyond),
             packages=len(found))  # fmt: skip


if __name__ == "__main__":
    main()
