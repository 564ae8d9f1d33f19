"""A small fixed run whose losses are written down: a change of the loop's arithmetic shows here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import training_runs
from fathom.training.settings import OptimizerSpec

# Mean losses of steps 1-5, 6-10 … as they were when the loop was written.
LOSSES = {
    "muon": [1.4076, 1.2394, 0.9788, 0.6444, 0.529, 0.5104],
    "adamw": [1.3591, 0.8431, 0.2476, 0.0605, 0.0324, 0.0358],
    "sgd": [1.4206, 1.3061, 1.1913, 0.9877, 0.8576, 0.8132],
}


@pytest.mark.parametrize("name", list(LOSSES))
def test_losses_are_as_they_were(name: str, tmp_path: Path) -> None:
    optimizer = OptimizerSpec(name=name, learning_rate=0.02)
    run = training_runs.supervised(steps=30, log_every=5, optimizer=optimizer)
    run.trainer(tmp_path).fit()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "step"]
    # The tolerance allows for another processor's rounding and another version of torch.
    assert losses == pytest.approx(LOSSES[name], rel=0.02, abs=0.005)
