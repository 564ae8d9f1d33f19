"""Several labels at once, all the way: tables from files, arrays and pictures; repeat; predict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.metrics import roc_auc_score

import fathom
from fathom.core.budget import Budget
from fathom.core.files import read_json
from fathom.core.progress import Silent
from fathom.core.schema import LabelReading, Schema
from fathom.data.encode import encode
from fathom.data.labels import fold_labels
from fathom.data.read import read
from fathom.planning.plan import load_plan
from fathom.planning.prepare import prepare, understand
from fathom.planning.request import make_request

ONE = ("--set", "threads=1")
NAMES = ("red", "round", "large", "a, b")


def table(rows: int = 260) -> tuple[pd.DataFrame, np.ndarray]:
    """Inputs, and labels (n, 4) of 0 and 1."""
    inputs, labels = make_multilabel_classification(
        rows, 8, n_classes=len(NAMES), n_labels=2, random_state=1
    )
    return pd.DataFrame(inputs, columns=[f"x{k}" for k in range(8)]), labels


def sets_of(labels: np.ndarray) -> list[list[str]]:
    return [[NAMES[k] for k in np.flatnonzero(row)] for row in labels]


def test_yes_no_columns_from_the_command_line_to_predictions_and_back(command):
    frame, labels = table()
    frame = frame.assign(**dict(zip(NAMES, labels.T, strict=True)))
    frame["red"] = frame["red"].map({0: "no", 1: "yes"})
    frame.to_csv("things.csv", index=False)
    targets = [word for name in NAMES for word in ("--target", name)]
    outcome = command("fit", "things.csv", *targets, "--steps", "30", "--json", *ONE)
    assert outcome.code == 0, outcome.err
    summary = json.loads(outcome.out.splitlines()[-1])
    assert summary["primary"] == "macro_roc_auc"
    assert summary["verdict"] in {"network", "baseline", "level"}
    run = Path("runs/things")
    plan = load_plan(run / "plan.yaml")
    assert plan.data.target == NAMES
    assert all(len(limits) == len(NAMES) for limits in plan.baselines.values())
    schema = read_json(run / "schema.json", Schema)
    assert schema.label_reading == LabelReading(NAMES)
    assert schema.labels == NAMES

    # The plan again gives the same weights and the same baseline, and is told in the report.
    assert command("fit", run / "plan.yaml", "--name", "again").code == 0
    for part in ("model.safetensors", "baseline.safetensors"):
        again = Path("runs/again/bundle", part).read_bytes()
        assert (run / "bundle" / part).read_bytes() == again, part
    page = (run / "report.html").read_text()
    assert all(word in page for word in ("Macro ROC AUC", "precision", "round"))

    for model in ("network", "baseline"):
        outcome = command("predict", run, "things.csv", "--model", model, "-o", "said.csv")
        assert outcome.code == 0, outcome.err
        said = pd.read_csv("said.csv")
        for k, name in enumerate(NAMES):
            assert roc_auc_score(labels[:, k], said[f"probability_{name}"]) > 0.6
        probs = said[[f"probability_{name}" for name in NAMES]].to_numpy()
        answers = [sorted(NAMES[k] for k in np.flatnonzero(row >= 0.5)) for row in probs]
        assert [json.loads(text) for text in said["prediction"]] == answers

    # A labelled file is read again as it was: what evaluation and drift go by.
    later = fold_labels(read("things.csv"), NAMES, None).raw.table
    np.testing.assert_array_equal(encode(later, schema).examples.targets, labels)


@pytest.mark.parametrize("form", ["lists", "text", "python", "parquet"])
def test_every_way_to_write_label_sets_means_the_same(tmp_path, form):
    frame, labels = table()
    sets = sets_of(labels)
    path = tmp_path / "t.csv"
    if form == "parquet":
        path = tmp_path / "t.parquet"
        frame.assign(kind=sets).to_parquet(path)
    elif form == "text":
        parted = [" | ".join(names) if names else "[]" for names in sets]
        frame.assign(kind=parted).to_csv(path, index=False)
    else:
        write = json.dumps if form == "lists" else repr
        frame.assign(kind=[write(names) for names in sets]).to_csv(path, index=False)
    task = "multilabel" if form == "text" else None
    request = make_request(str(path), {}, target="kind", task=task)
    _, schema = understand(request, Budget(20), Silent())
    assert schema.task == "multilabel"
    assert "4 labels" in schema.task_reason
    assert ("parted by '|'" in schema.task_reason) == (form == "text")
    prepared = prepare(request, Budget(20), Silent())
    whole = encode(prepared.raw.table, prepared.schema).examples.targets
    order = [prepared.schema.labels.index(name) for name in NAMES]
    np.testing.assert_array_equal(whole[:, order], labels)


def test_pictures_with_labels_as_arrays(tmp_path):
    digits = load_digits()
    pixels, digit = (digits.images * 15).astype(np.uint8), digits.target
    labels = np.column_stack([digit % 2 == 0, digit > 4, np.isin(digit, [0, 6, 8, 9])])
    run = fathom.fit(
        (pixels[:900], labels[:900]), steps=60, out=tmp_path, settings={"training.threads": 1}
    )
    assert run["performance.macro_roc_auc"].value > 0.93
    assert run["calibration.ece"].status == "measured"
    assert run["worst.examples"].figure is None or run["worst.examples"].value > 0
    said = run.predict(pixels[900:1100], model="network")
    probs = said[[f"probability_label{k}" for k in range(3)]].to_numpy()
    assert ((probs >= 0.5) == labels[900:1100]).mean() > 0.85
    assert run.evidence  # every kind either measured or says why not
    faults = [r.id for r in run.evidence if "fault of Fathom" in (r.reason or "")]
    assert not faults


def test_lists_in_a_frame_with_missing_and_rare_labels(tmp_path):
    frame, labels = table(300)
    sets: list[object] = [tuple(names) for names in sets_of(labels)]
    sets[0], sets[1] = None, ("only here", "red")
    run = fathom.fit(
        frame.assign(kind=sets), target="kind", steps=20, out=tmp_path,
        settings={"training.threads": 1},
    )  # fmt: skip
    told = " ".join(run.story.warnings)
    assert "1 row without a value of the target 'kind' left out" in told
    assert "'only here'" in told
    assert "probability_only here" not in run.predict(frame.head(3))
