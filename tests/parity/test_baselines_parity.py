"""Our NumPy predictions against scikit-learn's own, and HOG against its definition."""

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_info, threadpool_limits

from fathom.baselines import fit_baseline, picture_cache
from fathom.baselines.base import probabilities
from fathom.baselines.codes import CategoryCodes
from fathom.baselines.growth import LARGE_CELLS, PROBE_ROWS, _quicker
from fathom.baselines.kernel_ridge import Expansion, Landmarks, Products
from fathom.baselines.linear import ScalarEncoder
from fathom.baselines.picture_cache import features_of, made_once, shared_features
from fathom.baselines.picture_features import PIXELS_PER_CHUNK, colours, describe, hog
from fathom.baselines.picture_reduction import Reduction
from fathom.baselines.recipe import SETTINGS, Member, Recipe
from fathom.baselines.trees import Forest, from_sklearn
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.schema import CategoryStatistics, Field, Schema


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1):
        yield


def table(n, seed):
    """Three category columns (2, 5 and 200 codes), three number columns, everything with holes."""
    generator = np.random.default_rng(seed)
    categories = np.column_stack([generator.integers(0, k, n) for k in (2, 5, 200)])
    numbers = generator.normal(size=(n, 3))
    numbers[:, 1] = np.round(numbers[:, 1])  # values that fall on thresholds exactly
    signal = categories[:, 1] % 2 + numbers[:, 0] * (categories[:, 2] % 7 > 3) + numbers[:, 1]
    numbers[generator.random(numbers.shape) < 0.15] = np.nan
    numbers[0] = [np.inf, -np.inf, 0.0]
    return categories, numbers, signal


def matrix(categories, numbers, codes):
    coded = np.where(categories >= codes, np.nan, categories)
    return np.concatenate([coded, numbers], axis=1)


