"""Which baselines are fitted, and that boosting on pictures stays cheap, exact and optional."""

from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from fathom.baselines import BASELINES, Limit, baseline_from_state, fit_baseline
from fathom.baselines import picture_boosting as module
from fathom.baselines.recipe import Member, Recipe
from fathom.core.budget import Budget
from fathom.core.errors import PlanError
from fathom.core.examples import Examples
from fathom.core.output import OutputSpec
from fathom.core.progress import Silent
from fathom.core.schema import CategoryStatistics, Field, Schema
from fathom.core.stored import StoredArray, StoredFile
from fathom.planning.rivals import WEIGHTS, fit_rivals
from fathom.tasks import build_task

LABELS = ("a", "b", "c")


def examples(count=900, several=False):
    """Pictures whose brightness and a column beside them tell the class together."""
    generator = np.random.default_rng(0)
    light = generator.integers(0, 2, count)
    number = generator.integers(0, 2, count)
    pixels = generator.integers(0, 90, (count, 1, 8, 8)) + 120 * light[:, None, None, None]
    inputs = {"photo": pixels.astype(np.uint8), "numbers": number[:, None].astype(np.float32)}
    targets = np.column_stack([light, number, light | number]) if several else light + number
    return Examples(inputs, targets.astype(np.int64), np.arange(count))


def schema(task="classification"):
    statistics = CategoryStatistics(LABELS, (1,) * 3)
    kinds = ("image", "number")
    inputs = tuple(Field(kind, kind, "input", "") for kind in kinds)
    return Schema(task, (*inputs, Field("y", "category", "target", "", statistics)))


def fit(data, task="classification", budget=None, **options):
    return fit_baseline(
        "picture_boosting",
        data.take(np.arange(700)),
        schema(task),
        task,
        seed=3,
        budget=budget or Budget(1e9),
        **options,
    )


SHORT = Recipe((Member(rounds=4, learning_rate=0.3),))


