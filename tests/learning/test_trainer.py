"""The Trainer learns, repeats itself exactly, and does not let bad numbers near the weights."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import training_runs
from fathom.core.batch import Batch
from fathom.core.budget import Budget
from fathom.core.errors import InterruptedRunError, PlanError
from fathom.core.progress import Silent
from fathom.core.task import Loss
from fathom.data.augment import PictureSizes
from fathom.data.source import ArraySource
from fathom.training.checkpoint import saved
from fathom.training.interrupt import DeferredInterrupt
from fathom.training.optimizers import OPTIMIZERS
from fathom.training.schedule import Replan, load_replans
from fathom.training.settings import OptimizerSpec, TrainingSpec
from fathom.training.speed import measure_speed
from fathom.training.trainer import Validation
from training_runs import PlainTask, Run, cross_entropy

RATES = {"muon": 5e-3, "adamw": 5e-3, "adam": 5e-3, "sgd": 0.05}


class Mlp(nn.Module):
    def __init__(self, inputs: int = 64, outputs: int = 10) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, 32), nn.BatchNorm1d(32), nn.ReLU())
        self.head = nn.Linear(32, outputs)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.head(self.body(inputs["numbers"])).float()


def digits(**changes: Any) -> Run:
    """Digits by a small MLP; the score is the accuracy on the last third."""
    torch.manual_seed(0)
    data = load_digits()
    x, y = torch.tensor(data.data, dtype=torch.float32) / 16, torch.tensor(data.target)

    def validate(network: nn.Module) -> Validation:
        accuracy = float((network({"numbers": x[1200:]}).argmax(1) == y[1200:]).float().mean())
        return Validation(accuracy, {"accuracy": accuracy})

    values: dict[str, Any] = {"steps": 150, "batch_size": 64, "warmup_steps": 10}
    spec = TrainingSpec(**values | changes)
    source = ArraySource({"numbers": x[:1200]}, y[:1200], batch_size=64, seed=1)
    return Run(Mlp(), PlainTask({"fit": cross_entropy}), source, spec, validate)


def log(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def weights(run: Run) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.network.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_learns_digits(name: str, tmp_path: Path) -> None:
    run = digits(optimizer=OptimizerSpec(name=name, learning_rate=RATES[name]))
    result = run.trainer(tmp_path).fit()
    assert result.best_score is not None
    assert result.best_score > 0.88
    losses = [line["loss"] for line in log(tmp_path, "step")]
    assert losses[-1] < 0.25 * losses[0]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_same_seed_same_weights(precision: str, tmp_path: Path) -> None:
    runs = [digits(steps=30, precision=precision) for _ in range(3)]
    for number, (run, seed) in enumerate(zip(runs, (5, 5, 6), strict=True)):
        torch.rand(number)  # what was drawn before does not matter
        run.network.body.append(nn.Dropout(0.2))  # type: ignore[union-attr]
        run.trainer(tmp_path / str(number), seed=seed).fit()
    assert same(weights(runs[0]), weights(runs[1]))
    assert not same(weights(runs[0]), weights(runs[2]))


def test_log_tells_the_whole_story(tmp_path: Path) -> None:
    result = digits(log_every=10, validate_every=40).trainer(tmp_path).fit()
    steps = log(tmp_path, "step")
    assert [line["step"] for line in steps] == list(range(10, 151, 10))
    keys = {"epoch", "seconds", "loss", "learning_rate", "grad_norm", "throughput"}
    assert keys <= steps[0].keys()
    assert [line["step"] for line in log(tmp_path, "validation")] == [40, 80, 120, 150]
    layers = log(tmp_path, "layers")
    assert 20 <= len(layers) <= 24
    assert set(layers[0]["layers"]) == {"body.0.weight", "head.weight"}
    for figures in (figures for line in layers for figures in line["layers"].values()):
        assert min(figures.values()) > 0
    best = max(line["score"] for line in log(tmp_path, "validation"))
    assert result.best_score == best


def test_who_listens_has_put_the_lines_away_before_a_checkpoint_stands_on_them(
    tmp_path: Path,
) -> None:
    class Listener:
        step = 0

        def keep_until(self, step: int) -> None: ...

        def line(self, kind: str, step: int, values: Any) -> None:
            self.step = step

        def flush(self) -> None:
            steps = {int(path.name.split("-")[-1]) for path in saved(tmp_path / "checkpoints")}
            put_away.append((self.step, max(steps, default=-1)))

    put_away: list[tuple[int, int]] = []
    run = digits(steps=20, save_every=10, log_every=5)
    run.trainer(tmp_path, listener=Listener()).fit()
    assert put_away == [(0, -1), (10, 0), (20, 10)]  # the last line heard, the last state saved


def test_network_is_left_with_its_best_weights_and_the_later_of_a_tie(tmp_path: Path) -> None:
    scores = iter([0.1, 0.9, 0.9, 0.3])
    seen: list[dict[str, Tensor]] = []

    def validate(network: nn.Module) -> Validation:
        assert not network.training
        seen.append({name: tensor.clone() for name, tensor in network.state_dict().items()})
        return Validation(next(scores))

    run = digits(steps=40, validate_every=10, weight_averaging=0.9)
    result = run.trainer(tmp_path, validate=validate).fit()
    assert result.best_step == 30
    assert same(seen[2], weights(run))
    assert not same(seen[3], weights(run))


def test_batch_with_an_infinity_changes_nothing(tmp_path: Path) -> None:
    run = digits(steps=18, validate_every=100)  # one epoch: each example is seen once
    run.source.inputs["numbers"][7, 3] = float("inf")
    states: list[tuple[int, dict[str, Tensor]]] = []
    run.task.after_step = lambda network, step: states.append((step, weights(run)))
    heard = Silent()
    result = run.trainer(tmp_path, validate=None, progress=heard).fit()
    assert result.skipped_steps == 1
    step = log(tmp_path, "event")[0]["step"]
    assert heard.sentences == [f"Step {step} was skipped: its loss was not a finite number."]
    by_step = dict(states)
    assert same(by_step[step], by_step[step - 1])  # the statistics of the batch norm included
    assert not same(by_step[step], by_step[step + 1])


def descend(loss: Callable[[nn.Module], Tensor], rate: float, steps: int = 300) -> Run:
    """A network of one layer under a loss of its weights alone, by plain gradient descent."""
    torch.manual_seed(0)
    network = nn.Linear(4, 1)
    spec = TrainingSpec(
        steps=steps,
        batch_size=4,
        optimizer=OptimizerSpec(name="sgd", learning_rate=rate, momentum=0, weight_decay=0),
        schedule="constant",
        clip_norm=0,
    )

    def of_weights(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        return Loss(loss(network))

    source = ArraySource({"numbers": torch.zeros(8, 4)}, None, batch_size=4, seed=0)
    return Run(network, PlainTask({"fit": of_weights}), source, spec)


def square(network: nn.Module) -> Tensor:
    return sum((p**2).sum() for p in network.parameters())  # type: ignore[return-value]


def test_divergence_rolls_back_to_half_the_learning_rate(tmp_path: Path) -> None:
    run, heard = descend(square, rate=1.8), Silent()  # above 1 it grows, below it shrinks
    result = run.trainer(tmp_path, progress=heard).fit()
    assert any("0.5 times the learning rate" in sentence for sentence in heard.sentences)
    assert result.steps == 300
    assert square(run.network).item() < 1e-6
    steps = [line["step"] for line in log(tmp_path, "step")]
    assert steps == sorted(set(steps))


def test_divergence_under_a_budget_rolls_back_too(tmp_path: Path) -> None:
    run = descend(lambda network: square(network) * float("nan"), rate=0.1)
    with pytest.raises(PlanError, match="learning_rate"):
        run.trainer(tmp_path, budget=Budget(60)).fit()


@pytest.mark.parametrize("score", [float("nan"), float("-inf")])
def test_validation_that_is_not_finite_rolls_back(score: float, tmp_path: Path) -> None:
    scores = iter([0.5, score, 0.6, 0.7, 0.8])
    run = digits(steps=40, validate_every=10, save_every=10)
    result = run.trainer(tmp_path, validate=lambda network: Validation(next(scores))).fit()
    assert result.steps == 40
    assert (result.best_step, result.best_score) == (40, 0.8)
    assert [line["step"] for line in log(tmp_path, "validation")] == [10, 20, 30, 40]
    assert log(tmp_path, "event")[0]["event"] == "rolled back"


def test_validation_that_stays_not_finite_is_bounded_and_said(tmp_path: Path) -> None:
    run = digits(steps=40, validate_every=10)
    with pytest.raises(PlanError, match="learning_rate"):
        run.trainer(tmp_path, validate=lambda network: Validation(float("nan"))).fit()


def test_roll_back_takes_its_replans_back_from_the_file(tmp_path: Path) -> None:
    clock, scores = Clock(), iter([float("nan"), *[0.5] * 50])
    run = digits(steps=200, validate_every=60, save_every=1000)

    def tick(network: nn.Module, step: int) -> None:
        clock.now += 3.0 if clock.now < 180 else 0.5  # slow until the roll-back after step 60

    run.task.after_step = tick
    trainer = run.trainer(
        tmp_path,
        budget=Budget(250, clock=clock),
        validate=lambda network: Validation(next(scores)),
    )
    written: list[list[Any]] = []
    roll_back = trainer._roll_back

    def watched() -> Any:
        written.append(load_replans(tmp_path / "replans.jsonl"))
        batches = roll_back()
        written.append(load_replans(tmp_path / "replans.jsonl"))
        assert written[-1] == trainer.state.replans
        return batches

    trainer._roll_back = watched  # type: ignore[method-assign]
    result = trainer.fit()
    assert len(written[0]) > 0
    assert written[1] == []
    assert tuple(load_replans(tmp_path / "replans.jsonl")) == result.replans


def press(network: nn.Module, step: int, at: int = 40) -> None:
    """Ctrl-C in a step."""
    if step == at:
        signal.raise_signal(signal.SIGINT)


def test_interrupt_in_the_very_last_step_stops_too(tmp_path: Path) -> None:
    run = digits(steps=40)
    run.task.after_step = press
    with pytest.raises(InterruptedRunError, match="step 40"):
        run.trainer(tmp_path).fit()
    whole, resumed = digits(steps=40), digits(steps=40)
    assert resumed.trainer(tmp_path).fit(resume=True).steps == 40
    whole.trainer(tmp_path / "whole").fit()
    assert same(weights(whole), weights(resumed))


def test_interrupt_while_the_last_state_is_saved_stops_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = digits(steps=40).trainer(tmp_path)
    save = trainer._save

    def pressed() -> None:
        save()
        press(trainer.network, trainer.state.step)

    monkeypatch.setattr(trainer, "_save", pressed)
    with pytest.raises(InterruptedRunError, match="step 40"):
        trainer.fit()


def test_interrupt_that_nobody_asked_about_is_delivered() -> None:
    with pytest.raises(KeyboardInterrupt), DeferredInterrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.pressed


def test_endless_nan_is_bounded_and_said(tmp_path: Path) -> None:
    run = descend(lambda network: square(network) * float("nan"), rate=0.1)
    before = weights(run)
    with pytest.raises(PlanError, match="learning_rate"):
        run.trainer(tmp_path).fit()
    assert same(before, weights(run))


def test_nan_in_a_rare_phase_is_bounded_too(tmp_path: Path) -> None:
    run = descend(square, rate=0.1)
    fit = run.task.losses["fit"]

    def broken(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        return Loss(square(network) * float("nan"))

    phases = descend(square, rate=0.1).task.phases
    run.task.phases = lambda network: [
        *phases(network),
        *(
            type(phase)(name, phase.parameters, loss, every=every)
            for phase in phases(network)
            for name, loss, every in (("good", fit, 1), ("broken", broken, 2))
        ),
    ]
    with pytest.raises(PlanError, match="not finite"):
        run.trainer(tmp_path).fit()


class Clock:
    """Seconds that pass when a step is done: `cost(step)` each."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def clocked(folder: Path, cost: Callable[[int], float], seconds: float) -> tuple[Run, Any, Clock]:
    run, clock = digits(steps=200), Clock()

    def tick(network: nn.Module, step: int) -> None:
        clock.now += cost(step)

    run.task.after_step = tick
    return run, run.trainer(folder, budget=Budget(seconds, clock=clock)).fit(), clock


