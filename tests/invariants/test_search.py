"""The search: on validation, inside its terms, crash-safe, and never repeated."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as changed

from fathom.core.budget import Budget
from fathom.core.errors import BudgetError, InterruptedRunError, MissingExtraError, PlanError
from fathom.core.files import read_json
from fathom.core.progress import Silent
from fathom.core.urls import without_password
from fathom.planning import search as searching
from fathom.planning.draft import make_draft
from fathom.planning.halving import behind
from fathom.planning.prepare import prepare
from fathom.planning.request import make_request
from fathom.planning.resolve import resolve, supervised
from fathom.planning.rivals import NO_RIVALS
from fathom.planning.search import TUNING, Searching, terms_for_steps, terms_for_time
from fathom.planning.search_space import Dimension, families, space
from fathom.planning.study import TUNING_DATABASE, Study, check_storage, suggested
from fathom.planning.trials import Search, TrialRow, records
from fathom.report.figures import draw

pytest.importorskip("optuna")

SETTINGS = {"training.threads": 1, "network.embed_dim": 4}
TRIALS = 4


@pytest.fixture(scope="module")
def prepared():
    request = make_request("wine", {}, seed=0)
    return prepare(request, Budget(60.0), Silent())


def asked(folder, **options):
    options = {"seed": 0, "steps": 30, "tune": TRIALS} | options
    request = make_request("wine", SETTINGS, **options)
    folder.mkdir(exist_ok=True)
    return replace(request, name="wine", folder=folder)


def resolved(request, prepared, progress=None):
    return resolve(request, prepared, NO_RIVALS, Budget(60.0), progress or Silent())


def told(folder) -> Search:
    return read_json(folder / TUNING, Search)


@pytest.fixture(scope="module")
def searched(prepared, tmp_path_factory):
    """A search that was not interrupted: its folder and its plan."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, resolved(asked(folder), prepared)


def untimed(search: Search):
    return [changed(trial, seconds=0.0) for trial in search.trials]


def test_the_winner_is_the_plan_and_the_plan_says_why(searched):
    folder, plan = searched
    search = told(folder)
    assert [trial.number for trial in search.trials] == list(range(TRIALS))
    finished = [t for t in search.trials if t.state == "finished"]
    assert search.best.score == max(t.score for t in finished)
    settings = search.best.settings
    assert plan.network.width == settings["network.width"]
    rate = "training.optimizer.learning_rate"
    assert plan.training.optimizer.learning_rate == settings[rate]
    assert f"trial {search.winner + 1}" in plan.why[rate]
    assert search.space[rate] in plan.why[rate]
    assert plan.training.steps == 30


def test_the_first_trial_is_the_default_and_what_the_user_fixed_is_not_searched(
    searched, prepared, tmp_path
):
    folder, plan = searched
    draft = make_draft(asked(tmp_path), prepared)
    first = told(folder).trials[0].settings
    assert first["network.width"] == draft.network.width
    assert first["training.optimizer.learning_rate"] == draft.training.optimizer.learning_rate
    assert "network.embed_dim" not in first
    assert plan.network.embed_dim == 4
    assert families(draft, prepared.inputs) == ("mlp",)
    dimensions = space(draft, 100, pictures=False, classes=True)
    for dimension in dimensions:
        inside = dimension.low <= dimension.default <= dimension.high
        assert dimension.default in dimension.choices or (not dimension.choices and inside)


def test_an_interrupted_search_goes_on_as_if_nothing_had_happened(
    searched, prepared, tmp_path, monkeypatch
):
    whole, plan = searched
    calls = []

    def dies(*arguments, **options):
        calls.append(1)
        if len(calls) == 3:
            raise InterruptedRunError("Ctrl-C")
        return run_trial(*arguments, **options)

    run_trial = searching.run_trial
    monkeypatch.setattr(searching, "run_trial", dies)
    request = asked(tmp_path / "run")
    with pytest.raises(InterruptedRunError):
        resolved(request, prepared)
    again = resolved(request, prepared)
    assert len(calls) == TRIALS + 1  # nothing that was finished is done twice
    assert untimed(told(tmp_path / "run")) == untimed(told(whole))
    assert again.network == plan.network
    assert again.training == plan.training


