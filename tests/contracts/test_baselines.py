"""`check_baseline`: what every registered baseline promises, over each kind of data it takes."""

import warnings
from functools import cache

import msgspec
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load, save
from scipy.special import softmax

from fathom.baselines import (
    BASELINES,
    Limit,
    applicable,
    baseline_from_state,
    fit_baseline,
)
from fathom.baselines.base import loss
from fathom.baselines.recipe import Member, Recipe
from fathom.baselines.tuning import AVERAGED, HURRIED
from fathom.core.blocks import PADDING_SAMPLE
from fathom.core.budget import Budget
from fathom.core.errors import DataError, PlanError
from fathom.core.examples import Examples
from fathom.core.prediction import ClassPrediction, NumberPrediction
from fathom.core.predictor import Predictor
from fathom.core.ragged import Ragged
from fathom.core.schema import (
    AudioStatistics,
    CategoryStatistics,
    Field,
    NumberStatistics,
    Schema,
)
from fathom.data.sound_files import as_samples
from fathom.data.texts import as_written

LABELS = ("ham", "spam", "other")


SOUND = AudioStatistics(4_000, 1_600, 1_200, (-6.0,) * 40, (3.0,) * 40)


def fields(kinds):
    learned = {"audio": SOUND}
    return tuple(Field(f"{k} column", k, "input", "", learned.get(k)) for k in kinds)


def make_schema(task, kinds, labels):
    if task == "classification":
        statistics = CategoryStatistics(labels, (1,) * len(labels))
        target = Field("target", "category", "target", "", statistics)
    else:
        target = Field("target", "number", "target", "", NumberStatistics(0.0, 1.0, -1.0, 1.0, 0))
    return Schema(task, (*fields(kinds), target))


def scalars(n, generator):
    numbers = generator.normal(size=(n, 3)).astype(np.float32)
    categories = generator.integers(1, 6, size=(n, 2))
    signal = 2 * numbers[:, 0] + 1.5 * (categories[:, 0] % 2) - numbers[:, 1] ** 2
    numbers[generator.random(numbers.shape) < 0.1] = np.nan
    categories[generator.random(categories.shape) < 0.1] = 0
    return {"numbers": numbers, "categories": categories}, signal


def pictures(n, generator):
    # A bright bar, lying or standing, whose brightness is the number.
    brightness = generator.uniform(60, 255, n)
    canvas = generator.uniform(0, 40, size=(n, 3, 12, 16))
    upright = generator.random(n) < 0.5
    canvas[upright, :, 2:10, 6:9] += brightness[upright, None, None, None]
    canvas[~upright, :, 5:8, 2:14] += brightness[~upright, None, None, None]
    signal = np.where(upright, 1.0, -1.0) * brightness / 128
    return {"image column": np.clip(canvas, 0, 255).astype(np.uint8)}, signal


def texts(n, generator):
    # The more often it is praised, the higher the number; some say nothing.
    praise = generator.integers(0, 6, n)
    said = [["good", "fine", "very good"][k % 3] for k in range(n)]
    written = [" ".join(["it is", *[said[i]] * praise[i], "by far"]) for i in range(n)]
    written[0] = ""
    praise[0] = 0
    return as_written(pd.Series(written)), praise.astype(float) - 2.5


def waves(n, generator):
    # A bump somewhere in noise, upwards or downwards in the second channel; of uneven length.
    lengths = generator.integers(20, 60, n)
    signal = generator.normal(size=n)
    rows = []
    for length, height in zip(lengths, signal, strict=True):
        row = 0.3 * generator.normal(size=(length, 2))
        start = generator.integers(0, length - 10)
        row[start : start + 10, 1] += 2 * height * np.hanning(10)
        row[generator.random(row.shape) < 0.05] = np.nan
        rows.append(row)
    return Ragged.of(rows, np.nan, np.float32, 2), signal


