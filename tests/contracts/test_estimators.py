"""FathomClassifier and FathomRegressor keep scikit-learn's conventions to the letter."""

import pickle
import pickletools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fathom
from fathom.core.errors import ArtefactError
from fathom.data.infer import infer_schema
from fathom.data.raw import Raw
from fathom.data.repeats import find_repeats
from fathom.data.table import Table
from fathom.estimators import EXPECTED_FAILED_CHECKS
from fathom.estimators.holdout import set_aside

FEW = 30  # steps


@pytest.mark.slow
@parametrize_with_checks(
    [fathom.FathomClassifier(steps=40), fathom.FathomRegressor(steps=60)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILED_CHECKS,
)
def test_scikit_learn_finds_nothing_to_complain_of(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def people():
    generator = np.random.default_rng(0)
    n = 120
    frame = pd.DataFrame(
        {
            "age": generator.integers(18, 80, n),
            "town": pd.Categorical(generator.choice(["Ulm", "Bonn", "Kiel"], n)),
            "member": generator.random(n) < 0.5,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), "D"),
            "income": generator.normal(50, 10, n),
        }
    )
    frame.loc[::7, "income"] = np.nan
    frame.loc[3, "town"] = None
    return frame, np.where(frame["town"].isin(["Ulm"]) | (frame["age"] > 60), "yes", "no")


@pytest.fixture(scope="module")
def classifier(people):
    return fathom.FathomClassifier(steps=150, random_state=0).fit(*people)


def test_import_loads_neither_torch_nor_sklearn():
    code = (
        "import sys, fathom; fathom.__all__; "
        "assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_same_seed_gives_the_same_weights(iris):
    one, two, other = (
        fathom.FathomClassifier(steps=FEW, random_state=seed).fit(*iris) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.predict_proba(iris[0]), two.predict_proba(iris[0]))
    assert not np.array_equal(one.predict_proba(iris[0]), other.predict_proba(iris[0]))
    assert one.n_iter_ == FEW


def test_without_steps_the_data_says_how_many(iris):
    learned = fathom.FathomClassifier(random_state=0).fit(*iris)
    assert 50 < learned.n_iter_ < 500
    assert learned.score(*iris) > 0.9


def test_a_frame_with_texts_times_and_gaps(people, classifier):
    frame, targets = people
    assert list(classifier.classes_) == ["no", "yes"]
    assert classifier.score(frame, targets) > 0.85
    assert list(classifier.feature_names_in_) == list(frame.columns)
    kinds = {field.name: field.kind for field in classifier.schema_.inputs}
    assert kinds == {
        "age": "number",
        "town": "category",
        "member": "boolean",
        "since": "time",
        "income": "number",
    }
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(frame[frame.columns[::-1]])


def test_numbers_are_never_taken_for_names_of_rows():
    rows = np.arange(200.0)[:, None]
    learned = fathom.FathomRegressor(steps=300, random_state=0).fit(rows, 3 * rows[:, 0] + 1)
    assert learned.score(rows, 3 * rows[:, 0] + 1) > 0.9


def test_in_pipelines_cross_validation_and_searches(iris):
    pipeline = make_pipeline(StandardScaler(), fathom.FathomClassifier(steps=FEW, random_state=0))
    assert cross_val_score(pipeline, *iris, cv=2).mean() > 0.7
    search = GridSearchCV(
        fathom.FathomClassifier(steps=FEW, random_state=0),
        {"settings": [{"network.depth": 1}, {"network.depth": 2}]},
        cv=2,
        error_score="raise",
    ).fit(*iris)
    assert search.best_estimator_.network_ is not None
    copy = clone(search.best_estimator_)
    with pytest.raises(NotFittedError):
        copy.predict(iris[0])


def test_plan_keys_are_checked(iris):
    with pytest.raises(ValueError, match="depth"):
        fathom.FathomClassifier(steps=FEW, settings={"network.dept": 3}).fit(*iris)
    with pytest.raises(ValueError, match="no optimizer"):
        fathom.FathomClassifier(steps=FEW, optimizer="adamm").fit(*iris)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"steps": 0}, "^steps is 0"),
        ({"steps": -3}, "^steps is -3"),
        ({"steps": 2.5}, "^steps is 2.5"),
        ({"steps": "many"}, "^steps is 'many'"),
        ({"settings": ["a"]}, "^settings is"),
    ],
)
def test_parameters_are_refused_by_their_own_names(iris, options, named):
    with pytest.raises(ValueError, match=named):
        fathom.FathomClassifier(**{"steps": FEW} | options).fit(*iris)


def test_columns_of_one_name_are_refused():
    frame = pd.DataFrame(np.zeros((60, 2)), columns=["a", "a"])
    for same in (frame, frame.astype(str)):
        with pytest.raises(ValueError, match="more than one column named 'a'"):
            fathom.FathomClassifier(steps=FEW).fit(same, np.arange(60) % 2)