def test_two_machines_share_a_study(searched, prepared, tmp_path):
    storage = f"sqlite:///{tmp_path}/shared.sqlite3"
    silent = Silent()
    plans = [
        resolved(asked(tmp_path / name, tune=tune, tune_storage=storage), prepared, silent)
        for name, tune in (("one", 2), ("two", TRIALS), ("three", TRIALS))
    ]
    one, two, three = (told(tmp_path / name) for name in ("one", "two", "three"))
    assert untimed(two)[:2] == untimed(one)
    assert len(two.trials) == TRIALS
    assert three.trials == two.trials  # there was nothing left to do
    assert plans[1].network == plans[2].network
    assert two.storage == storage
    joined = [sentence for sentence in silent.sentences if "already" in sentence]
    assert [sentence.split(" trials")[0] for sentence in joined] == ["2 of 4", "4 of 4"]
    assert f"{one.steps} steps" in joined[0]


def test_a_search_keeps_to_its_share_of_the_time(prepared, tmp_path):
    silent = Silent()
    request = replace(asked(tmp_path, steps=None, tune=500), budget_seconds=20.0)
    budget = Budget(20.0)
    plan = resolve(request, prepared, NO_RIVALS, budget, silent)
    search = told(tmp_path)
    assert 1 <= len(search.trials) < 500
    assert budget.elapsed < 18
    assert any("of 500 trials" in sentence for sentence in silent.sentences)
    assert plan.seconds["training"] > 2


def test_terms():
    assert terms_for_steps(1000, 20).steps == 125
    assert terms_for_steps(20, 20).steps == 20
    terms = terms_for_time(100.0, trials=20, step_seconds=0.01, useful=10_000)
    assert terms.seconds == 50.0
    assert terms.steps == 625
    assert terms_for_time(100.0, trials=20, step_seconds=0.01, useful=200).steps == 200


def test_what_was_tried_can_be_drawn(searched):
    found = records(told(searched[0]))
    assert [record.id for record in found] == ["tuning.best", "tuning.trials", "tuning.importance"]
    assert found[0].split == "validation"
    assert found[2].status == "skipped"
    search = told(searched[0])
    best = found[0].figure.data["series"][0]
    assert best["x"][-1] == len(search.trials)  # a line to the end, whatever was ended early
    table = found[1].figure.data
    assert table["rows"][0][0] == "searched"
    said = [*table["rows"][0], found[1].sentence]
    for range_told in search.space.values():
        assert any(range_told in str(cell) for cell in said)
    for record in found[:2]:
        assert draw(record.figure).markup


@pytest.mark.slow
def test_enough_trials_tell_what_mattered(prepared, tmp_path):
    resolved(asked(tmp_path, tune=20, steps=24), prepared)
    search = told(tmp_path)
    assert abs(sum(search.importance.values()) - 1) < 1e-6
    assert "training.optimizer.learning_rate" in search.importance
    assert draw(records(search)[2].figure).markup


@pytest.mark.parametrize(
    ("storage", "named"),
    [("nowhere", "database URL"), ("sqlite:////no/such/folder/x.sqlite3", "cannot be used")],
)
def test_a_database_that_cannot_be_used_is_one_sentence(prepared, tmp_path, storage, named):
    with pytest.raises(PlanError, match=named):
        resolved(asked(tmp_path, tune_storage=storage), prepared)


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("psycopg2", "psycopg2-binary"),
        ("MySQLdb", "mysqlclient"),
        ("oracledb", "oracledb"),
        (None,) * 2,
    ],
)
def test_a_database_without_its_driver_is_one_sentence(tmp_path, monkeypatch, module, package):
    import optuna

    def get_storage(url):  # as Optuna does
        try:
            raise ModuleNotFoundError("no module", name=module)
        except ModuleNotFoundError as error:
            raise ImportError("Failed to import DB access module") from error

    monkeypatch.setattr(optuna.storages, "get_storage", get_storage)
    url = "postgresql://me:secret@nohost/studies"
    with pytest.raises(PlanError, match="driver") as refused:
        check_storage(url)
    assert "secret" not in str(refused.value)
    assert (f"pip install '{package}'" if package else "URL names") in str(refused.value)


