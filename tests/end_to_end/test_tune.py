"""`fathom fit --tune`: a search, its plan, its report, and a repeat that does not search."""

from __future__ import annotations

from pathlib import Path

import pytest

import fathom

pytest.importorskip("optuna")


def test_a_tuned_run_and_its_repeat(command):
    outcome = command(
        *("fit", "wine", "--tune", "3", "--steps", "30", "--set", "threads=1", "--seed", "3")
    )
    assert outcome.code == 0, outcome.err
    run = fathom.load("runs/wine")
    assert run["tuning.best"].n == 3
    assert "What else was tried?" in Path("runs/wine/report.html").read_text()
    assert command("fit", "runs/wine/plan.yaml").code == 0
    weights = "bundle/model.safetensors"
    assert Path("runs/wine", weights).read_bytes() == Path("runs/wine-2", weights).read_bytes()
    assert not Path("runs/wine-2/tuning.json").exists()
    refused = command("fit", "runs/wine/plan.yaml", "--tune", "5")
    assert refused.code == 2
    assert "tune" in refused.err
    resumed = command("fit", "wine", "--tune", "4", "--steps", "30", "--seed", "3", "--resume")
    assert "tune was 3 and is 4 now" in resumed.err