def sounds(n, generator):
    """Tones of 0.2 to 0.4 seconds at 4,000 samples a second: the higher, the larger the number."""
    hertz = generator.uniform(300, 1_500, n)
    rows = [
        as_samples(0.3 * np.sin(2 * np.pi * pitch * np.arange(length) / 4_000))
        for pitch, length in zip(hertz, generator.integers(800, 1_600, n), strict=True)
    ]
    return Ragged.of(rows, PADDING_SAMPLE, np.int16), (hertz - 900) / 300


def make(case, n=700, seed=0):
    """(examples, schema, task name) for a case such as 'mixed regression'."""
    kind, task, *classes = case.split()
    generator = np.random.default_rng(seed)
    inputs, signal, kinds, written = {}, np.zeros(n), [], {}
    if kind in {"texts", "notes", "medley"}:
        words, signal = texts(n, generator)
        inputs, written, kinds = {"text column": words}, {"text column": words}, ["text"]
    if kind in {"waves", "records", "medley"}:
        series, part = waves(n, generator)
        inputs, signal = inputs | {"series column": series}, signal + part
        kinds = [*kinds, "series"]
    if kind in {"sounds", "calls", "medley"}:
        heard, part = sounds(n, generator)
        inputs, signal = inputs | {"audio column": heard}, signal + part
        kinds = [*kinds, "audio"]
    if kind in {"notes", "records", "calls"}:
        table, part = scalars(n, generator)
        inputs, signal, kinds = inputs | table, signal + part, [*kinds, "number", "category"]
    if kind in {"table", "mixed"}:
        table, part = scalars(n, generator)
        inputs, signal, kinds = table, part, ["number", "category"]
    if kind in {"pictures", "mixed", "medley"}:
        photos, part = pictures(n, generator)
        inputs, signal, kinds = inputs | photos, signal + part, [*kinds, "image"]
    labels = LABELS[: int(classes[0])] if classes else ()
    targets = 1000 + 50 * signal
    if labels:
        cuts = np.quantile(signal, np.arange(1, len(labels)) / len(labels))
        targets = np.digitize(signal, cuts)
    return Examples(inputs, targets, np.arange(n), written), make_schema(task, kinds, labels), task


TASKS = ("classification 2", "classification 3", "regression")
CASES = [
    f"{kind} {task}" for kind in ("table", "pictures", "texts", "waves", "sounds") for task in TASKS
]
# What stands beside columns is the same for every task.
CASES += [f"{kind} classification 3" for kind in ("mixed", "notes", "records", "calls")]
RUNS = [(name, case) for case in CASES for name in applicable(make(case, 20)[1])]
RUNS.append(("mixture", "medley classification 3"))
# The same worker runs all tests of a pair, which share its fit.
GROUPED = [pytest.param(*run, marks=pytest.mark.xdist_group(" ".join(run))) for run in RUNS]


@pytest.fixture(autouse=True)
def _short_on_features(request):
    """Boosting itself is driven by tables; on features of sound and texts few rounds are enough."""
    if "audio" in request.node.name or "mixture" in request.node.name:
        request.getfixturevalue("few_rounds")


@cache
def fit(name, case, seconds=20.0, **options):
    examples, schema, task = make(case)
    train, validation = examples.take(np.arange(450)), examples.take(np.arange(450, 600))
    options = {"seed": 7, "budget": Budget(seconds), "validation": validation} | options
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        baseline = fit_baseline(name, train, schema, task, **options)
    return baseline, examples.take(np.arange(600, 700))


def count(limit):
    return limit if isinstance(limit, int) else limit.rounds


def values(prediction):
    return prediction.probs if isinstance(prediction, ClassPrediction) else prediction.values


def test_every_registered_baseline_is_driven_here():
    assert {name for name, _ in RUNS} == set(BASELINES)