def test_a_database_is_tried_before_any_data_is_read(command):
    outcome = command(
        *("fit", "nowhere.csv", "--target", "y", "--tune", "2"),
        *("--tune-storage", "sqlite:////no/such/folder/x.sqlite3"),
    )
    assert outcome.code == 2
    assert "database" in outcome.err
    assert not list(Path("runs").iterdir())


def test_a_budget_that_the_search_used_up_says_that_the_trials_are_kept(command, monkeypatch):
    def too_small(request, *arguments, **options):
        a_study(request.folder)  # as a search leaves its trials
        (request.folder / "trials.sqlite3").rename(request.folder / TUNING_DATABASE)
        raise BudgetError("Too small. Give --budget 68s.")

    monkeypatch.setattr("fathom.pipeline.resolve", too_small)
    outcome = command("fit", "wine", "--tune", "2", "--budget", "30s")
    assert outcome.code == 2
    assert "68s. With --resume" in outcome.err


def test_what_ended_early_is_not_compared_in_silence():
    def row(number, state, score, steps, **options):
        return TrialRow(number, {"network.depth": 2}, state, score, (score,), steps, 1.0, **options)

    rows = (row(0, "ended early", -0.6, 10, default=True), row(1, "finished", -0.3, 79))
    found = Search("s", "", "log_loss", 79, 2, {"network.depth": "1 to 4"}, rows, 1, {})
    cut = "the default reached log loss 0.6 (ended early, after 10 of 79 steps)."
    assert cut in records(found)[0].sentence
    reached = Searching._won(None, found, found.space).why["network.depth"]
    assert "the default reached 0.6 (ended early, after 10 of 79 steps)" in reached


def test_options_that_do_not_fit(monkeypatch):
    with pytest.raises(PlanError, match="--tune"):
        make_request("wine", {}, tune_storage="sqlite:///x")
    with pytest.raises(PlanError, match="at least 2"):
        make_request("wine", {}, tune=1)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"fathom-learn\[tune\]"):
        make_request("wine", {}, tune=20)


def test_passwords_are_not_shown():
    url = "postgresql://me:secret@host/db"
    assert without_password(f"fathom fit x --tune-storage {url}").endswith("//me:***@host/db")


SPACE = {"mlp": [Dimension("rate", 0.1, low=0.01, high=1.0, log=True)]}


def a_study(tmp_path, run="one"):
    return Study(f"sqlite:///{tmp_path}/trials.sqlite3", "trials", wanted=9, seed=3, run=run)


def tried(study, *, reports=(), state="finished"):
    """One trial from its proposal to its end; None leaves it as a killed run would."""
    trial = study.ask()
    settings = suggested(trial, SPACE, url=study.url)
    behind = [study.is_behind(trial, n, score) for n, score in enumerate(reports, 1)]
    if state is not None:
        study.tell(trial, state, 0.5, settings=settings, steps=8, seconds=1.0)
    return settings, behind


def test_scores_of_a_killed_trial_do_not_count_beside_those_of_its_repetition(tmp_path):
    study = a_study(tmp_path)
    tried(study, reports=(0.5, 0.5))
    tried(study, reports=(0.4, 0.4))
    killed, _ = tried(study, reports=(0.9, 0.9), state=None)
    again = a_study(tmp_path)
    again.recover()
    repeated, behind = tried(again, reports=(0.9, 0.9))
    assert repeated == killed
    assert behind == [False, False]
    assert tried(again, reports=(0.6, 0.6))[1] == [False, False]  # the second of four
    assert [row.scores[0] for row in again.rows()] == [0.5, 0.4, 0.9, 0.6]


