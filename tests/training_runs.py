"""Small training runs of three paradigms, through the unchanged Trainer; for several suites.

As a program it carries one out: `python training_runs.py NAME FOLDER [RENAMES FSYNCS]`. With the
two numbers it kills itself, as a power cut would, at the so-and-so-manieth flush to the disk after
so many checkpoints have been renamed into place.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from fathom.core.batch import Batch
from fathom.core.language import Documents
from fathom.core.output import OutputSpec
from fathom.core.randomness import torch_generator
from fathom.core.task import Loss, Phase
from fathom.data.source import ArraySource
from fathom.networks.language import GptSpec
from fathom.training.language import LanguageFit
from fathom.training.settings import OptimizerSpec, TrainingSpec
from fathom.training.trainer import Trainer, Validation

torch.set_num_threads(1)
NUMBERS = OutputSpec("number")


@dataclass
class Run:
    """Everything that a Trainer is handed, fresh."""

    network: nn.Module
    task: Any
    source: Any
    spec: TrainingSpec
    validate: Callable[[nn.Module], Validation] | None = None

    def trainer(self, folder: Path, **options: Any) -> Trainer:
        options = {"seed": 5, "validate": self.validate} | options
        return Trainer(self.network, self.task, self.source, self.spec, folder=folder, **options)


@dataclass
class PlainTask:
    """A task without anything besides its losses."""

    losses: dict[str, Callable[..., Loss]]
    extra: dict[str, nn.Module] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    act_with: Any = None
    name: str = "plain"
    output: OutputSpec = NUMBERS

    def modules(self) -> dict[str, nn.Module]:
        return self.extra

    def phases(self, network: nn.Module) -> list[Phase]:
        """A phase moves the network, or the module that `owner` names for it."""
        return [
            Phase(
                name,
                dict((self.extra.get(self.owner.get(name, ""), network)).named_parameters()),
                loss,
            )
            for name, loss in self.losses.items()
        ]

    def after_step(self, network: nn.Module, step: int) -> None:
        return

    def act(self, network: nn.Module) -> Any:
        return None if self.act_with is None else lambda *args: self.act_with(network, *args)


# ---- supervised: pictures with a bright half, by a little convnet ----


class Convnet(nn.Module):
    """Convolution, batch norm, dropout, linear head: all that could break exactness."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1)
        )
        self.middle = nn.Conv2d(8, 8, 3)
        self.head = nn.Linear(8, 4)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        pictures = inputs["picture"].float() / 255
        return self.head(self.middle(self.body(pictures)).relu().mean((2, 3))).float()


