"""Trials: short, repeatable, ended by whoever watches them, and never a reason to give up."""

from __future__ import annotations

from functools import cache
from math import inf

import pytest
from msgspec.structs import replace as changed

from fathom.core.budget import Budget
from fathom.core.errors import PlanError
from fathom.core.progress import Silent
from fathom.networks import MlpSpec
from fathom.planning.prepare import prepare
from fathom.planning.request import make_request
from fathom.planning.resolve import resolve, supervised
from fathom.planning.rivals import NO_RIVALS
from fathom.planning.trial import VALIDATIONS, run_trial
from fathom.training.supervised import Supervised


@cache
def breast_cancer() -> Supervised:
    budget = Budget(60)
    request = make_request("breast-cancer", {}, steps=10)
    prepared = prepare(request, budget, Silent())
    return supervised(resolve(request, prepared, NO_RIVALS, budget, Silent()), prepared, "cpu")


def test_the_same_trial_gives_the_same_score_and_learns():
    seen = []
    first = run_trial(breast_cancer(), steps=40, watcher=lambda score: bool(seen.append(score)))
    again = run_trial(breast_cancer(), steps=40)
    # Few rows are judged by minus the log loss, of which a coin would have -0.69.
    assert first.score == again.score > -0.4
    assert first.steps == again.steps == 40
    assert len(seen) == VALIDATIONS
    assert max(seen) == first.score


def test_who_watches_can_end_it():
    seen = []

    def enough(score):
        seen.append(score)
        return len(seen) == 2

    assert run_trial(breast_cancer(), steps=40, watcher=enough).steps == 10


def test_a_training_that_explodes_scores_lowest():
    what = breast_cancer()
    optimizer = changed(what.training.optimizer, name="sgd", learning_rate=1e30)
    training = changed(what.training, optimizer=optimizer, clip_norm=0.0)
    what = Supervised(**{**vars(what), "training": training})
    assert run_trial(what, steps=40).score == -inf


def test_a_network_that_cannot_be_built_is_refused():
    what = Supervised(**{**vars(breast_cancer()), "network": MlpSpec(width=99_999_999_999)})
    with pytest.raises(PlanError, match="width"):
        run_trial(what, steps=10)