class Ticks:
    """A clock that is a second further whenever it is read."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_pictures_and_columns_are_learned_together():
    data = examples()
    test = data.take(np.arange(700, 900))
    model = fit(data, limit=SHORT)
    assert (model.predict(test).codes == test.targets).mean() > 0.97
    blind = replace(test, inputs=test.inputs | {"numbers": test.inputs["numbers"] * 0})
    assert (model.predict(blind).codes == test.targets).mean() < 0.8


def test_pictures_on_disk_give_the_same_trees_and_answers(tmp_path):
    data = examples()
    pixels = data.inputs["photo"]
    (tmp_path / "pixels.bin").write_bytes(pixels.tobytes())
    there = StoredArray(StoredFile(tmp_path / "pixels.bin", pixels.shape))
    stored = replace(data, inputs=data.inputs | {"photo": there})
    one, two = fit(data, limit=SHORT), fit(stored, limit=SHORT)
    np.testing.assert_array_equal(one.raw(data), two.raw(stored))


def test_every_label_is_learned_and_comes_back_the_same():
    data = examples(several=True)
    test = data.take(np.arange(700, 900))
    model = fit(data, "multilabel", limit=(SHORT,) * 3)
    assert ((model.predict(test).probs > 0.5) == test.targets).mean() > 0.95
    again = baseline_from_state("picture_boosting", *model.state())
    np.testing.assert_array_equal(again.raw(test), model.raw(test))
    assert model.limit == (msgspec.structs.replace(SHORT, rows=700),) * 3


def test_rows_are_as_few_as_time_allows_and_a_repeat_draws_the_same(monkeypatch):
    monkeypatch.setattr(module, "FEWEST_ROWS", 100)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 64)
    data = examples()
    short = fit(data, budget=Budget(20, clock=Ticks()))
    limit = msgspec.convert(msgspec.to_builtins(short.limit), Limit)
    assert 0 < limit.rows < 700
    assert not short.settled
    assert short.notes[0].endswith(f"was fitted on {limit.rows} of 700 rows, drawn at random.")
    again = fit(data, limit=limit)
    np.testing.assert_array_equal(again.raw(data), short.raw(data))
    assert (again.settled, again.notes, again.limit) == (False, short.notes, short.limit)


def test_rows_are_bounded_whatever_the_time(monkeypatch):
    monkeypatch.setattr(module, "MOST_ROWS", 300)
    model = fit(examples(), limit=5)
    assert model.limit.rows == 300
    assert (
        model.limit.members[0].learning_rate
        == module.PictureBoosting.menu.settings[0].learning_rate
    )


def test_rounds_are_bounded_whatever_the_time(monkeypatch):
    menu = replace(module.PictureBoosting.menu, most_rounds=5)
    monkeypatch.setattr(module.PictureBoosting, "menu", menu)
    data = examples()
    model = fit(data, validation=data.take(np.arange(700, 900)))
    assert model.limit.rounds <= 5
    assert model.settled


def test_rows_of_a_method_that_draws_none_are_a_mistake_of_the_plan():
    with pytest.raises(PlanError, match=r"baselines\.boosting has rows"):
        fit_baseline(
            "boosting",
            examples(),
            schema(),
            "classification",
            seed=0,
            budget=Budget(1),
            limit=Recipe((Member(),), rows=5),
        )
    with pytest.raises(PlanError, match="at least 0"):
        Recipe((Member(),), rows=-1)


def rivals(limits, budget=None, guaranteed=False):
    data = examples(300)
    parts = {"train": slice(0, 150), "validation": slice(150, 220), "calibration": slice(220, 300)}
    prepared = SimpleNamespace(
        schema=schema(), examples={k: data.take(np.arange(300)[s]) for k, s in parts.items()}
    )
    progress = Silent()
    task = build_task("classification", OutputSpec("classes", LABELS))
    options = {"seed": 0, "limits": limits, "progress": progress, "guaranteed": guaranteed}
    return fit_rivals(prepared, task, budget=budget or Budget(1e9), **options), progress.sentences


SOME = {"constant": 0, "linear": 3, "boosting": 3, "pictures": 3, "picture_kernel": 1}


def test_it_comes_last_with_the_smallest_weight():
    assert min(WEIGHTS.values()) == WEIGHTS["picture_boosting"]
    found, said = rivals({**SOME, "picture_boosting": SHORT})
    assert list(found.fitted)[-1] == "picture_boosting"
    assert (said, found.left_out) == ([], ())


def test_a_plan_that_lacks_it_does_without():
    found, said = rivals(SOME)
    assert list(found.fitted) == list(SOME)
    assert (said, found.left_out) == ([], ())


def test_it_is_not_begun_where_a_small_fit_takes_longer_than_its_share(monkeypatch):
    monkeypatch.setattr(BASELINES["picture_boosting"], "least_seconds", lambda *_: 1e12)
    found, said = rivals({**SOME, "picture_boosting": None})
    assert list(found.limits) == list(SOME)
    assert said == list(found.left_out)
    assert said[0].startswith("The baseline picture_boosting was not fitted: it would take at")
    found, said = rivals({**SOME, "picture_boosting": SHORT})  # a repeat minds no clock
    assert "picture_boosting" in found.fitted
    assert not said


@pytest.mark.parametrize("guaranteed", [False, True])
def test_where_no_clock_ends_the_run_others_take_none_of_its_time(guaranteed):
    # Every look at the clock costs a second, so that the five before it spend all 20 of the share.
    found, said = rivals({**SOME, "picture_boosting": None}, Budget(100, clock=Ticks()), guaranteed)
    assert ("picture_boosting" in found.fitted) == guaranteed
    assert bool(said) != guaranteed


def test_a_small_fit_takes_longer_with_more_classes_and_labels():
    data = examples()

    def least(task, count):
        statistics = CategoryStatistics(tuple(map(str, range(count))), (1,) * count)
        target = Field("y", "category", "target", "", statistics)
        return BASELINES["picture_boosting"].least_seconds(data, Schema(task, (target,)))

    assert least("classification", 30) == pytest.approx(10 * least("classification", 3))
    assert least("multilabel", 30) == pytest.approx(30 * least("classification", 2))
    assert BASELINES["pictures"].least_seconds(data, schema()) == 0
