"""What may be resumed: the same question on the same data, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_breast_cancer

ONE = ("--set", "threads=1")


def interrupt(run: Path) -> None:
    """Leave a finished run as a kill during its last stages would have."""
    (run / "report.html").unlink()
    shutil.rmtree(run / "bundle")


@pytest.fixture
def table(tmp_path, monkeypatch) -> pd.DataFrame:
    monkeypatch.chdir(tmp_path)
    frame = load_breast_cancer(as_frame=True).frame
    frame.to_csv("cells.csv", index=False)
    return frame


FIT = ("fit", "cells.csv", "--target", "target", "--steps", "25", *ONE)


def test_resuming_on_changed_data_is_refused(command, table):
    assert command(*FIT).code == 0
    interrupt(Path("runs/cells"))
    table.sample(frac=0.9, random_state=0).to_csv("cells.csv", index=False)
    outcome = command(*FIT, "--resume")
    assert outcome.code == 2
    assert "data has changed" in outcome.err
    assert not Path("runs/cells/report.html").exists()
    table.to_csv("cells.csv", index=False)
    assert command(*FIT, "--resume").code == 0


def test_resuming_with_an_edited_plan_is_refused(command, table):
    assert command(*FIT).code == 0
    interrupt(Path("runs/cells"))
    plan = yaml.safe_load(Path("runs/cells/plan.yaml").read_text())
    plan["seed"] = 7
    Path("runs/cells/plan.yaml").write_text(yaml.safe_dump(plan))
    outcome = command(*FIT, "--resume")
    assert outcome.code == 2, outcome.err
    assert "runs/cells" in outcome.err


@pytest.mark.parametrize(
    ("option", "named"), [(("--seed", "4"), "seed"), (("--set", "depth=3"), "depth")]
)
def test_resuming_with_other_options_is_refused_naming_them(command, table, option, named):
    assert command(*FIT).code == 0
    interrupt(Path("runs/cells"))
    outcome = command(*FIT, *option, "--resume")
    assert outcome.code == 2
    assert named in outcome.err


def test_a_run_of_the_same_name_on_another_file_is_not_resumed(command, table):
    assert command(*FIT).code == 0
    Path("other").mkdir()
    table.head(400).to_csv("other/cells.csv", index=False)
    outcome = command("fit", "other/cells.csv", *FIT[2:], "--resume")
    assert outcome.code == 0, outcome.err
    assert Path("runs/cells-2/report.html").exists()


def test_a_plan_repeated_on_other_data_says_so_and_is_stamped_anew(command, table):
    assert command(*FIT).code == 0
    table.head(400).to_csv("cells.csv", index=False)
    outcome = command("fit", "runs/cells/plan.yaml")
    assert outcome.code == 0, outcome.err
    assert "digest" in outcome.err
    before, after = (
        yaml.safe_load(Path(f"runs/{name}/plan.yaml").read_text())["data"]
        for name in ("cells", "cells-2")
    )
    assert before["digest"] != after["digest"]
    assert after["rows"] == 400