def pictures(n: int, name: str) -> tuple[Tensor, Tensor]:
    """(n, 1, 8, 8) uint8 noise whose brightest quarter is the class (n,)."""
    generator = torch_generator(0, name)
    noise = torch.randint(0, 120, (n, 1, 8, 8), generator=generator)
    classes = torch.randint(0, 4, (n,), generator=generator)
    places = torch.arange(8)
    rows = (places[None] // 4) == (classes // 2)[:, None]
    columns = (places[None] // 4) == (classes % 2)[:, None]
    bright = (rows[:, :, None] & columns[:, None, :])[:, None]
    return (noise + 60 * bright).to(torch.uint8), classes


def cross_entropy(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
    assert batch.targets is not None
    return Loss(F.cross_entropy(network(batch.inputs), batch.targets))


def shuffle_rows(batch: Batch, generator: torch.Generator) -> Batch:
    """An augmentation that draws: noise on every picture."""
    block = batch.inputs["picture"]
    noisy = block ^ torch.randint(0, 16, block.shape, generator=generator).to(block)
    return replace(batch, inputs={"picture": noisy})


def supervised(**changes: Any) -> Run:
    torch.manual_seed(0)
    x, y = pictures(300, "train")
    x_validation, y_validation = pictures(200, "validation")

    def validate(network: nn.Module) -> Validation:
        right = network({"picture": x_validation}).argmax(1) == y_validation
        return Validation(float(right.float().mean()))

    optimizer = OptimizerSpec(name="muon", learning_rate=0.02)
    values: dict[str, Any] = {
        "steps": 60,
        "batch_size": 32,
        "optimizer": optimizer,
        "warmup_steps": 5,
        "weight_averaging": 0.9,
        "channels_last": True,
        "log_every": 7,
        "validate_every": 10,
        "save_every": 12,
    }
    source = ArraySource({"picture": x}, y, batch_size=32, seed=5, augment=shuffle_rows)
    task = PlainTask({"fit": cross_entropy})
    return Run(Convnet(), task, source, TrainingSpec(**values | changes), validate)


# ---- adversarial: a generator fits a density, a discriminator judges it ----


def real_samples(n: int) -> Tensor:
    """Draws from the density to be learned: normal, mean 3, deviation 0.5; (n, 1)."""
    return 3 + 0.5 * torch.randn(n, 1, generator=torch_generator(0, "density"))


class Generator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 16), nn.Tanh())
        self.head = nn.Linear(16, 1)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.head(self.body(inputs["latent"]))


def generate(network: nn.Module, n: int, generator: torch.Generator) -> Tensor:
    return network({"latent": torch.randn(n, 2, generator=generator)})


def adversarial(sign: float = 1.0, steps: int = 600) -> Run:
    """`sign` -1 turns the generator's loss round, which must show."""
    torch.manual_seed(1)
    discriminator = nn.Sequential(nn.Linear(1, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))

    def judge(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        made = generate(network, len(batch), generator).detach()
        real, fake = discriminator(batch.inputs["x"]), discriminator(made)
        return Loss(F.softplus(-real).mean() + F.softplus(fake).mean())

    def deceive(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        made = generate(network, len(batch), generator)
        return Loss(F.softplus(-sign * discriminator(made)).mean())

    task = PlainTask(
        {"deceive": deceive, "judge": judge},
        {"discriminator": discriminator},
        {"judge": "discriminator"},
    )
    optimizer = OptimizerSpec(name="adam", learning_rate=0.01, weight_decay=0, betas=(0.5, 0.9))
    spec = TrainingSpec(
        steps=steps,
        batch_size=128,
        optimizer=optimizer,
        schedule="linear",
        weight_averaging=0.97,
        clip_norm=0,
        log_every=50,
        save_every=max(1, steps // 4),
    )
    return Run(
        Generator(),
        task,
        ArraySource({"x": real_samples(2048)}, None, batch_size=128, seed=5),
        spec,
    )


# ---- acting: a small grid world, learned by policy gradient with a baseline ----

SIDE, WORLDS, ROLLOUT = 4, 32, 8
MOVES = torch.tensor([[0, 1], [0, -1], [1, 0], [-1, 0]])


class GridSource:
    """Rollouts in `WORLDS` grids at once. Reaching the goal pays 1 and begins a new episode."""

    unit = "steps"
    epoch = 0.0

    def __init__(self, seed: int) -> None:
        self.seed, self.count = seed, 0
        self.agents, self.goals = self._places("start")

    def batches(self, act: Any = None) -> Iterator[Batch]:
        while True:
            self.count += 1
            yield self._rollout(act, torch_generator(self.seed, "rollout", self.count))

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "agents": self.agents, "goals": self.goals}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = int(state["count"])
        self.agents, self.goals = state["agents"].clone(), state["goals"].clone()

    def feedback(self, indices: Tensor, priorities: Tensor) -> None:
        return

    def observe(self) -> Tensor:
        """(WORLDS, 2) offset to the goal, scaled."""
        return (self.goals - self.agents).float() / SIDE

    def move(self, actions: Tensor) -> Tensor:
        """Act; rewards (WORLDS,)."""
        self.agents = (self.agents + MOVES[actions]).clamp(0, SIDE - 1)
        done = (self.agents == self.goals).all(1)
        agents, goals = self._places("episode", self.count, int(done.sum()))
        self.agents = torch.where(done[:, None], agents, self.agents)
        self.goals = torch.where(done[:, None], goals, self.goals)
        return done.float() - 0.05

    def _places(self, *names: object) -> tuple[Tensor, Tensor]:
        drawn = torch.randint(0, SIDE, (2, WORLDS, 2), generator=torch_generator(self.seed, *names))
        return drawn[0], drawn[1]

    def _rollout(self, act: Any, generator: torch.Generator) -> Batch:
        observations, actions, rewards = [], [], []
        for _ in range(ROLLOUT):
            observations.append(self.observe())
            uniform = torch.rand(WORLDS, generator=generator)
            actions.append(act({"offset": observations[-1]}, uniform)["action"])
            rewards.append(self.move(actions[-1]))
        returns = torch.zeros(ROLLOUT + 1, WORLDS)
        for t in reversed(range(ROLLOUT)):
            # Without a bootstrap the reward's discounting stops at an episode's end.
            going_on = (rewards[t] < 0).float()
            returns[t] = rewards[t] + 0.8 * going_on * returns[t + 1]
        extra = {"action": torch.cat(actions), "return": returns[:-1].flatten()}
        return Batch({"offset": torch.cat(observations)}, extra=extra)


class Policy(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 32), nn.Tanh())
        self.head = nn.Linear(32, size)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        return self.head(self.body(inputs["offset"]))


@torch.no_grad()
def choose(network: nn.Module, observations: dict[str, Tensor], uniform: Tensor) -> Any:
    """Sample an action by inverting the distribution at `uniform`."""
    below = network(observations).softmax(1).cumsum(1)
    return {"action": (uniform[:, None] > below).sum(1).clamp(max=3)}


def acting(sign: float = 1.0, steps: int = 150) -> Run:
    torch.manual_seed(2)
    critic = Policy(1)

    def improve(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        advantages = batch.extra["return"] - critic(batch.inputs)[:, 0].detach()
        chosen = network(batch.inputs).log_softmax(1).gather(1, batch.extra["action"][:, None])
        return Loss(-sign * (advantages * chosen[:, 0]).mean())

    def evaluate(network: nn.Module, batch: Batch, generator: torch.Generator) -> Loss:
        return Loss(F.mse_loss(critic(batch.inputs)[:, 0], batch.extra["return"]))

    task = PlainTask(
        {"improve": improve, "evaluate": evaluate},
        {"critic": critic},
        {"evaluate": "critic"},
        choose,
    )
    spec = TrainingSpec(
        steps=steps,
        batch_size=WORLDS * ROLLOUT,
        optimizer=OptimizerSpec(name="adamw", learning_rate=0.02, weight_decay=0),
        schedule="linear",
        log_every=50,
        save_every=max(1, steps // 4),
    )
    return Run(Policy(4), task, GridSource(5), spec)


def mean_reward(network: nn.Module) -> float:
    """Reward a step over 100 steps in fresh worlds; about 0.4 at best, below 0.05 by chance."""
    source = GridSource(99)
    generator, total = torch_generator(99, "uniform"), 0.0
    for _ in range(100):
        source.count += 1
        uniform = torch.rand(WORLDS, generator=generator)
        action = choose(network, {"offset": source.observe()}, uniform)["action"]
        total += float(source.move(action).mean())
    return total / 100


# ---- language: what comes next in a made-up text, by a little GPT with dropout ----


def documents(count: int, name: str) -> Documents:
    """Texts of 20 to 60 tokens that count upwards from any of 2 to 9, in steps of one or two."""
    generator = torch_generator(0, name)
    texts = []
    for _ in range(count):
        begin, length = (int(torch.randint(*span, (1,), generator=generator)) for span in SPANS)
        step = 1 + int(torch.randint(2, (1,), generator=generator))
        texts.append([2 + (begin + step * i) % 8 for i in range(length)] + [0])
    lengths = np.array([len(text) for text in texts])
    stream = np.array([0, *(token for text in texts for token in text)], dtype=np.uint16)
    starts = np.concatenate([[1], 1 + np.cumsum(lengths)])
    return Documents(stream, starts, lengths - 1, [f"text {i}" for i in range(count)])


SPANS = ((0, 8), (20, 60))


def language_fit(steps: int = 40, train: Documents | None = None) -> LanguageFit:
    spec = TrainingSpec(
        steps=steps,
        batch_size=8,
        optimizer=OptimizerSpec(name="muon", learning_rate=0.02, weight_decay=0.1),
        schedule="linear",
        log_every=5,
        validate_every=10,
        save_every=12,
    )
    return LanguageFit(
        train=documents(60, "train") if train is None else train,
        validation=documents(20, "validation"),
        vocabulary=10,
        network=GptSpec(depth=2, width=32, num_heads=2, context=24, dropout=0.1),
        training=spec,
        seed=5,
    )


def language() -> Run:
    what = language_fit()
    return Run(what.build(), what.task, what.source(), what.training, what.validate)


# ---- as a program ----


def kill_at(renames: int, fsyncs: int) -> None:
    """Kill this process at the `fsyncs`-th flush after `renames` renames of a folder."""
    seen = {"renames": 0, "fsyncs": 0}
    rename, fsync = os.rename, os.fsync

    def counted_rename(*arguments: Any, **options: Any) -> None:
        rename(*arguments, **options)
        seen["renames"] += 1

    def counted_fsync(descriptor: int) -> None:
        seen["fsyncs"] += seen["renames"] == renames
        if seen["fsyncs"] == fsyncs:
            os.kill(os.getpid(), signal.SIGKILL)
        fsync(descriptor)

    os.rename, os.fsync = counted_rename, counted_fsync


RUNS: dict[str, Callable[..., Run]] = {
    "supervised": supervised,
    "adversarial": lambda: adversarial(steps=40),
    "acting": lambda: acting(steps=40),
    "language": language,
}


def carry_out(name: str, folder: Path, *, resume: bool) -> dict[str, Tensor]:
    """Do one run to its end; its weights, and those of the task's modules."""
    run = RUNS[name]()
    run.trainer(folder).fit(resume=resume)
    tensors = {f"network/{key}": value for key, value in run.network.state_dict().items()}
    for module, owner in run.task.modules().items():
        tensors |= {f"{module}/{key}": value for key, value in owner.state_dict().items()}
    return tensors


if __name__ == "__main__":
    chosen, place = sys.argv[1], Path(sys.argv[2])
    if len(sys.argv) > 3:
        kill_at(int(sys.argv[3]), int(sys.argv[4]))
    save_file(carry_out(chosen, place, resume=False), place / "final.safetensors")
