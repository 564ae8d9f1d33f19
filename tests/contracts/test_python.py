"""What somebody who calls Fathom from Python may hand in."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_wine

import fathom
from fathom.core.budget import parse_duration
from fathom.core.errors import BudgetError, PlanError
from fathom.core.memory import peak_memory
from fathom.planning.device import choose_device

pytestmark = pytest.mark.usefixtures("few_rounds")


def test_a_run_shows_itself_in_one_line_and_a_column_may_be_dropped_by_its_name(tmp_path):
    frame = load_wine(as_frame=True).frame
    run = fathom.fit(
        frame, target="target", drop="hue", steps=5, out=tmp_path, settings={"threads": 1}
    )
    assert len(repr(run)) < 200
    assert run.verdict in repr(run)
    assert "hue" not in [f.name for f in run.bundle.schema.inputs]
    with pytest.raises(KeyError):
        run["no.such.record"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), (45, 45), ("2 m", 120)]
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5s", "0s", "5x", None])
def test_what_is_no_duration(text):
    with pytest.raises(BudgetError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize("name", ["cuda:99", "cudax", "tpu"])
def test_a_device_that_is_not_there(name):
    with pytest.raises(PlanError, match="device"):
        choose_device(name)


def test_the_most_memory_is_that_of_this_process():
    held = np.ones(40_000_000)
    script = "from fathom.core.memory import peak_memory; print(peak_memory())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert 0 < int(done.stdout) < held.nbytes <= peak_memory()
