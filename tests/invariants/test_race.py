"""The race of candidates: judged by whole curves of equal right, or not at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace

import pytest
from msgspec.structs import replace as changed

from fathom.core.budget import Budget
from fathom.core.progress import Silent
from fathom.networks import MlpSpec, TabmSpec
from fathom.planning import race as racing
from fathom.planning.draft import Draft, make_draft
from fathom.planning.plan import Plan
from fathom.planning.prepare import Prepared, prepare
from fathom.planning.probe import Speed
from fathom.planning.race import COMFORT, _allowed, _course, _scores, race, winner
from fathom.planning.racers import called, racers
from fathom.planning.request import Request, make_request
from fathom.planning.resolve import resolve, supervised
from fathom.planning.rivals import NO_RIVALS
from fathom.planning.trial import Trial


@cache
def breast_cancer() -> tuple[Request, Prepared]:
    request = make_request("breast-cancer", {"threads": 1}, steps=10)
    return request, prepare(request, Budget(60), Silent())


def raced(seconds: float) -> tuple[Plan, Plan, Draft]:
    """The plan before and after a race in so many seconds, and the draft that won."""
    request, prepared = breast_cancer()
    plan = resolve(request, prepared, NO_RIVALS, Budget(60), Silent())
    field = racers(request, prepared, make_draft(request, prepared))
    field = [replace(draft, most_epochs=2) for draft in field]
    what, speed = supervised(plan, prepared, "cpu"), Speed(1e-3, 1e-6, unsteady=False)
    after, draft, _ = race(field, what, plan, speed=speed, seconds=seconds, progress=Silent())
    return plan, after, draft


@dataclass(frozen=True)
class Seeded:
    """What a trial is told of, for trials that are only counted."""

    seed: int


def entrants(*seconds: float) -> list[SimpleNamespace]:
    return [SimpleNamespace(seconds=s) for s in seconds]


def test_the_candidates_of_a_table_differ():
    request, prepared = breast_cancer()
    names = [called(d.network) for d in racers(request, prepared, make_draft(request, prepared))]
    assert sorted(names) == ["mlp", "tabm", "tabm with all members learning"]


@pytest.mark.parametrize(
    "settings", [{"network": "mlp"}, {"network": "tabm"}, {"network": "tabm", "members": 4}]
)
def test_a_family_that_was_asked_for_has_no_race(settings):
    request = make_request("breast-cancer", settings, steps=10)
    prepared = breast_cancer()[1]
    assert len(racers(request, prepared, make_draft(request, prepared))) == 1


def test_settings_hold_for_every_candidate():
    request = make_request("breast-cancer", {"width": 24}, steps=10)
    prepared = breast_cancer()[1]
    field = racers(request, prepared, make_draft(request, prepared))
    assert len(field) == 2
    assert all(isinstance(d.network, MlpSpec | TabmSpec) and d.network.width == 24 for d in field)


@pytest.mark.parametrize(
    ("seconds", "course"),
    [
        (100.0, (3, 1.0, 3)),
        (30.0, (3, 1.0, 1)),
        (17.0, (3, 0.5, 1)),
        (12.0, (2, 1.0, 1)),
        (5.0, (2, 0.5, 1)),
        (3.0, (2, 0.125, 1)),
        (0.1, (2, 0.0, 1)),
    ],
)
def test_what_fits_is_tried(seconds, course):
    field, part, rounds = _course(entrants(1.0, 2.0, 7.0), seconds)
    assert (len(field), part, rounds) == course
    assert part * rounds * sum(e.seconds for e in field) <= COMFORT * _allowed(field, seconds)


def test_the_race_takes_what_training_leaves():
    assert _allowed(entrants(2.0, 10.0), 50.0) == pytest.approx(0.8 * 40)
    assert _allowed(entrants(2.0, 34.0), 50.0) == pytest.approx(0.3 * 50)


def test_a_gain_within_chance_does_not_count():
    assert winner([(0.80, 0.86), (0.84, 0.82), (0.82, 0.83)]) == 0
    assert winner([(0.80, 0.83), (0.84, 0.87), (0.82, 0.86)]) == 1
    # Of log losses on 8 examples, on 50 and on 1,000.
    assert [winner([(-0.60, -0.45)], 0.0, rows) for rows in (0, 8, 50, 1_000)] == [0, 0, 1, 1]
    assert [winner([(-0.60, -0.58)], 0.0, rows) for rows in (8, 50, 1_000)] == [0, 0, 1]


def test_a_race_is_told_with_its_figures():
    _, after, draft = raced(40.0)
    why = after.why["network.family"]
    assert "100% of its steps, 3 times from different seeds; log_loss" in why
    assert after.network == draft.network
    assert all(name in why for name in ("mlp 0.", "tabm 0.", "tabm with all members learning 0."))


def test_a_race_that_is_cut_short_is_void(monkeypatch):
    monkeypatch.setattr(racing, "Budget", lambda seconds: Budget(0.0))
    before, after, _ = raced(40.0)
    assert (after.network, after.training) == (before.network, before.training)
    assert "not all of the trials came to their end" in after.why["network.family"]


def test_a_slow_machine_is_noticed_before_the_time_is_spent(monkeypatch):
    clock, tried = SimpleNamespace(now=0.0), []

    def slow(what, *, steps, watcher):
        tried.append(what)
        clock.now += 9.0
        return SimpleNamespace(score=0.5, steps=steps)

    monkeypatch.setattr(racing, "run_trial", slow)
    field = [SimpleNamespace(seconds=2.0, what=Seeded(0), steps=10, name="a")] * 2
    assert len(_scores(field, 1.0, 3, Budget(10.0, clock=lambda: clock.now), Silent())) == 0
    assert len(tried) == 1


def test_without_time_there_is_no_race():
    before, after, _ = raced(0.01)
    assert after.network == before.network
    assert "no time to try others" in after.why["network.family"]


@pytest.mark.parametrize("best", [0, 1])
def test_what_the_probe_has_found_survives_the_race(monkeypatch, best):
    request = make_request("breast-cancer", {}, budget_seconds=600.0)
    prepared = breast_cancer()[1]

    def probed(what, plan, draft, budget, progress):
        training = changed(plan.training, threads=1, channels_last=True)
        return Speed(1e-3, 1e-6, unsteady=False), changed(plan, training=training)

    tried = []

    def trial(what, *, steps, watcher):
        assert what.training.channels_last  # all candidates run in what was found
        tried.append(what.network)
        place = [type(n) for n in dict.fromkeys(tried)].index(type(what.network))
        return Trial(0.9 if place == best else 0.5, steps, 0.0)

    monkeypatch.setattr("fathom.planning.resolve.probe", probed)
    monkeypatch.setattr(racing, "run_trial", trial)
    plan = resolve(request, prepared, NO_RIVALS, Budget(600), Silent())
    assert len(set(tried)) > 1
    assert isinstance(plan.network, (MlpSpec, TabmSpec)[best])
    assert plan.training.threads == 1
    assert plan.training.channels_last