def test_run_within_its_budget_is_never_changed(tmp_path: Path) -> None:
    _, result, _ = clocked(tmp_path, lambda step: 1.0, seconds=200)
    assert result.steps == 200
    assert result.replans == ()
    assert not (tmp_path / "replans.jsonl").exists()


def test_slow_machine_takes_fewer_steps_and_still_ends_in_time(tmp_path: Path) -> None:
    _, result, clock = clocked(tmp_path, lambda step: 3.0 if step > 100 else 1.0, seconds=200)
    assert result.steps < 200
    assert 185 < clock.now < 210
    rates = [line["learning_rate"] for line in log(tmp_path, "step")]
    assert rates[-1] < 0.01 * max(rates)  # the curve still comes down to zero
    assert len(log(tmp_path, "event")) == len(result.replans)


def test_passing_stall_gives_the_steps_back(tmp_path: Path) -> None:
    _, result, clock = clocked(tmp_path, lambda step: 10.0 if 20 <= step < 26 else 0.8, seconds=200)
    assert min(replan.steps for replan in result.replans) < 150
    assert 150 < result.steps <= 200
    assert clock.now < 210


def test_replans_are_replayed_to_the_same_weights(tmp_path: Path) -> None:
    run, result, _ = clocked(tmp_path, lambda step: 2.0 if step > 50 else 1.0, seconds=150)
    replans = load_replans(tmp_path / "replans.jsonl")
    assert replans
    assert tuple(replans) == result.replans
    repeated = digits(steps=200)
    again = repeated.trainer(tmp_path / "again", replans=replans).fit()
    assert again.steps == result.steps
    assert same(weights(run), weights(repeated))
    assert load_replans(tmp_path / "again" / "replans.jsonl") == replans


