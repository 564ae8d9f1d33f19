"""Plans: short keys, settings that decide other defaults, and runs that change their length."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from msgspec import to_builtins

from fathom.core.blocks import ImageBlock, InputSpec, NumbersBlock
from fathom.core.budget import Budget
from fathom.core.errors import PlanError
from fathom.data.augment import AugmentSpec
from fathom.networks import MlpSpec
from fathom.planning.defaults import PICTURES_OPTIMIZERS, TABLES_OPTIMIZERS, _augmentation
from fathom.planning.overrides import apply_settings, full_key, keys_of, parse_settings
from fathom.planning.patching import patched
from fathom.planning.plan import DataPlan, Plan, TaskPlan, load_plan
from fathom.planning.probe import compiling_pays
from fathom.planning.request import repeat_request
from fathom.training.optimizers import OPTIMIZERS
from fathom.training.replan import Pace
from fathom.training.settings import TrainingSpec
from fathom.training.speed import StepTiming

TREE = {"network": {"family": "mlp", "depth": 2}, "training": {"optimizer": {"name": "muon"}}}


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def pace(budget_seconds: float, planned: int, most: int) -> tuple[Clock, Pace]:
    clock = Clock()
    return clock, Pace(Budget(budget_seconds, clock=clock), planned, most, 0)


def run(clock: Clock, watch: Pace, step_seconds: float, steps: int) -> int:
    """Step at one speed to the end, however long it becomes; return the number of steps done."""
    step, length = 0, steps
    while step < length:
        step += 1
        clock.now += step_seconds
        replan = watch.replan(step, length)
        if replan is not None:
            assert replan.at_step == step
            length = replan.steps
    return step


@pytest.mark.parametrize("step_seconds", [0.05, 0.1, 0.2, 1.0])
def test_a_run_ends_with_its_budget_however_wrong_the_probe_was(step_seconds):
    clock, watch = pace(100.0, planned=1000, most=100_000)
    run(clock, watch, step_seconds, 1000)
    assert 85 <= clock.now <= 110


def test_steps_that_are_known_to_become_dearer_are_no_news():
    clock = Clock()

    def cost(done: float) -> float:
        return 0.25 if done < 0.5 else 1.0

    watch = Pace(Budget(62.5, clock=clock), 1000, 100_000, 0, cost)
    for step in range(1, 1000):
        clock.now += 0.1 * cost(step / 1000)
        assert watch.replan(step, 1000, step / 1000) is None


def test_a_fast_run_stops_at_what_the_data_is_good_for():
    clock, watch = pace(100.0, planned=1000, most=1500)
    assert run(clock, watch, 0.01, 1000) <= 1500


def test_keys_are_found_by_their_end_and_unknown_ones_name_the_nearest():
    known = keys_of(TREE)
    assert full_key("depth", known) == "network.depth"
    assert full_key("optimizer", known) == "training.optimizer.name"
    with pytest.raises(PlanError, match=r"network\.depth"):
        full_key("network.dept", known)
    changed = apply_settings(TREE, parse_settings(["depth=4", "optimizer=sgd"]))
    assert changed == {
        "network": {"family": "mlp", "depth": 4},
        "training": {"optimizer": {"name": "sgd"}},
    }
    assert TREE["network"]["depth"] == 2


@pytest.mark.parametrize("pair", ["depth", "=3", "depth=[1"])
def test_a_setting_that_is_none_is_refused(pair):
    with pytest.raises(PlanError, match="--set"):
        parse_settings([pair])


def test_every_optimizer_has_defaults_of_its_own():
    for table in (PICTURES_OPTIMIZERS, TABLES_OPTIMIZERS):
        assert set(table) == set(OPTIMIZERS)
        assert all(to_builtins(spec)["name"] == name for name, spec in table.items())


@pytest.mark.parametrize(("left", "pays"), [(50.0, False), (400.0, True), (20.0, False)])
def test_compiling_pays_only_where_its_time_comes_back(left, pays):
    plain, compiled = StepTiming(0.10, 0.11, 9, 0.1), StepTiming(0.07, 0.08, 9, 30.0)
    assert compiling_pays(plain, compiled, left) is pays
    assert not compiling_pays(plain, StepTiming(0.099, 0.1, 9, 0.0), left)


def test_photographs_are_changed_more_than_small_grey_pictures():
    def of(channels: int, side: int) -> AugmentSpec:
        block = ImageBlock(channels, side, side, (0.0,) * channels, (1.0,) * channels)
        spec, why = _augmentation(InputSpec({"image": block}))
        assert all(getattr(spec, field) for field in why)
        return spec

    assert of(1, 8) == AugmentSpec()
    assert of(1, 28) == AugmentSpec(shift=1)
    assert of(1, 64) == AugmentSpec(shift=3)
    assert of(3, 64).zoom > 0
    assert not of(3, 64).flip
    assert _augmentation(InputSpec({})) == (AugmentSpec(), {})


def test_a_plan_that_was_written_before_near_duplicates_looks_for_none(tmp_path):
    (tmp_path / "plan.yaml").write_text(
        "{name: a, seed: 0, data: {source: a.csv, target: y, task: regression}, task: {}, "
        "network: {family: mlp}, training: {steps: 10, batch_size: 8}, augmentation: {}, "
        "baselines: {}, evidence: {}, budget_seconds: null, seconds: {}, environment: {}, "
        "why: {}, format_version: 1}"
    )
    assert repeat_request(load_plan(tmp_path / "plan.yaml"), "cpu").near_duplicates is False


@pytest.mark.parametrize(
    ("channels", "columns", "steps", "task", "settings", "expected"),
    [
        (3, 0, 300, "classification", {}, 0.5),
        (3, 0, 300, "multilabel", {}, 0.5),
        (3, 0, 100, "classification", {}, 0.0),
        (1, 0, 300, "classification", {}, 0.0),
        (3, 1, 300, "classification", {}, 0.0),
        (3, 0, 300, "regression", {}, 0.0),
        (3, 0, 300, "classification", {"augmentation.cutmix"}, 0.0),
    ],
)
def test_photographs_that_are_seen_often_get_patches(
    channels, columns, steps, task, settings, expected
):
    picture = ImageBlock(channels, 64, 64, (0.0,) * channels, (1.0,) * channels)
    numbers = {"numbers": NumbersBlock(("a",), ((0.0, 1.0),))} if columns else {}
    plan = Plan(
        name="photographs",
        seed=0,
        data=DataPlan(source="", target="class", task=task),
        task=TaskPlan(),
        network=MlpSpec(),
        training=TrainingSpec(steps=steps, batch_size=100),
        augmentation=AugmentSpec(),
        baselines={},
        evidence={},
        budget_seconds=None,
        seconds={},
        environment={},
        why={},
    )
    draft = SimpleNamespace(fixed=frozenset(settings))
    found = patched(plan, draft, InputSpec({**numbers, "image": picture}), rows=600)
    assert found.augmentation.cutmix == expected
    assert ("augmentation.cutmix" in found.why) == bool(expected)
