"""What a plan does where time is short: fewer channels, and time set aside for all that answers."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import pytest

from fathom import pipeline
from fathom.core.budget import Budget
from fathom.core.progress import Silent
from fathom.job import Job
from fathom.networks import ConvnetSpec, MixedSpec, TextConvnetSpec
from fathom.planning import resolve as resolving
from fathom.planning import transfer
from fathom.planning.draft import make_draft
from fathom.planning.prepare import Prepared, prepare
from fathom.planning.probe import Speed
from fathom.planning.request import Request, make_request
from fathom.planning.resolve import EVIDENCE_SHARE, Resolving, resolve, supervised
from fathom.planning.rivals import NO_RIVALS
from fathom.planning.slim import _slim, slimmed

FAST = Speed(step_seconds=1e-3, predict_seconds=1e-6, unsteady=False)


@cache
def prepared_for(name: str) -> tuple[Request, Prepared]:
    request = make_request(name, {"threads": 1}, steps=10)
    return request, prepare(request, Budget(60), Silent())


def widths_after(seconds: float, settings: dict[str, object]) -> tuple[int, ...]:
    """The channels of a plan for digits that has so many seconds, at a second a step."""
    request, prepared = prepared_for("digits")
    request = replace(request, settings=request.settings | settings)
    plan = resolve(request, prepared, NO_RIVALS, Budget(60), Silent())
    speed, what = replace(FAST, step_seconds=1.0), supervised(plan, prepared, "cpu")
    draft = make_draft(request, prepared)
    after, measured = slimmed(what, plan, draft, speed=speed, seconds=seconds)
    changed = after.network != plan.network
    assert ("passes" in after.why.get("network.widths", "")) == changed
    assert (measured.step_seconds < 1.0) == changed
    return after.network.widths


@pytest.mark.parametrize(
    ("seconds", "settings", "expected"),
    [
        (50.0, {}, (16, 32)),
        (-1.0, {}, (16, 32)),
        (500.0, {}, (32, 64)),
        (50.0, {"network.widths": [32, 64]}, (32, 64)),
        (50.0, {"network.widths": [16, 16]}, (16, 16)),
    ],
)
def test_half_the_channels_where_time_allows_few_steps(seconds, settings, expected):
    assert widths_after(seconds, settings) == expected


@pytest.mark.parametrize(
    ("fixed", "expected"),
    [((), (16, 32)), (("network.fields.photo.widths",), (32, 64)), (("network.width",), (16, 32))],
)
def test_pictures_beside_other_columns_have_half_the_channels_too(fixed, expected):
    request, prepared = prepared_for("digits")
    fields = {"photo": ConvnetSpec(widths=(32, 64)), "note": TextConvnetSpec(width=64)}
    draft = replace(make_draft(request, prepared), fixed=frozenset(fixed))
    slim = _slim(MixedSpec(fields=fields), draft)
    assert slim.fields["photo"].widths == expected
    assert slim.fields["note"] == fields["note"]


@pytest.mark.parametrize(("tune", "expected"), [(None, (16, 32)), (5, (32, 64))])
def test_a_search_begins_with_the_whole_network(monkeypatch, tune, expected):
    request, prepared = prepared_for("digits")
    request = replace(request, steps=None, tune=tune)
    slow = replace(FAST, step_seconds=1.0)
    monkeypatch.setattr(resolving, "probe", lambda what, plan, *rest: (slow, plan))
    made = Resolving(request, prepared, NO_RIVALS, Budget(60), Silent())
    draft = make_draft(request, prepared)
    assert made.timed(made.begun(draft), draft)[0].network.widths == expected


def test_what_baselines_take_to_answer_is_set_aside():
    request, prepared = prepared_for("wine")
    budget, tests = Budget(60.0), len(prepared.examples["test"])
    aside = []
    for seconds in (0.0, 0.05, 100.0):
        rivals = replace(NO_RIVALS, answer_seconds=seconds)
        made = Resolving(request, prepared, rivals, budget, Silent())
        plan = made.begun(make_draft(request, prepared))
        aside.append(made.evidence_set_aside(plan, FAST).seconds["evidence"])
    assert aside[1] - aside[0] == pytest.approx(0.05 * tests, abs=0.02)
    assert aside[2] == EVIDENCE_SHARE * budget.seconds


def test_without_time_no_pretrained_start_is_tried(monkeypatch):
    request, prepared = prepared_for("digits")
    plan = resolve(request, prepared, NO_RIVALS, Budget(60), Silent())
    draft, what = make_draft(request, prepared), supervised(plan, prepared, "cpu")
    monkeypatch.setattr(transfer, "loaded", lambda head: pytest.fail("a network was loaded"))
    drafts = (draft, draft, draft)
    after, _, speed = transfer.begin_with(
        plan, drafts, what, useful=1.0, seconds=-10.6, progress=Silent()
    )
    assert speed is None
    assert after.why["data.pretrained"] == (
        "Nothing of the budget was left to try a pretrained network: it begins from scratch."
    )
    assert after.network == plan.network


@pytest.mark.parametrize(
    ("a_part", "allowed", "looked", "expected"),
    [(1.0, 20.0, 10, 10.0), (1.0, 8.0, 3, 10.0), (1.0, 30.0, 10, 10.0), (0.1, 8.0, 10, 1.0)],
)
def test_features_are_given_up_once_they_would_take_too_long(
    monkeypatch, a_part, allowed, looked, expected
):
    """Ten parts of two examples, each of which takes so many seconds."""
    now, parts = [0.0], []

    def computing(head, examples, network):
        for part in range(2, len(examples) + 1, 2):
            now[0] += a_part
            parts.append(part)
            yield part

    monkeypatch.setattr(transfer, "computing", computing)
    monkeypatch.setattr(transfer, "perf_counter", lambda: now[0])
    head = SimpleNamespace(validation=range(4), train=range(16))
    taken, computed = transfer._features_made(head, None, allowed, Silent())
    assert len(parts) == looked
    assert computed == 2 * looked
    assert taken == pytest.approx(expected)


def test_features_of_no_validation_examples_take_no_time(monkeypatch):
    monkeypatch.setattr(transfer, "computing", lambda head, examples, network: [len(examples)])
    head = SimpleNamespace(validation=range(0), train=range(4))
    assert transfer._features_made(head, None, 1.0, Silent())[1] == 4


@pytest.mark.parametrize(("steps", "expected"), [(10, 60.0), (None, 0.0)])
def test_with_steps_reading_takes_no_time_from_the_baselines(
    monkeypatch, tmp_path, steps, expected
):
    request, prepared = prepared_for("digits")
    request = replace(request, steps=steps)
    late = Budget(60, already=60, clock=lambda: 0.0)
    handed = []
    monkeypatch.setattr(pipeline, "fit_rivals", lambda *_, budget, **__: handed.append(budget))
    job = Job(
        request=request,
        folder=tmp_path,
        budget=late,
        command="",
        resumed=False,
        replans=tmp_path / "replans.jsonl",
    )
    pipeline._fit_rivals(job, prepared, Silent())
    assert handed[0].remaining == expected