def test_without_a_budget_nothing_is_replanned(tmp_path: Path) -> None:
    assert digits(steps=30).trainer(tmp_path).fit().replans == ()


def test_speed_is_measured_on_throw_away_copies() -> None:
    run = training_runs.adversarial(steps=10)
    before = {k: v.clone() for k, v in run.task.extra["discriminator"].state_dict().items()}

    class What:
        task, training, device = run.task, run.spec, "cpu"

        def build(self) -> nn.Module:
            return training_runs.Generator()

        def source(self) -> Any:
            return training_runs.adversarial(steps=10).source

    speed = measure_speed(What(), seconds=0.05)
    assert 0 < speed.median <= speed.slowest
    assert speed.steps >= 1
    after = run.task.extra["discriminator"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"batch_size": 0},
        {"warmup_steps": 200},
        {"weight_averaging": 1.0},
        {"clip_norm": -1.0},
        {"schedule": "step"},
        {"precision": "float16"},
        {"threads": 0},
    ],
)
def test_settings_that_do_not_fit_are_named(changes: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=f"training.{next(iter(changes))}"):
        TrainingSpec(**{"steps": 150, "batch_size": 8} | changes)


def test_unknown_optimizer_names_the_nearest() -> None:
    with pytest.raises(PlanError, match="Did you mean 'adamw'"):
        OptimizerSpec(name="adanw")
    with pytest.raises(PlanError, match=r"optimizer\.learning_rate"):
        OptimizerSpec(learning_rate=0.0)


def test_pictures_that_grow_survive_interruption_and_a_replan(tmp_path: Path) -> None:
    sizes, replans = PictureSizes(0.5, 8), [Replan(20, 50)]
    seen: list[tuple[int, ...]] = []

    def made() -> Run:
        torch.manual_seed(1)
        run = training_runs.supervised()
        run.network.middle = nn.Conv2d(8, 8, 3, padding=1)  # no picture is too small for it
        return run

    def watching(run: Run) -> Run:
        run.network.register_forward_pre_hook(
            lambda module, given: (
                seen.append(tuple(given[0]["picture"].shape[2:])) if module.training else None
            )
        )
        return run

    whole = watching(made())
    whole.trainer(tmp_path / "whole", sizes=sizes, replans=replans).fit()
    assert seen == sorted(seen)
    assert seen[0] == (4, 4)
    assert seen[-1] == (8, 8)
    assert len(seen) == 50
    stopped = made()
    stopped.task.after_step = press
    with pytest.raises(InterruptedRunError):
        stopped.trainer(tmp_path / "parts", sizes=sizes, replans=replans).fit()
    resumed = made()
    resumed.trainer(tmp_path / "parts", sizes=sizes).fit(resume=True)
    assert same(weights(whole), weights(resumed))
