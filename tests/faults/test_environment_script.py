"""scripts/_environment with a stub for Python: what it installs, when, and what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TORCH = "torch==2.11.0 --index-url https://somewhere"
STUB = """#!/usr/bin/env bash
# Makes a venv with itself in it, and writes down what pip is told.
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; touch "$3/pip" ;;
  "-m pip")
    [ "$3" != --version ] || { [ -e "$(dirname "$0")/../pip" ]; exit $?; }
    echo "WARNING: noise" >&2
    echo "$*" >> "$CALLS"
    [ -z "${BROKEN:-}" ] || { echo "ERROR: no network" >&2; exit 1; } ;;
esac
"""
SCRIPT = 'set -euo pipefail; . "$0/scripts/_environment"; echo "$PYTHON"'

Call = Callable[..., tuple[subprocess.CompletedProcess[str], list[str]]]


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """`call(FATHOM_TORCH=…)` sources the script in a new shell: its end, and what pip was told."""
    checkout, stubs, calls = tmp_path / "a checkout", tmp_path / "bin", tmp_path / "calls"
    (checkout / "scripts").mkdir(parents=True)
    for name in ("scripts/_environment", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, checkout / name)
    stubs.mkdir()
    (stubs / "python3.11").write_text(STUB)
    (stubs / "python3.11").chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FATHOM_")}

    def run(**variables: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
        calls.write_text("")
        paths = {"PATH": f"{stubs}:{kept['PATH']}", "CALLS": str(calls)}
        done = subprocess.run(
            ["bash", "-c", SCRIPT, str(checkout)],
            env=kept | paths | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        return done, calls.read_text().splitlines()

    return run


def test_installs_once_and_keeps_the_noise_to_itself(call: Call) -> None:
    done, told = call()
    assert done.returncode == 0, done.stderr
    assert len(told) == 2
    assert told[0].endswith("constraints.txt torch")
    assert "Setting up Fathom" in done.stderr
    assert "WARNING" not in done.stderr
    done, told = call()
    assert told == []
    assert done.stderr == ""


def test_torch_that_was_asked_for_is_remembered_until_it_is_taken_back(call: Call) -> None:
    _, told = call(FATHOM_TORCH=TORCH)
    assert told[0].endswith(TORCH)
    assert call()[1] == []
    assert call(FATHOM_TORCH=TORCH)[1] == []
    _, told = call(FATHOM_TORCH="")
    assert told[0].endswith("constraints.txt torch")
    assert call()[1] == []


def test_changed_pins_install_anew_with_the_torch_remembered(call: Call, tmp_path: Path) -> None:
    call(FATHOM_TORCH=TORCH)
    with (tmp_path / "a checkout/constraints.txt").open("a") as file:
        file.write("another==1\n")
    _, told = call()
    assert told[0].endswith(TORCH)
    pins = (tmp_path / "a checkout/.venv/constraints.txt").read_text()
    assert "another==1" in pins
    assert "\ntorch==" not in pins


def test_failure_says_what_to_do_and_is_tried_again(call: Call, tmp_path: Path) -> None:
    done, told = call(BROKEN="1")
    assert done.returncode == 1
    assert len(told) == 1
    assert "no network" in done.stderr
    assert "give the same command again" in done.stderr
    assert not (tmp_path / "a checkout/.venv/.fathom-installed").exists()
    done, told = call()
    assert done.returncode == 0
    assert len(told) == 2


def test_failure_after_a_change_leaves_no_stamp(call: Call, tmp_path: Path) -> None:
    call()
    assert call(BROKEN="1", FATHOM_TORCH=TORCH)[0].returncode == 1
    assert not (tmp_path / "a checkout/.venv/.fathom-installed").exists()
    _, told = call()
    assert told[0].endswith("constraints.txt torch")  # what failed is not remembered
