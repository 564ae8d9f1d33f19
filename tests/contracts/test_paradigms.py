"""Paradigms beyond supervision, each through the unchanged Trainer: learned, and resumable."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import training_runs
from fathom.core.randomness import torch_generator


def distance(network: nn.Module) -> float:
    """The Wasserstein distance between generated and real samples."""
    with torch.no_grad():
        made = training_runs.generate(network, 2048, torch_generator(3, "measure"))
    real = training_runs.real_samples(2048)
    return float((made.flatten().sort().values - real.flatten().sort().values).abs().mean())


def test_adversarial_training_fits_a_density(tmp_path: Path) -> None:
    run = training_runs.adversarial()
    assert distance(run.network) > 2
    run.trainer(tmp_path).fit()
    assert distance(run.network) < 0.2


def test_adversarial_training_with_a_broken_loss_does_not(tmp_path: Path) -> None:
    run = training_runs.adversarial(sign=-1.0)
    run.trainer(tmp_path).fit()
    assert distance(run.network) > 0.5


def test_acting_learns_to_reach_the_goal(tmp_path: Path) -> None:
    run = training_runs.acting()
    assert training_runs.mean_reward(run.network) < 0.1
    run.trainer(tmp_path).fit()
    assert training_runs.mean_reward(run.network) > 0.3


def test_acting_with_a_broken_loss_does_not(tmp_path: Path) -> None:
    run = training_runs.acting(sign=-1.0)
    run.trainer(tmp_path).fit()
    assert training_runs.mean_reward(run.network) < 0.1


@pytest.mark.parametrize("name", ["adversarial", "acting", "language"])
def test_killed_and_resumed_ends_with_the_same_weights(name: str, tmp_path: Path) -> None:
    whole = training_runs.carry_out(name, tmp_path / "whole", resume=False)
    script = [sys.executable, training_runs.__file__, name, str(tmp_path / "cut"), "3", "3"]
    assert subprocess.run(script, check=False, timeout=120).returncode == -signal.SIGKILL
    resumed = training_runs.carry_out(name, tmp_path / "cut", resume=True)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
