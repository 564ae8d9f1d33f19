"""How long a training step takes, measured on the real thing before the run begins."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.source import Source
from fathom.core.task import Task
from fathom.core.threads import threads
from fathom.training.optimizers import hidden_matrices
from fathom.training.phase import PhaseUpdate
from fathom.training.precision import arrange, prepare
from fathom.training.settings import TrainingSpec

LEAST_STEPS, MOST_STEPS = 2, 200


class Trainable(Protocol):
    """What can be timed: `build` and `source` give fresh copies, which are thrown away."""

    @property
    def task(self) -> Task:
        """What is to be learned."""

    @property
    def training(self) -> TrainingSpec:
        """How."""

    @property
    def device(self) -> str:
        """Where."""

    def build(self) -> nn.Module:
        """A fresh network."""

    def source(self) -> Source:
        """Its batches."""


@dataclass(frozen=True)
class StepTiming:
    """Seconds a step: the median and the slowest of `steps` timed ones, after warming up.

    Where batches are of uneven size, both are those of a batch of mean size at the seconds that a
    value took. `first` is what the very first step took, compiling included. A slowest step far
    above the median says that something else wants the processor too.
    """

    median: float
    slowest: float
    steps: int
    first: float = 0.0


Inputs = dict[str, Tensor]


def measure_speed(
    what: Trainable, *, seconds: float, resize: Callable[[Inputs], Inputs] | None = None
) -> StepTiming:
    """Time whole training steps (batch, forward, backward, optimizer) for about `seconds`.

    `resize` brings the pictures of each batch to another size first.
    """
    spec, network, task = what.training, what.build(), copy.deepcopy(what.task)
    prepare(network, spec, what.device)
    modules = [network, *task.modules().values()]
    for module in modules:
        prepare(module, spec, what.device)
        module.train()
    hidden = hidden_matrices(modules)
    updates = [
        PhaseUpdate(phase, modules, spec, hidden, what.device) for phase in task.phases(network)
    ]
    if spec.compile:
        network.compile()
    batches = what.source().batches(task.act(network))
    generator = torch.Generator(device=what.device)

    def step() -> int:
        batch = next(batches)
        if resize is not None:
            batch = replace(batch, inputs=resize(batch.inputs))
        batch = arrange(batch, spec, what.device)
        for update in updates:
            update.run(network, batch, generator, factor=1e-6)
        return sum(block.numel() for block in batch.inputs.values())

    with threads(spec.threads):
        return _timed(step, seconds)


def _timed(step: Callable[[], int], seconds: float) -> StepTiming:
    """Repeat `step`, which says how many values it saw, until the time is up.

    An update reads its loss: it is done when it returns.
    """
    begun = perf_counter()
    end = begun + seconds
    step()
    first = perf_counter() - begun
    if perf_counter() < end:
        step()  # seldom warm after one; but where steps are slow nobody should wait for more
    times: list[float] = []
    sizes: list[int] = []
    while len(times) < LEAST_STEPS or (len(times) < MOST_STEPS and perf_counter() < end):
        started = perf_counter()
        sizes.append(step())
        times.append(perf_counter() - started)
    even = np.array(times) * np.mean(sizes) / np.array(sizes)
    return StepTiming(float(np.median(even)), float(even.max()), len(times), first)
