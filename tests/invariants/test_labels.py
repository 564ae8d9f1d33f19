"""Label sets: how they are read, split, scored, calibrated and searched for leaks."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn import metrics as sk

from fathom.baselines import BASELINES, applicable, baseline_from_state, fit_baseline
from fathom.core.budget import Budget
from fathom.core.errors import DataError, PlanError
from fathom.core.output import OutputSpec
from fathom.core.prediction import LabelsPrediction, Prediction
from fathom.core.progress import Silent
from fathom.data.audits.leaks import find_leaks
from fathom.data.encode import encode
from fathom.data.infer import infer_schema
from fathom.data.labels import fold_labels, indicator, strata
from fathom.data.learn import learn
from fathom.data.read import read
from fathom.data.split import split
from fathom.evidence.calibration import (
    calibration_error,
    chance_error,
    chance_error_of_rows,
    grade_of,
)
from fathom.evidence.label_scores import LABEL_METRICS
from fathom.evidence.scores import RocAuc
from fathom.inference import fit_trust
from fathom.inference.trust import log_loss
from fathom.tasks import build_task

NAMES = ("a", "b", "c")


def drawn(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits (n, 3), and labels that hold with their probabilities."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(rows, 3)) * 2 - [0, 1, 2]
    return logits, (draw.random((rows, 3)) < expit(logits)).astype(np.uint8)


def folded(target, **columns):
    rows = len(next(iter(columns.values())))
    raw = read(pd.DataFrame({"x": np.arange(rows) * 0.7, **columns}))
    return fold_labels(raw, target, "multilabel")


def sets(result) -> list[object]:
    return [json.loads(text) for text in result.raw.table[result.target]]


class TestReading:
    @pytest.mark.parametrize(
        ("texts", "separator", "first"),
        [
            (["red;blue", "red", "blue;red"], ";", ["blue", "red"]),
            (["Sci Fi|Film Noir", "Sci Fi", "Film Noir"], "|", ["Film Noir", "Sci Fi"]),
            (["New York, Rome", "Rome", "New York"], ",", ["New York", "Rome"]),
            (["a b", "b c", "a c", "c", "b", "a", "a b c"], " ", ["a", "b"]),
            (['["x;y"]', '["x;y", "z"]', "[]"], "", ["x;y"]),
            (["['it''s']", "['it''s', 'z']", "[1, 2]"], "", ["its"]),
        ],
    )
    def test_the_separator_is_found(self, texts, separator, first):
        result = folded("y", y=texts)
        assert result.reading.separator == separator
        assert sets(result)[0] == first

    def test_an_empty_set_is_a_value_and_missing_is_missing(self):
        result = folded("y", y=["a|b", "[]", None, "b"])
        column = result.raw.table["y"]
        assert column[1] == "[]"
        assert pd.isna(column[2])

    def test_columns_are_folded_in_any_way_of_saying_yes(self):
        result = folded(("p", "q"), p=["yes", "no", "yes", None], q=[True, False, True, True])
        column = result.raw.table[result.target]
        assert list(column[:3]) == ['["p", "q"]', "[]", '["p", "q"]']
        assert pd.isna(column[3])
        assert "p" not in result.raw.table

    def test_what_cannot_be_read_is_refused_with_a_way_out(self):
        with pytest.raises(DataError, match=r"'spam' in row 2.*yes/no column"):
            folded(("p", "q"), p=["yes", "spam"], q=[1, 0])
        with pytest.raises(DataError, match="learn one class a row"):
            folded("y", y=["red", "blue"])
        with pytest.raises(DataError, match="has one label"):
            folded("y", y=['["red"]', "[]"])
        with pytest.raises(DataError, match=r"holds lists, but row 2 holds 'red'"):
            folded("y", y=['["red"]', "red"])
        raw = read(pd.DataFrame({"x": [1, 2], "p": [0, 1], "q": [0, 1]}))
        with pytest.raises(PlanError, match="leave --task classification out"):
            fold_labels(raw, ("p", "q"), "classification")
        with pytest.raises(DataError, match=r"no column 'P'.*Did you mean 'p'"):
            fold_labels(raw, ("P", "q"), None)

    def test_arrays_and_lists_of_python(self):
        inputs = np.arange(20.0).reshape(10, 2)
        matrix = np.arange(30).reshape(10, 3) % 2
        for targets in (matrix, matrix.tolist(), pd.DataFrame(matrix)):
            raw = read((inputs, targets))
            assert len(raw.target) == 3
        raw = read((inputs, [["a"], ["a", "b"]] * 5))
        assert sets(fold_labels(raw, None, None)) == [["a"], ["a", "b"]] * 5

    def test_texts_that_look_like_sets_are_said_to(self):
        looks = read(pd.DataFrame({"y": ["a;b", "b;c", "a;c", "a;b;c", "b", "[]"] * 3}))
        assert "sets of 3 labels parted by ';'" in fold_labels(looks, "y", None).hint
        plain = read(pd.DataFrame({"y": ["one; two", "three", "four"] * 3}))
        assert not fold_labels(plain, "y", None).hint

    def test_a_column_of_lists_is_no_input(self):
        raw = read(pd.DataFrame({"x": range(6), "tags": [["a"], []] * 3, "y": [0, 1] * 3}))
        schema = infer_schema(raw, target="y")
        assert [f.name for f in schema.inputs] == ["x"]


def prepared(rows=400, seed=0):
    logits, labels = drawn(rows, seed)
    noise = np.random.default_rng(seed).normal(size=rows)
    frame = pd.DataFrame({"u": logits[:, 0], "v": logits[:, 1], "w": logits[:, 2], "noise": noise})
    result = fold_labels(read((frame, pd.DataFrame(labels, columns=NAMES))), None, None)
    schema = infer_schema(result.raw, target=result.target, task=result.task, labels=result.reading)
    return result.raw, schema, labels


def test_splits_keep_the_share_of_every_label():
    raw, schema, labels = prepared(1500)
    parts = split(raw, schema, seed=3)
    for rows in parts.parts().values():
        spread = np.sqrt(0.25 / len(rows))
        assert np.abs(labels[rows].mean(axis=0) - labels.mean(axis=0)).max() < 1.5 * spread
    assert "label set" in parts.how


def test_rare_sets_go_by_their_rarest_label():
    texts = np.array(
        ['["a"]'] * 30 + ['["a", "b"]', '["b"]', "[]", '["a", "b", "c"]'], dtype=object
    )
    codes = strata(texts)
    assert len(set(codes[:30])) == 1
    assert codes[30] == codes[31]
    assert len({codes[0], codes[30], codes[32], codes[33]}) == 4


def test_one_label_that_varies_is_audited_as_several_are():
    """The other label holds for every row, so that one alone can be guessed."""
    draw = np.random.default_rng(0)
    varies = np.arange(600) % 2
    for values, leaks in ((draw.random(600), ()), (varies * 5 + draw.random(600), ("score",))):
        frame = pd.DataFrame({"score": values, "always": 1, "varies": varies})
        folded = fold_labels(read(frame), ("always", "varies"), None)
        schema = infer_schema(folded.raw, target=folded.target, labels=folded.reading)
        found = find_leaks(folded.raw, schema, seed=0, budget=Budget(30), progress=Silent())
        assert found.columns == leaks


def test_a_leak_of_one_label_is_found_in_numbers_and_in_codes():
    raw, schema, labels = prepared(600)
    draw = np.random.default_rng(0)
    given = {
        "score": labels[:, 2] * 5 + draw.random(600),
        "code": np.where(labels[:, 0] > 0, draw.choice(["p", "q"], 600), "r"),
    }
    assert find_leaks(raw, schema, seed=0, budget=Budget(30), progress=Silent()).columns == ()
    for name, values in given.items():
        leaking = fold_labels(
            read(pd.DataFrame({name: values, **dict(zip(NAMES, labels.T, strict=True))})),
            NAMES,
            None,
        )
        found = find_leaks(
            leaking.raw,
            infer_schema(leaking.raw, target=leaking.target, labels=leaking.reading),
            seed=0,
            budget=Budget(30),
            progress=Silent(),
        )
        assert found.columns == (name,)
        assert f"the label {'c' if name == 'score' else 'a'} away" in found.record.sentence


def test_labels_that_too_few_rows_have_are_left_out_and_unknown_ones_passed():
    texts = ['["a"]', '["b"]'] * 100 + ['["rare"]'] * 3
    result = folded("y", y=texts)
    schema = infer_schema(result.raw, target="y", task="multilabel", labels=result.reading)
    schema = learn(schema, result.raw.table, np.arange(203))
    assert schema.labels == ("a", "b")
    targets = encode(result.raw.table, schema).examples.targets
    assert targets.sum() == 200
    np.testing.assert_array_equal(indicator(np.array(['["b", "new"]']), NAMES), [[0, 1, 0]])


class TestScores:
    def test_values_are_those_of_the_task_and_of_scikit_learn(self):
        logits, labels = drawn(300)
        said = LabelsPrediction(NAMES, expit(logits))
        own = build_task("multilabel", OutputSpec("labels", labels=NAMES)).metrics(said, labels)
        assert {m.name for m in LABEL_METRICS} == set(own)
        for metric in LABEL_METRICS:
            estimate = metric.estimate(said, labels, np.random.default_rng(0))
            assert estimate.value == pytest.approx(own[metric.name], abs=1e-12), metric.name
            assert estimate.low <= estimate.value <= estimate.high
        assert own["macro_roc_auc"] == pytest.approx(sk.roc_auc_score(labels, said.probs))
        assert own["hamming_loss"] == pytest.approx(sk.hamming_loss(labels, said.holds))
        assert own["exact_match"] == pytest.approx(sk.accuracy_score(labels, said.holds))
        assert own["macro_f1"] == pytest.approx(sk.f1_score(labels, said.holds, average="macro"))

    def test_of_one_label_the_area_has_delongs_interval(self):
        logits, labels = drawn(200)
        alone = LabelsPrediction(("a",), expit(logits[:, :1]))
        ours = LABEL_METRICS[3].estimate(alone, labels[:, :1], np.random.default_rng(0))
        from fathom.core.prediction import ClassPrediction

        probs = np.column_stack([1 - alone.probs, alone.probs])
        theirs = RocAuc("roc_auc", "").estimate(
            ClassPrediction(("no", "yes"), probs),
            labels[:, 0].astype(int),
            np.random.default_rng(0),
        )
        assert ours[:3] == pytest.approx(theirs[:3], abs=1e-12)

    def test_intervals_hold_what_they_promise_and_pair(self):
        truth = LabelsPrediction(NAMES, expit(drawn(200_000, 99)[0]))
        labels = drawn(200_000, 99)[1]
        kinds = [m for m in LABEL_METRICS if m.name != "micro_roc_auc"]
        for metric in kinds:
            whole = metric.estimate(truth, labels, np.random.default_rng(0)).value
            inside = 0
            for seed in range(40):
                logits, own = drawn(150, seed)
                part = metric.estimate(
                    LabelsPrediction(NAMES, expit(logits)), own, np.random.default_rng(seed)
                )
                inside += part.low <= whole <= part.high
            assert inside >= 33, metric.name
        same = LABEL_METRICS[1].paired(
            truth.take(np.arange(200)), truth.take(np.arange(200)), labels[:200],
            np.random.default_rng(0),
        )  # fmt: skip
        assert same.value == 0.0
        assert -0.03 < same.low < 0 < same.high < 0.03  # what 200 rows leave open

    def test_a_perfect_rank_of_a_rare_label_is_no_narrower_than_its_rows_allow(self):
        labels = np.zeros((200, 2), dtype=np.uint8)
        labels[:3, 0], labels[:100, 1] = 1, 1
        said = LabelsPrediction(("rare", "even"), 0.1 + 0.8 * labels)
        macro, micro = LABEL_METRICS[3], LABEL_METRICS[4]
        rare = macro.estimate(said, labels, np.random.default_rng(0))
        alone = macro.estimate(
            LabelsPrediction(("rare",), said.probs[:, :1]), labels[:, :1], np.random.default_rng(0)
        )
        assert rare.value == 1.0
        assert rare.low == alone.low < 0.8
        assert rare.low < micro.estimate(said, labels, np.random.default_rng(0)).low < 1.0

    def test_chance_is_greater_where_the_labels_of_a_row_hang_together(self):
        draw = np.random.default_rng(0)
        probs = np.repeat(draw.random((600, 1)), 20, axis=1)
        names = tuple(str(k) for k in range(20))
        apart = LabelsPrediction(names, probs).claims(draw.random(probs.shape) < probs)
        alike = LabelsPrediction(names, probs).claims(draw.random((600, 1)) < probs)
        by_claim = chance_error(apart.confidence, draw)
        assert chance_error_of_rows(apart, draw) == pytest.approx(by_claim, rel=0.2)
        assert chance_error_of_rows(alike, draw) > 3 * by_claim

    def test_saying_that_rare_labels_never_hold_is_not_good(self):
        held = np.random.default_rng(0).random((2000, 100)) < 0.01
        never = LabelsPrediction(tuple(map(str, range(100))), np.zeros(held.shape)).claims(held)
        error = calibration_error(
            never.confidence, never.right, np.random.default_rng(0), never.rows
        ).value
        chance = chance_error_of_rows(never, np.random.default_rng(0))
        assert error == pytest.approx(0.01, rel=0.1)
        assert grade_of(never, error, chance) == "poor"
        assert grade_of(never, 1e-4, chance) == "good"

    def test_nothing_to_rank_is_said(self):
        assert "nothing to rank" in LABEL_METRICS[3].undefined(np.ones((5, 3), dtype=np.uint8))

    def test_calibration_is_over_rows_and_small_for_true_probabilities(self):
        logits, labels = drawn(3000)
        claims = LabelsPrediction(NAMES, expit(logits)).claims(labels)
        right = calibration_error(
            claims.confidence, claims.right, np.random.default_rng(0), claims.rows
        )
        sharp = LabelsPrediction(NAMES, expit(3 * logits)).claims(labels)
        wrong = calibration_error(
            sharp.confidence, sharp.right, np.random.default_rng(0), sharp.rows
        )
        assert right.value < 0.03 < 0.08 < wrong.low


def test_one_temperature_is_found_for_all_labels():
    logits, labels = drawn(4000)
    trust = fit_trust(2.5 * logits, labels)
    assert trust.temperature == pytest.approx(2.5, rel=0.1)
    assert trust.log_loss == pytest.approx(sk.log_loss(labels.ravel(), expit(logits).ravel()), 0.01)
    assert log_loss(logits, labels, 1.0) == pytest.approx(
        sk.log_loss(labels.ravel(), expit(logits).ravel())
    )
    assert fit_trust(logits[:10], labels[:10]).temperature == 1.0


@pytest.mark.parametrize("name", ["constant", "linear", "boosting"])
def test_baselines_learn_every_label_and_come_back_the_same(name):
    raw, schema, labels = prepared(300)
    schema = learn(schema, raw.table, np.arange(300))
    examples = encode(raw.table, schema).examples
    assert name in applicable(schema)
    arguments = {"seed": 0, "validation": examples.take(np.arange(60))}
    train = examples.take(np.arange(60, 300))
    model = fit_baseline(name, train, schema, "multilabel", budget=Budget(20), **arguments)
    said = model.predict(examples)
    assert isinstance(said, Prediction)
    assert said.labels == NAMES
    if name != "constant":
        assert sk.roc_auc_score(labels, said.probs) > 0.75
    else:
        np.testing.assert_allclose(said.probs[0], labels[60:].mean(axis=0), atol=1e-9)
    again = fit_baseline(
        name, train, schema, "multilabel", budget=Budget(20), limit=model.limit, **arguments
    )
    np.testing.assert_array_equal(again.raw(examples), model.raw(examples))
    arrays, config = model.calibrated(2.0).state()
    back = baseline_from_state(name, arrays, json.loads(json.dumps(config)))
    np.testing.assert_array_equal(
        back.predict(examples).probs, model.calibrated(2.0).predict(examples).probs
    )
    assert back.name == name
    assert set(BASELINES) >= {name}
    with pytest.raises(PlanError, match="one number"):
        fit_baseline(name, train, schema, "multilabel", budget=Budget(9), limit=3, **arguments)