def test_a_pickle_holds_no_network_and_no_code(people, classifier):
    frame, _ = people
    content = pickle.dumps(classifier)
    for opcode, argument, _ in pickletools.genops(content):
        if "GLOBAL" in opcode.name or opcode.name == "SHORT_BINUNICODE":
            assert not str(argument).startswith("torch")
    again = pickle.loads(content)  # noqa: S301
    assert np.array_equal(again.predict_proba(frame), classifier.predict_proba(frame))
    assert again.model_.trust == classifier.model_.trust


def test_a_damaged_pickle_is_refused(classifier):
    state = classifier.__getstate__()
    bundle = state["bundle"]
    weights = bytearray(bundle["model.safetensors"])
    weights[-1] ^= 1
    for damaged in (
        bundle | {"model.safetensors": bytes(weights)},
        bundle | {"model.json": b"{}"},
        {},
    ):
        with pytest.raises(ArtefactError, match="pickled estimator"):
            fathom.FathomClassifier().__setstate__(state | {"bundle": damaged})


def test_what_cannot_be_learned_from_is_said_as_scikit_learn_says_it(iris):
    estimator = fathom.FathomClassifier(steps=FEW)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        estimator.fit(csr_matrix(iris[0]), iris[1])
    with pytest.raises(ValueError, match="infinity"):
        estimator.fit(pd.DataFrame({"a": [1.0, np.inf] * 10, "b": ["x", "y"] * 10}), [0, 1] * 10)
    with pytest.raises(ValueError, match="inconsistent"):
        estimator.fit(pd.DataFrame({"b": ["x", "y"] * 10}), [0, 1])
    with pytest.raises(ValueError, match="one class"):
        estimator.fit(iris[0], np.zeros(150))


def test_pictures():
    pixels, targets = load_digits(return_X_y=True)
    pictures = (pixels[:300].reshape(-1, 8, 8) * 15).astype(np.uint8)
    learned = fathom.FathomClassifier(steps=FEW, random_state=0).fit(pictures, targets[:300])
    assert learned.schema_.inputs[0].kind == "image"
    assert learned.n_features_in_ == 64
    assert learned.score(pictures, targets[:300]) > 0.3  # 30 steps; chance is 0.1
    with pytest.raises(ValueError, match="64 features"):
        learned.predict(pictures[:, :7])


def test_numbers_in_their_own_units():
    inputs, targets = load_diabetes(return_X_y=True)
    learned = fathom.FathomRegressor(steps=100, random_state=0).fit(inputs, targets)
    assert learned.score(inputs, targets) > 0.3
    assert learned.history_


def parted(frame, targets, fraction):
    raw = Raw("The data", "", Table({**frame, "target": pd.Series(targets)}), target="target")
    schema = infer_schema(raw, task="classification", kinds={})
    repeats = find_repeats(raw, schema, seed=0)
    return set_aside(raw, schema, repeats, fraction, seed=0, calibrate=True)


def test_held_out_rows_are_stratified_and_spare_the_last_of_a_class():
    targets = np.array([0] * 80 + [1] * 20 + [2])
    frame = {"x": pd.Series(np.random.default_rng(0).normal(size=101))}
    splits = parted(frame, targets, 0.3)
    parts = [splits.train, splits.validation, splits.calibration]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(101))
    assert set(targets[splits.train]) == {0, 1, 2}
    assert abs(np.bincount(targets[splits.validation])[:2] - [16, 4]).max() <= 1
    assert abs(np.bincount(targets[splits.calibration])[:2] - [8, 2]).max() <= 1
    assert len(parted(frame, targets, 0.0).train) == 101


def test_copies_and_near_duplicates_are_not_held_out_from_each_other(monkeypatch):
    generator = np.random.default_rng(0)
    own = generator.normal(size=(100, 6)).round(3)
    jittered = own[:50].copy()
    jittered[:, 0] += 1e-4
    inputs = np.concatenate([own, own[50:], jittered])  # each row stands twice
    targets = (inputs[:, 1] > 0).astype(int)
    found = []

    def noted(*arguments, **options):
        found.append(set_aside(*arguments, **options))
        return found[-1]

    monkeypatch.setattr("fathom.estimators.learning.set_aside", noted)
    fathom.FathomClassifier(steps=2, random_state=0, validation_fraction=0.3).fit(inputs, targets)
    (splits,) = found
    assert len(splits.validation) > 20
    assert len(splits.calibration) > 10
    original = np.concatenate([np.arange(100), np.arange(50, 100), np.arange(50)])
    for part in (splits.train, splits.validation, splits.calibration):
        assert (np.bincount(original[part], minlength=100) % 2 == 0).all()


def test_rows_that_are_all_alike_are_all_learned_from():
    inputs = np.tile([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], (40, 1))
    learned = fathom.FathomClassifier(steps=FEW, random_state=0).fit(inputs, [0, 1] * 40)
    assert learned.score(inputs, [0, 1] * 40) == 1.0