def test_applicable_follows_the_kinds():
    def names(*kinds):
        return applicable(make_schema("regression", kinds, ()))

    of_pictures = ["pictures", "picture_kernel", "picture_boosting"]
    assert names("text") == ["constant", "texts"]
    assert names("text", "time") == ["constant", "linear", "boosting", "texts", "mixture"]
    assert names("series") == ["constant", "series"]
    assert names("audio") == ["constant", "audio"]
    assert names("tokens") == ["constant"]
    assert names("boolean", "time") == ["constant", "linear", "boosting"]
    assert names("image") == ["constant", *of_pictures]
    scalar = ["linear", "boosting"]
    assert names("image", "number") == ["constant", *scalar, *of_pictures]
    assert names("image", "text") == ["constant", "texts", *of_pictures, "mixture"]
    assert names("series", "audio") == ["constant", "series", "audio", "mixture"]


@pytest.mark.parametrize(("name", "case"), GROUPED)
class TestCheckBaseline:
    def test_predicts_well_formed_and_better_than_the_constant(self, name, case):
        baseline, test = fit(name, case)
        prediction = baseline.predict(test)
        assert isinstance(baseline, Predictor)
        assert baseline.name == name
        assert len(prediction) == len(test)
        assert np.isfinite(values(prediction)).all()
        if baseline.labels:
            assert prediction.labels == baseline.labels
            assert prediction.probs.shape == (len(test), len(baseline.labels))
            assert prediction.probs.dtype == np.float64
            np.testing.assert_allclose(prediction.probs.sum(axis=1), 1.0, atol=1e-12)
        else:
            assert isinstance(prediction, NumberPrediction)
        if name != "constant":
            constant, _ = fit("constant", case)
            ours = loss(baseline.raw(test), test.targets, baseline.labels)
            least = loss(constant.raw(test), test.targets, constant.labels)
            assert ours < 0.9 * least

    def test_state_is_arrays_and_json_and_gives_it_back_exactly(self, name, case):
        baseline, test = fit(name, case)
        arrays, config = baseline.state()
        arrays = load(save({k: np.ascontiguousarray(a) for k, a in arrays.items()}))
        config = msgspec.json.decode(msgspec.json.encode(config))
        again = baseline_from_state(name, arrays, config)
        np.testing.assert_array_equal(values(again.predict(test)), values(baseline.predict(test)))
        assert (again.limit, again.notes) == (baseline.limit, baseline.notes)
        assert (again.settled, again.temperature) == (baseline.settled, baseline.temperature)

    def test_a_temperature_changes_how_sure_it_is_and_nothing_else(self, name, case):
        baseline, test = fit(name, case)
        before = baseline.predict(test)
        soft = baseline.calibrated(2.5)
        after = soft.predict(test)
        assert baseline.temperature == 1.0
        if not baseline.labels:
            np.testing.assert_array_equal(after.values, before.values)
            return
        expected = softmax(np.log(before.probs) / 2.5, axis=1)
        np.testing.assert_allclose(after.probs, expected, rtol=1e-9)
        np.testing.assert_array_equal(after.codes, before.codes)
        again = baseline_from_state(name, *soft.state())
        np.testing.assert_array_equal(again.predict(test).probs, after.probs)
        np.testing.assert_array_equal(soft.calibrated(1.0).predict(test).probs, before.probs)

    def test_a_limit_that_is_too_small_is_a_mistake_of_the_plan(self, name, case):
        if name == "constant":
            assert fit.__wrapped__(name, case, limit=0)[0].limit == 0
            return
        with pytest.raises(PlanError, match=rf"baselines\.{name} is 0; it must be at least 1"):
            fit.__wrapped__(name, case, limit=0)

    def test_seed_and_limit_make_it_the_same_whatever_the_clock(self, name, case):
        baseline, test = fit(name, case)
        again, _ = fit.__wrapped__(name, case, seconds=1e-9, limit=baseline.limit)
        assert again.limit == baseline.limit
        np.testing.assert_array_equal(values(again.predict(test)), values(baseline.predict(test)))

    def test_stops_early_and_still_predicts_when_there_is_no_time(self, name, case):
        whole, _ = fit(name, case)
        hurried, test = fit(name, case, seconds=1e-9)
        assert count(hurried.limit) <= count(whole.limit)
        assert np.isfinite(values(hurried.predict(test))).all()

    def test_neither_fitting_nor_predicting_warns(self, name, case):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            baseline, test = fit(name, case)  # which warnings would end
            baseline.predict(test)

    def test_does_without_validation(self, name, case):
        baseline, test = fit(name, case, validation=None)
        assert np.isfinite(values(baseline.predict(test))).all()

    def test_unseen_and_missing_values_are_predicted(self, name, case):
        baseline, test = fit(name, case)
        strange = dict(test.inputs)
        if "numbers" in strange:
            strange["numbers"] = np.full_like(strange["numbers"], np.nan)
            strange["categories"] = strange["categories"] * 0 + np.array([0, 99])
        if "image column" in strange:
            strange["image column"] = np.zeros_like(strange["image column"])
        unheard = ["", "ψ", *["nothing that was ever said"] * (len(test) - 2)]
        written = {name: as_written(pd.Series(unheard)) for name in test.written}
        prediction = baseline.predict(Examples(strange, None, test.rows, written))
        assert np.isfinite(values(prediction)).all()

    def test_a_row_is_predicted_alike_alone_and_among_others(self, name, case):
        baseline, test = fit(name, case)
        together = values(baseline.predict(test))
        alone = np.concatenate([values(baseline.predict(test.take([i]))) for i in range(5)])
        np.testing.assert_allclose(alone, together[:5], rtol=1e-5, atol=1e-6)
        assert len(baseline.predict(test.take(np.arange(0)))) == 0