@pytest.mark.parametrize("leaves", [4, 31, 64])
@pytest.mark.parametrize("classes", [0, 2, 4])
def test_trees_predict_as_scikit_learn_does(classes, leaves):
    categories, numbers, signal = table(3000, 0)
    codes = np.array([2, 5, 200])
    options = {
        "max_iter": 90,
        "max_leaf_nodes": leaves,
        "categorical_features": [0, 1, 2],
        "early_stopping": False,
    }
    if classes:
        targets = np.digitize(signal, np.quantile(signal, np.arange(1, classes) / classes))
        estimator = HistGradientBoostingClassifier(**options)
    else:
        targets, estimator = 50 + 10 * signal, HistGradientBoostingRegressor(**options)
    estimator.fit(matrix(categories, numbers, codes), targets)
    forest = Forest(from_sklearn(estimator._predictors), codes)

    categories, numbers, _ = table(2500, 1)
    categories[::7] = codes  # missing or unknown
    numbers[::11] = np.nan
    raw = forest.sums(categories, numbers) + estimator._baseline_prediction.reshape(-1)
    reference = matrix(categories, numbers, codes)
    if classes:
        expected, ours = estimator.predict_proba(reference), probabilities(raw)
    else:
        expected, ours = estimator.predict(reference), raw[:, 0]
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-11)
    by_iteration = forest.contributions(categories, numbers)
    assert by_iteration.shape == (2500, 90, max(1, classes if classes > 2 else 1))
    np.testing.assert_allclose(
        by_iteration.sum(axis=1), forest.sums(categories, numbers), atol=1e-11
    )
    half = Forest(forest.trees.first(forest.trees.count // 2), codes)
    np.testing.assert_allclose(
        half.sums(categories, numbers), by_iteration[:, :45].sum(axis=1), atol=1e-11
    )


@pytest.mark.parametrize("classes", [0, 2, 3])
def test_watching_and_threads_do_not_change_a_tree(classes, monkeypatch):
    # Over 10,000 rows, of which scikit-learn draws a sample for whoever watches.
    categories, numbers, signal = table(12_000, 4)
    inputs = {"numbers": numbers[1:].astype(np.float32), "categories": categories[1:] + 1}
    targets = signal[1:]
    if classes:
        targets = np.digitize(targets, np.quantile(targets, np.arange(1, classes) / classes))
    examples = Examples(inputs, targets, np.arange(11_999))
    train, validation = examples.take(np.arange(11_000)), examples.take(np.arange(11_000, 11_999))
    target = Schema("regression", (Field("y", "number", "target", ""),))

    def fit(threads, **options):
        monkeypatch.setattr("fathom.baselines.growth._quicker", lambda *_: threads)
        return fit_baseline(
            "boosting",
            train,
            schema("abc"[:classes]) if classes else target,
            "classification" if classes else "regression",
            seed=0,
            **options,
        )

    monkeypatch.setattr("fathom.baselines.tuning.SETTINGS", SETTINGS[:3])
    monkeypatch.setattr("fathom.baselines.growth.MOST_ROUNDS", 15)
    watched = fit(1, budget=Budget(600), validation=validation)
    assert watched.settled
    plain = fit(2, budget=Budget(1e-9), limit=watched.limit)
    assert watched.limit == plain.limit
    assert len(watched.limit.members) == 2
    for name, array in watched.trees.arrays().items():
        np.testing.assert_array_equal(array, plain.trees.arrays()[name], err_msg=name)


@pytest.mark.parametrize("slow", [1, 2])
def test_a_large_table_is_grown_with_the_quicker_number_of_threads(slow, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("fathom.baselines.growth.time.perf_counter", lambda: now[0])

    class Trial:
        def fit(self, inputs, targets):
            assert len(inputs) == len(targets) <= 2 * PROBE_ROWS
            pools = [p["num_threads"] for p in threadpool_info() if p["user_api"] == "openmp"]
            now[0] += 10.0 if max(pools) == slow else 1.0

    inputs = np.zeros((LARGE_CELLS // 2 + 1, 2))
    with threadpool_limits(2, "openmp"):
        chosen = _quicker(Trial(), inputs, inputs[:, 0])
        assert chosen == {1: None, 2: 1}[slow]
        assert _quicker(None, inputs[:-1], inputs[:-1, 0]) == 1  # small: no trial


def test_category_codes_keep_the_frequent_and_merge_the_rare():
    generator = np.random.default_rng(0)
    column = np.concatenate([[0, 0], np.repeat(np.arange(2, 202), 5), np.arange(202, 402)])
    codes = CategoryCodes.learn(generator.permutation(column)[:, None])
    new = codes.apply(np.arange(500)[:, None])[:, 0]
    assert codes.known[0] == 254
    assert len(np.unique(new[2:202])) == 200  # the frequent keep a code each
    assert np.bincount(new[202:402]).max() == 400 - 253  # the rarest share one
    assert (new[[0, 1, 402, 499]] == 254).all()  # missing, or never seen


def test_linear_prediction_is_the_encoded_row_times_the_weights():
    categories, numbers, signal = table(800, 2)
    inputs = {"numbers": numbers[1:].astype(np.float32), "categories": categories[1:]}
    examples = Examples(inputs, (signal[1:] > 0).astype(np.int64), np.arange(799))
    baseline = fit_baseline(
        "linear", examples, schema("ab"), "classification", seed=0, budget=Budget(20)
    )
    encoded = baseline.encoder.encode(inputs["numbers"], inputs["categories"])
    np.testing.assert_allclose(baseline.raw(examples), baseline.weights.apply(encoded), atol=1e-10)
    reference = LogisticRegression(C=1.0, max_iter=2000, tol=1e-8).fit(encoded, examples.targets)
    expected = reference.predict_proba(encoded)
    np.testing.assert_allclose(baseline.predict(examples).probs, expected, atol=0.01)


def test_scalar_encoder_standardises_and_marks_what_is_missing():
    numbers = np.array([[1.0, 5.0], [3.0, np.nan], [5.0, 7.0]], dtype=np.float32)
    encoder = ScalarEncoder.learn(numbers, np.array([[2], [3], [0]]))
    encoded = encoder.encode(numbers, np.array([[2], [3], [77]]))
    unit = np.sqrt(8 / 3)
    expected = [
        [-2 / unit, -1, 0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0, 0, 1],
        [2 / unit, 1, 0, 0, 1, 0, 0],
    ]
    np.testing.assert_allclose(encoded, expected, atol=1e-6)


def test_sparse_and_dense_encodings_are_the_same(monkeypatch):
    categories, numbers, _ = table(300, 3)
    encoder = ScalarEncoder.learn(numbers[1:], categories[1:])
    dense = encoder.encode(numbers[1:], categories[1:])
    monkeypatch.setattr("fathom.baselines.linear.MOST_DENSE", 0)
    sparse = encoder.encode(numbers[1:], categories[1:])
    np.testing.assert_array_equal(sparse.toarray(), dense)


@pytest.mark.parametrize("degrees", [10, 50, 90, 130, 170])
def test_hog_votes_for_the_direction_of_the_edge(degrees):
    height, width = np.mgrid[0:28, 0:28]
    ramp = np.cos(np.radians(degrees)) * width + np.sin(np.radians(degrees)) * height
    picture = ((ramp - ramp.min()) / np.ptp(ramp)) ** 2  # the square root is a plain ramp
    features = hog(picture[None, None].astype(np.float32)).reshape(6, 6, 4, 9)
    assert (features[1:-1, 1:-1].argmax(axis=-1) == int(degrees // 20)).all()


def test_hog_does_not_see_brightness_and_fits_every_size():
    generator = np.random.default_rng(0)
    picture = generator.random((2, 3, 32, 40)).astype(np.float32)
    np.testing.assert_allclose(hog(picture), hog(0.5 * picture), atol=0.01)
    for shape in ((1, 1, 1), (1, 2, 3), (3, 8, 8), (1, 28, 28), (3, 64, 64), (3, 65, 97)):
        pictures = generator.integers(0, 256, (3, *shape), dtype=np.uint8)
        features = describe(pictures)
        assert features.dtype == np.float32
        assert np.isfinite(features).all()
        np.testing.assert_array_equal(describe(pictures[1:2])[0].shape, features[1].shape)


def test_of_several_channels_the_steepest_counts_at_each_pixel():
    generator = np.random.default_rng(0)
    channel = generator.random((2, 1, 24, 24)).astype(np.float32)
    flat = np.full_like(channel, 0.5)
    halves = np.concatenate([channel, flat], axis=1)
    halves[..., 12:] = halves[:, ::-1, :, 12:]  # the left in one channel, the right in the other
    alone = hog(channel).reshape(2, -1, 7, 4, 9)
    both = hog(halves).reshape(2, -1, 7, 4, 9)
    np.testing.assert_array_equal(hog(np.concatenate([flat, channel], axis=1)), hog(channel))
    # Cells far from the seam, whose blocks do not reach it.
    np.testing.assert_allclose(both[:, :, [0, 1, 5, 6]], alone[:, :, [0, 1, 5, 6]], atol=1e-6)


def test_colours_are_means_deviations_and_shares_of_eight_bins():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 2, 5, 7), dtype=np.uint8)
    scaled = pictures.astype(np.float32) / 255
    bins = [[np.bincount(c.ravel() >> 5, minlength=8) / 35 for c in p] for p in pictures]
    expected = [scaled.mean((2, 3)), scaled.std((2, 3)), np.reshape(bins, (3, 16))]
    np.testing.assert_allclose(colours(pictures, scaled), np.hstack(expected), atol=1e-6)


def test_pictures_are_described_alike_alone_and_in_chunks():
    count = 3 * PIXELS_PER_CHUNK // (3 * 32 * 32)
    pictures = np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    some = np.array([count - 1, 0, count // 2])
    together = describe(pictures)
    np.testing.assert_array_equal(describe(pictures, some), together[some])
    np.testing.assert_array_equal(describe(pictures[:1]), together[:1])


def schema(labels):
    statistics = CategoryStatistics(tuple(labels), (1,) * len(labels))
    return Schema("classification", (Field("y", "category", "target", "", statistics),))


def split(inputs, targets, seed=0):
    examples = Examples(inputs, targets, np.arange(len(targets)))
    train, test = train_test_split(np.arange(len(targets)), random_state=seed, test_size=0.3)
    return examples.take(train[:-100]), examples.take(train[-100:]), examples.take(test)


def accuracy(name, inputs, targets, labels):
    train, validation, test = split(inputs, targets)
    baseline = fit_baseline(
        name,
        train,
        schema(labels),
        "classification",
        seed=0,
        budget=Budget(30),
        validation=validation,
    )
    return (baseline.predict(test).codes == test.targets).mean()


def test_digits_are_read_from_features():
    data = load_digits()
    pictures = (data.images * 15.9).astype(np.uint8)[:, None]
    for name in ("pictures", "picture_kernel"):
        assert accuracy(name, {"digit": pictures}, data.target, "0123456789") > 0.97


def test_trees_on_components_and_columns_are_scikit_learns_on_the_same_features():
    data = load_digits()
    pictures = (data.images * 15.9).astype(np.uint8)[:, None]
    numbers = np.random.default_rng(0).normal(size=(len(pictures), 2)).astype(np.float32)
    inputs = {"digit": pictures, "numbers": numbers}
    train, _, test = split(inputs, data.target)
    member = Member(rounds=12, learning_rate=0.2, max_leaf_nodes=15)
    model = fit_baseline(
        "picture_boosting",
        train,
        schema("0123456789"),
        "classification",
        seed=0,
        budget=Budget(30),
        limit=Recipe((member,)),
    )
    theirs = HistGradientBoostingClassifier(
        **member.settings(), max_iter=12, early_stopping=False, random_state=0
    )

    def columns(examples):
        return np.hstack([examples.inputs["numbers"], model.reduction.apply(examples)])

    theirs.fit(columns(train).astype(np.float64), train.targets)
    # The rows are in another order: sums are rounded otherwise, and splits that tie may differ.
    ours, expected = model.predict(test).probs, theirs.predict_proba(columns(test))
    assert model.reduction.components.shape[1] == 60
    np.testing.assert_allclose(ours, expected, atol=1e-3)
    assert (model.predict(test).codes == test.targets).mean() > 0.92


def test_a_kernel_with_landmarks_is_ridge_regression_on_nystroem_features():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(5_000, 6)).astype(np.float32)
    targets = np.column_stack([np.sin(inputs[:, 0]) * inputs[:, 1], inputs[:, 2] ** 2])
    landmarks = Landmarks(inputs[:60], gamma=0.5)
    weights, intercept = Products.of(landmarks, inputs, targets).solve(0.5)
    features = Nystroem(gamma=0.5, n_components=60, random_state=0).fit(inputs[:60])
    theirs = Ridge(alpha=0.5).fit(features.transform(inputs), targets)
    ours = Expansion(landmarks, weights, intercept)
    fresh = generator.normal(size=(700, 6)).astype(np.float32)
    expected = theirs.predict(features.transform(fresh))
    np.testing.assert_allclose(ours(fresh), expected, atol=1e-4)
    squared = pairwise_kernels(fresh, inputs[:60], metric="rbf", gamma=0.5)
    np.testing.assert_allclose(landmarks.kernel(fresh), squared, atol=1e-6)


def test_pictures_are_described_once_for_all_who_ask(monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 256, (50, 1, 12, 12), dtype=np.uint8)
    examples = Examples({"digit": pictures}, None, np.arange(50))
    expected = describe(pictures)
    asked = []

    def counted(block, positions=None):
        asked.extend([] if positions is None else positions)
        return describe(block, positions)

    monkeypatch.setattr(picture_cache, "describe", counted)
    monkeypatch.setattr(picture_cache, "MOST_CELLS", 40 * expected.shape[1])
    rows = np.array([7, 3, 41])
    with shared_features():
        for _ in range(2):
            np.testing.assert_array_equal(features_of(examples, rows), expected[rows])
            np.testing.assert_array_equal(features_of(examples), expected)
    # One row tells the width; ten rows are more than may be kept, and are described each time.
    assert len(asked) == 1 + 50 + 10
    np.testing.assert_array_equal(features_of(examples), expected)


def test_components_of_the_same_pictures_are_learned_once_for_all_labels():
    pictures = np.random.default_rng(0).integers(0, 256, (50, 1, 12, 12), dtype=np.uint8)
    first = Examples({"digit": pictures}, np.zeros(50), np.arange(50))
    second = Examples({"digit": pictures}, np.ones(50), np.arange(50))
    rows, others = np.arange(40), np.arange(10, 50)
    with shared_features():
        learned = made_once(Reduction.learn, first, rows)
        assert made_once(Reduction.learn, second, rows) is learned
        assert made_once(Reduction.learn, second, others) is not learned
    assert made_once(Reduction.learn, first, rows) is not learned


@pytest.mark.parametrize(("name", "least"), [("linear", 0.93), ("boosting", 0.93)])
def test_tables_are_learned_as_well_as_is_known(name, least):
    data = load_breast_cancer()
    inputs = {"numbers": data.data.astype(np.float32)}
    assert accuracy(name, inputs, data.target, "mb") > least


def test_wine_has_three_classes():
    data = load_wine()
    inputs = {"numbers": data.data.astype(np.float32)}
    train, _, test = split(inputs, data.target)
    baseline = fit_baseline(
        "linear", train, schema("abc"), "classification", seed=0, budget=Budget(20)
    )
    assert (baseline.predict(test).codes == test.targets).mean() > 0.85


@pytest.mark.parametrize("name", ["linear", "boosting"])
def test_diabetes_is_explained_as_far_as_is_known(name):
    data = load_diabetes()
    train, validation, test = split({"numbers": data.data.astype(np.float32)}, data.target)
    target = Schema("regression", (Field("y", "number", "target", ""),))
    baseline = fit_baseline(
        name, train, target, "regression", seed=0, budget=Budget(20), validation=validation
    )
    residual = baseline.predict(test).values - test.targets
    assert 1 - residual.var() / test.targets.var() > 0.33
