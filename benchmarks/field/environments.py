"""The peers, each in a virtual environment of its own, with pinned versions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

# One torch for all, the CPU build, so that what differs is what is built on it.
TORCH = "torch==2.13.0"
PEERS = {
    "keras": (TORCH, "keras==3.15.1", "pandas==3.1.1", "scikit-learn==1.9.1"),
    "lightning": (TORCH, "lightning==2.6.6"),
    "skorch": (TORCH, "skorch==1.4.0"),
    "fastai": (TORCH, "fastai==2.8.12"),
    "autogluon": (TORCH, "autogluon.tabular[lightgbm,catboost,xgboost]==1.6.3"),
}
ROOT = Path(os.environ.get("FATHOM_PEERS", Path(__file__).parents[2] / ".peers"))
THIS = "fathom"
_TOLD = ("torch", "numpy", "pandas", "scikit-learn", "keras", "lightning", "skorch", "fastai",
         "autogluon.tabular", "lightgbm", "catboost", "xgboost", "fathom-learn")  # fmt: skip


def python_of(name: str) -> str:
    """The interpreter of a peer's environment, which is made if it is not there; ours for Fathom.

    Raises CalledProcessError where the packages cannot be installed.
    """
    if name == THIS:
        return sys.executable
    folder = ROOT / name
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        print(f"making the environment of {name} in {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=folder.exists())
        subprocess.run([python, "-m", "pip", "install", "-q", *PEERS[name]], check=True)
        # A user's packages are compiled once: first imports must not pay for that here.
        subprocess.run([python, "-m", "compileall", "-q", folder / "lib"], check=False)
        ready.touch()
    return str(python)


def versions_of(name: str) -> dict[str, str]:
    """The versions of the packages that matter, as installed in the peer's environment."""
    code = (
        "import json, sys; from importlib import metadata as m\n"
        "found = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        f"known = {{k: found[k] for k in {_TOLD!r} if k in found}}\n"
        "print(json.dumps({'python': sys.version.split()[0], **known}))"
    )
    done = subprocess.run(
        [python_of(name), "-c", code], stdout=subprocess.PIPE, text=True, check=True
    )
    told: dict[str, str] = json.loads(done.stdout)
    return told


def clean_environment() -> dict[str, str]:
    """The variables for a peer: compiled modules may be kept, as on a user's machine."""
    kept = {
        k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
    }
    return kept | {"KERAS_BACKEND": "torch", "TOKENIZERS_PARALLELISM": "false"}