def test_a_trial_killed_before_its_last_word_is_ended_and_counts_once(tmp_path, monkeypatch):
    study = a_study(tmp_path)
    tried(study)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study, "_end", killed)
        with pytest.raises(KeyboardInterrupt):
            tried(study)
    again = a_study(tmp_path)
    again.recover()
    assert len(again.rows()) == 2
    fresh, _ = tried(again)
    assert fresh != again.rows()[1].settings  # nothing waits to be tried again
    assert [row.state for row in again.rows()] == ["finished"] * 3
    assert {trial.state.name for trial in again._study.get_trials()} == {"COMPLETE"}


def test_the_default_is_known_by_its_mark_and_outlives_a_kill(tmp_path):
    other, study = a_study(tmp_path, "other"), a_study(tmp_path)
    tried(other)  # a trial that came first, and is not the default
    study._propose_default({"rate": 0.1})
    assert tried(study, state=None)[0] == {"rate": 0.1}
    again = a_study(tmp_path)
    again.recover()
    assert tried(again)[0] == {"rate": 0.1}
    assert [row.default for row in again.rows()] == [False, True]


def test_who_comes_first_decides_for_all(tmp_path, monkeypatch):
    one, two = a_study(tmp_path, "one"), a_study(tmp_path, "two")
    one.begin({"rate": 0.1})
    two.begin({"rate": 0.1})
    assert tried(one)[0] == {"rate": 0.1} != tried(two)[0]
    late = one._study.set_user_attr

    def between(key, value):  # the other machine asks just before this one has written
        monkeypatch.setattr(one._study, "set_user_attr", late)
        monkeypatch.setattr("fathom.planning.study.time.sleep", lambda seconds: late(key, value))
        assert two.agree("steps", 20) == 10

    monkeypatch.setattr(one._study, "set_user_attr", between)
    assert one.agree("steps", 10) == 10


def test_whoever_was_killed_in_between_keeps_nobody_waiting_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("fathom.planning.study.PATIENCE", 0.2)
    one, two = a_study(tmp_path, "one"), a_study(tmp_path, "two")
    assert one._is_first("steps")
    assert two.agree("steps", 20) == 20


def test_the_better_half_goes_on():
    assert not behind(0.1, [])
    assert behind(0.1, [0.2])
    assert not behind(0.2, [0.1, 0.3, 0.0])
    assert behind(0.1, [0.2, 0.3, 0.0])


def test_trials_are_shared_by_those_alone_who_try_the_same(prepared, tmp_path):
    def name(**options):
        return search_of(replace(asked(tmp_path), **options), prepared).study.name

    usual = name()
    assert name() == usual
    assert name(settings=SETTINGS | {"training.batch_size": 16}) != usual
    assert name(settings=SETTINGS | {"training.clip_norm": 2.0}) != usual
    assert name(near_duplicates=False, group="x") != usual
    moved = changed_splits(prepared)
    assert search_of(asked(tmp_path), moved).study.name != usual


def changed_splits(prepared):
    splits = prepared.splits
    train = splits.train.copy()
    train[0], validation = splits.validation[0], splits.validation.copy()
    validation[0] = splits.train[0]
    return replace(prepared, splits=replace(splits, train=train, validation=validation))


def search_of(request, prepared, **training):
    plan = resolve(replace(request, tune=None), prepared, NO_RIVALS, Budget(60.0), Silent())
    plan = changed(plan, training=changed(plan.training, **training))
    return Searching(
        request,
        prepared,
        plan=plan,
        draft=make_draft(request, prepared),
        what_of=lambda plan: supervised(plan, prepared, "cpu"),
        terms=terms_for_steps(30, TRIALS),
        progress=Silent(),
    )


def test_trials_are_never_compiled(prepared, tmp_path):
    for settings in ({}, {"training.compile": True}):
        search = search_of(
            replace(asked(tmp_path), settings=SETTINGS | settings), prepared, compile=True
        )
        assert search.plan.training.compile
        assert not search._candidate({}).training.compile