class Ticks:
    """A clock that is a second further whenever it is read."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


TITLES = {
    "linear": "The linear model",
    "boosting": "Gradient boosting",
    "pictures": "The linear model on picture features",
    "picture_kernel": "The kernel model on picture features",
    "picture_boosting": "Gradient boosting on picture features",
}


@pytest.mark.parametrize("name", TITLES)
@pytest.mark.parametrize("case", ["mixed classification 2", "mixed classification 3"])
def test_a_fit_that_the_budget_cut_short_says_so(name, case):
    whole, _ = fit(name, case)
    short, _ = fit.__wrapped__(name, case, budget=Budget(15, clock=Ticks()), validation=None)
    assert whole.settled
    assert not any("time budget" in note for note in whole.notes)
    if name.endswith("boosting"):
        assert not short.settled
        assert 5 <= count(short.limit) < count(whole.limit) + 30
    assert short.settled != any(
        note.startswith(f"{TITLES[name]} was stopped by the time budget")
        and f" {count(short.limit)} rounds" in note
        for note in short.notes
    )
    assert baseline_from_state(name, *short.state()).settled == short.settled
    if name.endswith(
        "boosting"
    ):  # its limit is written into the plan, and a repeat is no less hurried
        limit = msgspec.convert(msgspec.to_builtins(short.limit), Limit)
        again, _ = fit.__wrapped__(name, case, limit=limit)
        assert (again.settled, again.notes) == (short.settled, short.notes)
        assert again.limit == short.limit


def test_a_rare_class_is_not_lost_where_rows_are_drawn(monkeypatch):
    monkeypatch.setattr("fathom.baselines.boosting.MOST_CELLS", 200)
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(3000, 2)).astype(np.float32)
    targets = (np.arange(3000) == 1700).astype(np.int64)
    train = Examples({"numbers": numbers}, targets, np.arange(3000))
    model = BASELINES["boosting"].fit(
        train,
        make_schema("classification", ["number"], LABELS[:2]),
        "classification",
        seed=0,
        budget=Budget(20),
        limit=3,
    )
    assert model.classes.tolist() == [0, 1]


def test_a_clock_that_runs_out_stops_boosting_between_rounds():
    fits = [
        fit.__wrapped__("boosting", "table regression", budget=Budget(seconds, clock=Ticks()))[0]
        for seconds in (1, 60, 1e9)
    ]
    first, second, whole = [model.limit.members for model in fits]
    assert [m.rounds for m in first] == [5]
    assert len(second) == 1
    assert second[0].rounds > 5
    assert second[0].learning_rate == HURRIED.learning_rate
    assert len(whole) == AVERAGED
    assert [model.settled for model in fits] == [False, False, True]


def test_settings_that_are_better_on_validation_are_chosen_and_averaged():
    examples, schema, task = make("table regression", n=900)
    train, validation = examples.take(np.arange(450)), examples.take(np.arange(450, 900))

    def fitted(limit=None):
        options = {"seed": 7, "budget": Budget(1e9), "limit": limit, "validation": validation}
        return fit_baseline("boosting", train, schema, task, **options)

    def error(model):
        return loss(model.raw(validation), validation.targets, ())

    tuned = fitted()
    alone = [fitted(Recipe((member,))) for member in tuned.limit.members]
    errors = [error(model) for model in alone]
    assert errors == sorted(errors)
    plain = min(error(fitted(rounds)) for rounds in (20, 40, 80))
    assert error(tuned) < plain
    mean = np.mean([model.raw(validation) for model in alone], axis=0)
    np.testing.assert_allclose(tuned.raw(validation), mean, rtol=1e-12)


def test_a_temperature_must_be_above_zero():
    baseline, _ = fit("linear", "table classification 2")
    for wrong in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="above zero"):
            baseline.calibrated(wrong)


@pytest.mark.parametrize("name", list(BASELINES))
def test_a_class_that_training_lacks_is_impossible_not_an_error(name):
    kind = {"texts": "texts", "mixture": "notes", "series": "waves"}.get(name, "mixed")
    examples, schema, task = make(f"{kind} classification 3")
    train = examples.take(examples.targets != 1)
    baseline = fit_baseline(
        name, train, schema, task, seed=0, budget=Budget(20), validation=examples
    )
    probs = baseline.predict(examples).probs
    assert (probs[:, 1] == 0).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1.0, atol=1e-12)


@pytest.mark.parametrize("name", ["linear", "boosting"])
def test_columns_without_a_value_do_no_harm(name):
    examples, schema, task = make("table classification 2")
    inputs = dict(examples.inputs)
    inputs["numbers"] = np.column_stack([inputs["numbers"], np.full(700, np.nan, np.float32)])
    inputs["categories"] = np.column_stack([inputs["categories"], np.zeros(700, np.int64)])
    empty = Examples(inputs, examples.targets, examples.rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        baseline = fit_baseline(name, empty, schema, task, seed=0, budget=Budget(20))
    assert np.isfinite(baseline.predict(empty).probs).all()


def test_nothing_to_learn_is_the_users_mistake():
    examples, schema, task = make("table classification 2")
    one = examples.take(examples.targets == 1)
    with pytest.raises(DataError, match="Only one class"):
        fit_baseline("linear", one, schema, task, seed=0, budget=Budget(1))
    none = Examples(examples.inputs, None, examples.rows)
    with pytest.raises(DataError, match="target is known"):
        fit_baseline("boosting", none, schema, task, seed=0, budget=Budget(1))
    with pytest.raises(PlanError, match="Did you mean 'linear'"):
        fit_baseline("liner", examples, schema, task, seed=0, budget=Budget(1))


def test_a_number_in_a_plan_is_so_many_rounds_of_the_default_settings():
    by_number, test = fit.__wrapped__("boosting", "table regression", limit=12)
    by_recipe, _ = fit.__wrapped__("boosting", "table regression", limit=Recipe((Member(12),)))
    assert by_number.limit == by_recipe.limit == Recipe((Member(12),))
    np.testing.assert_array_equal(by_number.raw(test), by_recipe.raw(test))


def test_a_recipe_that_cannot_be_grown_is_a_mistake_of_the_plan():
    with pytest.raises(PlanError, match=r"max_leaf_nodes 200; it must be 2 to 64"):
        Member(rounds=5, max_leaf_nodes=200)
    with pytest.raises(PlanError, match="no members"):
        Recipe(())
    with pytest.raises(PlanError, match=r"baselines\.linear is a recipe"):
        fit.__wrapped__("linear", "table regression", limit=Recipe((Member(5),)))
