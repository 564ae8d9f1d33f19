"""`check_evidence`: what every kind of evidence owes to the report and to the user."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from evidence_subjects import SPECS, fresh
from fathom.core.budget import Budget
from fathom.core.errors import DataError
from fathom.core.record import Evidence, Record
from fathom.evidence import EVIDENCE, Measure, Subject, gather

KINDS = list(EVIDENCE)
ESSENTIAL = [name for name, kind in EVIDENCE.items() if kind.essential]
OPTIONAL = [name for name in KINDS if name not in ESSENTIAL]
# The same worker runs all tests of a subject, which share its training.
SUBJECTS = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in SPECS]
GROUPS = {"verdict", "performance", "baseline", "gain", "gap", "training", "calibration"}
GROUPS |= {"anatomy", "features", "fields", "worst", "cost"}
FIGURES = {
    "bars": {"labels", "values", "low", "high", "x_label", "highlight"},
    "curves": {"series", "x_label", "y_label", "log_y"},
    "confusion": {"labels", "counts"},
    "reliability": {"before", "after"},
    "scatter": {"x", "y", "x_label", "y_label", "diagonal"},
    "table": {"columns", "rows"},
    "layers": {"rows"},
    "walkthrough": {"steps"},
    "examples": {"items"},
    "depth": {"stages", "values", "low", "high", "breaks", "whole", "y_label", "percent"},
    "attention": {"items"},
    "channels": {"items", "caption"},
    "heatmap": {"labels", "values", "unit"},
}
# Subjects of which a kind of evidence has something to say; the others' is said of digits.
ABOUT = {"memory": "texts-lstm", "attention": "texts-transformer"}
TIMED = {"cost.latency_seconds", "cost.throughput", "cost.energy_joules"}


def assert_finite(value: Any) -> None:
    """No NaN and no infinity anywhere: JSON has neither."""
    if isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, dict):
        for inner in value.values():
            assert_finite(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            assert_finite(inner)
    else:
        assert value is None or isinstance(value, str | int | bool), type(value)


def check_record(record: Record) -> None:
    assert record.group in GROUPS
    assert record.id == record.group or record.id.startswith(record.group + "."), record.id
    assert re.fullmatch(r"[A-Z0-9].*[.)]", record.sentence, re.S), record.sentence
    assert not re.search(r"\bnan\b|[{}]|None|\binf\b|  ", record.sentence), record.sentence
    assert_finite(msgspec.to_builtins(record))
    if record.status == "measured":
        assert record.value is not None
        assert record.method
        assert not record.reason
    else:
        assert record.reason
        assert record.value is None
    if record.interval is not None:
        low, high = record.interval
        assert low <= record.value <= high
    if record.n is not None:
        assert record.n >= 1
    if record.figure is not None:
        assert set(record.figure.data) == FIGURES[record.figure.kind]


@pytest.mark.parametrize("name", SUBJECTS)
@pytest.mark.parametrize("kind", KINDS)
def test_records_are_well_formed(kind: str, name: str) -> None:
    records = EVIDENCE[kind].measure(fresh(name), Budget(60))
    assert records
    for record in records:
        check_record(record)


@pytest.mark.parametrize("name", SUBJECTS)
def test_gathered_evidence_survives_json_with_unique_ids(name: str) -> None:
    records = gather(fresh(name), Budget(120))
    assert len({record.id for record in records}) == len(records)
    evidence = Evidence(tuple(records))
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence) == evidence
    assert not [record.id for record in records if record.status == "skipped"]


@pytest.mark.parametrize("kind", OPTIONAL)
def test_a_spent_budget_is_said_and_nothing_is_read(kind: str) -> None:
    readings: list[str] = []
    subject = fresh("digits", on_test_access=readings.append)
    spent = Budget(1.0, clock=iter([0.0, *[9.0] * 1000]).__next__)
    for record in EVIDENCE[kind].measure(subject, spent):
        check_record(record)
        assert record.status == "skipped"
        assert "--budget" in record.reason
    assert readings == []


@pytest.mark.parametrize("kind", OPTIONAL)
def test_what_would_not_fit_is_skipped_with_both_durations(kind: str) -> None:
    frozen = Budget(1e-4, clock=lambda: 0.0)
    for record in EVIDENCE[kind].measure(fresh(ABOUT.get(kind, "digits")), frozen):
        check_record(record)
        assert record.status == "skipped"
        assert "would take about" in record.reason


@pytest.mark.parametrize("kind", ESSENTIAL)
def test_what_is_essential_may_end_late_but_not_by_much(kind: str) -> None:
    spent = Budget(1e-9)
    assert {r.status for r in EVIDENCE[kind].measure(fresh("digits"), spent)} == {"measured"}
    dear = replace(EVIDENCE[kind], seconds=lambda subject: 60.0)
    assert {r.status for r in dear.measure(fresh("digits"), spent)} == {"skipped"}


def test_skipped_ids_are_ids_that_are_measured_otherwise() -> None:
    measured = {record.id for record in gather(fresh("digits"), Budget(120))}
    records = gather(fresh("digits"), Budget(1e-9))
    assert "skipped" in {record.status for record in records}
    assert {record.id for record in records} <= measured


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_same_subject_gives_the_same_evidence(name: str) -> None:
    first, second = (
        {r.id: r for r in gather(fresh(name), Budget(120)) if r.id not in TIMED} for _ in range(2)
    )
    assert first == second


def test_nothing_touches_the_network() -> None:
    subject = fresh("digits")
    network = subject.model.network
    before = copy.deepcopy(network.state_dict())
    gather(subject, Budget(120))
    after = network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not network.training
    assert not any(module._forward_hooks for module in network.modules())


def test_every_reader_of_the_test_split_is_told_once() -> None:
    readings: list[str] = []
    gather(fresh("digits", on_test_access=readings.append), Budget(120))
    assert sorted(readings) == ["calibration", "comparison", "gap", "performance", "worst"]


def test_sample_sizes_of_the_plan_are_kept() -> None:
    subject = fresh("digits", samples={"train": 50, "test": 60, "worst": 1, "anatomy": 20})
    records = {record.id: record for record in gather(subject, Budget(120))}
    assert records["performance.accuracy"].n == 60
    assert "50 training examples" in records["gap.accuracy"].method
    assert records["anatomy.dead_units"].n == 20
    figure = records["worst.examples"].figure
    assert figure is None or len(figure.data["items"]) == 1


def failing(error: BaseException) -> Measure:
    def run(subject: Subject, budget: Budget) -> list[Record]:
        raise error

    return Measure("cost", "cost", ("cost.flops",), run, lambda subject: 0.0)


def test_a_fault_loses_only_its_own_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVIDENCE._entries, "cost", failing(ZeroDivisionError("of ours")))
    faults: list[tuple[str, str]] = []
    records = gather(fresh("diabetes"), Budget(60), on_fault=lambda *fault: faults.append(fault))
    by_id = {record.id: record for record in records}
    assert by_id["cost.flops"].status == "skipped"
    assert by_id["performance.rmse"].status == "measured"
    assert [name for name, _ in faults] == ["cost"]
    assert "ZeroDivisionError: of ours" in faults[0][1]


@pytest.mark.parametrize("error", [DataError("mend it"), KeyboardInterrupt()])
def test_errors_that_are_not_faults_go_through(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EVIDENCE._entries, "cost", failing(error))
    with pytest.raises(type(error)):
        gather(fresh("diabetes"), Budget(60))


def test_one_class_alone_in_the_test_split_is_no_fault() -> None:
    subject = fresh("breast-cancer")
    test = subject.splits["test"]
    one = test.take(np.flatnonzero(test.targets == 0))
    faults: list[str] = []
    records = gather(
        fresh("breast-cancer", splits={**subject.splits, "test": one}),
        Budget(60),
        on_fault=lambda name, text: faults.append(text),
    )
    assert faults == []
    by_id = {record.id: record for record in records}
    for id in ("performance.roc_auc", "gain.roc_auc", "gap.roc_auc", "verdict"):
        assert by_id[id].status == "not_applicable"
    for record in records:
        check_record(record)
