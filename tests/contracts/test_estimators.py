"""FathomClassifier and FathomRegressor keep scikit-learn's conventions to the letter."""

import pickle
import pickletools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file
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
from pretrained_models import save_bert
from tones import tone_folder

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


def waves(count=60, channels=2):
    """Series (channels, time) of uneven length whose frequency is their class."""
    generator = np.random.default_rng(0)
    targets = np.arange(count) % 2
    series = []
    for target in targets:
        time = np.arange(generator.integers(24, 40)) * (0.2 + 0.4 * target)
        starts = generator.uniform(0, 6, (channels, 1))
        series.append(np.sin(time + starts) + generator.normal(0, 0.1, (channels, len(time))))
    return series, targets


def small(**options):
    settings = {"network.filters": 8, "network.kernel": 9} | options.pop("settings", {})
    return fathom.FathomClassifier(steps=40, random_state=0, settings=settings, **options)


def test_series_as_lists_and_arrays_mean_the_same():
    uneven, targets = waves()
    learned = small().fit(uneven, targets)
    assert [field.kind for field in learned.schema_.inputs] == ["series"]
    assert learned.n_features_in_ == 2
    assert learned.score(uneven, targets) > 0.9
    padded = np.full((len(uneven), 2, max(one.shape[1] for one in uneven)), np.nan)
    for row, one in zip(padded, uneven, strict=True):
        row[:, : one.shape[1]] = one
    said = learned.predict_proba(uneven)
    assert np.array_equal(said, learned.predict_proba(padded))
    assert np.array_equal(said, small().fit(padded, targets).predict_proba(uneven))
    assert np.array_equal(said, pickle.loads(pickle.dumps(learned)).predict_proba(uneven))  # noqa: S301
    bright = np.clip(np.nan_to_num(padded[:1]), 0, 1)[:, :, :6]  # by itself it would be a picture
    assert learned.predict(bright).shape == (1,)
    with pytest.raises(ValueError, match="expecting 2 features"):
        learned.predict([one[:1] for one in uneven])


def test_what_arrays_of_three_axes_are_can_be_said():
    uneven, targets = waves()
    even = np.stack([one[:, :24] for one in uneven])
    as_series, as_pictures = {"data.kinds.series": "series"}, {"data.kinds.image": "image"}

    def kinds(inputs, settings):
        quick = fathom.FathomClassifier(steps=1, settings=settings)
        return [field.kind for field in quick.fit(inputs, targets).schema_.inputs]

    assert kinds(even, None) == ["series"]
    assert kinds(np.clip(even, 0, 1)[:, :, :10], None) == ["image"]
    assert kinds(np.clip(even, 0, 1)[:, :, :10], as_series) == ["series"]
    assert kinds(np.clip(even, 0, 1), as_pictures) == ["image"]
    assert kinds(even[:, 0], None) == ["number"] * 24
    assert kinds(even[:, 0], as_series) == ["series"]
    assert kinds([one[0] for one in even], as_series) == ["series"]
    with pytest.raises(ValueError, match=r"X\.transpose\(0, 2, 1\)"):
        kinds(even.transpose(0, 2, 1), None)
    with pytest.raises(ValueError, match="channels × time"):
        kinds([one[: 1 + row % 2] for row, one in enumerate(uneven)], None)
    with pytest.raises(ValueError, match="a row for each step"):
        frame = pd.DataFrame({"id": range(60), "value": even[:, 0, 0]})
        kinds(frame, {"series_id": "id"})


def test_a_frame_of_texts_and_series():
    uneven, targets = waves(channels=1)
    words = np.where(targets, "a very good film", "a rather bad film")
    texts = [f"{word} number {row}" for row, word in enumerate(words)]
    for cells in ([one[0] for one in uneven], [pd.Series(one[0]) for one in uneven]):
        frame = pd.DataFrame({"said": texts, "series": cells, "noise": np.arange(60.0)})
        learned = fathom.FathomClassifier(steps=2, random_state=0).fit(frame, targets)
        kinds = {field.name: field.kind for field in learned.schema_.inputs}
        assert kinds == {"said": "text", "series": "series", "noise": "number"}
        assert learned.predict(frame[:3]).shape == (3,)
    alone = fathom.FathomClassifier(steps=20, random_state=0)
    assert cross_val_score(alone, texts, targets, cv=2).mean() > 0.9
    assert alone.fit(pd.Series(texts), targets).predict(texts[:2]).shape == (2,)


def test_sound_files_and_what_is_said_of_those_that_cannot_be_read(tmp_path):
    paths = [str(path) for path in sorted(tone_folder(tmp_path, 24).rglob("*.wav"))]
    targets = [Path(path).parent.name for path in paths]
    learned = fathom.FathomClassifier(steps=2, random_state=0).fit(
        pd.DataFrame({"file": paths}), targets
    )
    assert learned.schema_.inputs[0].kind == "audio"
    gone = [paths[0], str(tmp_path / "gone.wav")]
    with pytest.raises(ValueError, match=r"1 of 2 rows .* row 2: .*there is no such file"):
        learned.predict(pd.DataFrame({"file": gone}))
    with pytest.raises(ValueError, match="row 25"):
        fathom.FathomClassifier(steps=2).fit([*paths, gone[1]], [*targets, "low"])


def test_a_pretrained_start(tmp_path):
    pytest.importorskip("transformers")
    model = save_bert(tmp_path)
    texts = [f"the film was {('bad', 'good')[i % 2]} n{i}" for i in range(60)]
    targets = np.arange(60) % 2
    options = {"steps": 4, "random_state": 0, "pretrained": str(model)}
    whole = fathom.FathomClassifier(**options).fit(texts, targets)
    head = fathom.FathomClassifier(**options, settings={"tune": False}).fit(texts, targets)
    before = load_file(model / "model.safetensors").values()
    kept = {value.tobytes() for value in before}
    for learned, frozen in ((whole, False), (head, True)):
        weights = learned.network_.state_dict()
        body = [w.numpy().tobytes() for name, w in weights.items() if ".model." in name]
        assert all(w in kept for w in body) is frozen
        again = pickle.loads(pickle.dumps(learned))  # noqa: S301
        assert np.array_equal(again.predict_proba(texts), learned.predict_proba(texts))
    auto = fathom.FathomClassifier(pretrained=str(model), settings={"tune": False})
    assert auto.fit(texts, targets).score(texts, targets) > 0.9
    with pytest.raises(ValueError, match="leave one of them out"):
        fathom.FathomClassifier(**options, network="mlp").fit(texts, targets)
    with pytest.raises(ValueError, match="reads text"):
        fathom.FathomClassifier(**options).fit(np.zeros((60, 2)), targets)


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
