"""The Trainer: one loop for every paradigm. Read `fit`; all else is what it calls."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from fathom.core.batch import Batch
from fathom.core.budget import Budget
from fathom.core.errors import ArtefactError, InterruptedRunError, PlanError, StorageError
from fathom.core.files import write_atomic
from fathom.core.progress import Progress, Silent
from fathom.core.randomness import derive_seed, seed_torch
from fathom.core.source import Source
from fathom.core.task import Task
from fathom.core.threads import threads
from fathom.data.augment import PictureSizes
from fathom.training import checkpoint as checkpoints
from fathom.training.averaging import average_of
from fathom.training.checkpoint import Checkpoint
from fathom.training.interrupt import DeferredInterrupt
from fathom.training.log import Listener, TrainingLog
from fathom.training.optimizers import hidden_matrices
from fathom.training.phase import Outcome, PhaseUpdate
from fathom.training.precision import arrange, autocast, prepare
from fathom.training.replan import Pace
from fathom.training.schedule import Replan, learning_rate_factor, total_steps
from fathom.training.schedule import progress as way_gone
from fathom.training.settings import TrainingSpec
from fathom.training.state import (
    Tensors,
    TrainingState,
    all_finite,
    copies,
    load_module,
    of_owner,
    prefixed,
    read_state,
    split_source,
)

LAYER_LINES = 20
MOST_SKIPPED_IN_A_ROW = 10
MOST_ROLLBACKS = 2


@dataclass(frozen=True)
class Validation:
    """What validating gave: `score` chooses the best weights, higher is better."""

    score: float
    logged: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingResult:
    """What training came to; `seconds` were worked, interrupted parts of the run included."""

    steps: int
    seconds: float
    best_step: int | None
    best_score: float | None
    skipped_steps: int
    replans: tuple[Replan, ...]


def units_of(batch: Batch, source: Source) -> int:
    """How much of its unit of progress a source has given with a batch."""
    if source.unit == "tokens" and batch.targets is not None:
        return batch.targets.numel()
    return len(batch)


class Trainer:
    """Fits a network to a task on batches from a source.

    `validate(network)` is called at fixed steps with the averaged weights, where averaging is on;
    the weights with the highest score are kept, the later ones of a tie. `budget` lets the run
    change its own length when the machine is slower than planned; without one the length is the
    spec's, changed by `replans` alone. `folder` takes log.jsonl, replans.jsonl and checkpoints.
    `listener` hears every line of the log.
    `identity` stands for all that decides the weights, a digest of plan and data: a checkpoint of
    another identity is not gone on with. `sizes` brings the pictures of a batch to the size that is
    due at this point of the way.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        source: Source,
        spec: TrainingSpec,
        *,
        seed: int,
        folder: Path,
        device: str = "cpu",
        validate: Callable[[nn.Module], Validation] | None = None,
        progress: Progress | None = None,
        budget: Budget | None = None,
        replans: Sequence[Replan] = (),
        identity: str = "",
        sizes: PictureSizes | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.network, self.task, self.source, self.spec = network, task, source, spec
        self.seed, self.folder, self.device = seed, folder, device
        self.validate, self.budget, self.sizes = validate, budget, sizes
        self.progress = progress if progress is not None else Silent()
        self.state = TrainingState(identity, replans=list(replans))
        self.log = TrainingLog(folder / "log.jsonl", listener)
        self.checkpoints = folder / "checkpoints"

    def fit(self, *, resume: bool = False) -> TrainingResult:
        """Train to the end, and leave the network with its best weights, in evaluation mode.

        With `resume` the newest undamaged checkpoint goes on as if nothing had happened; without
        any it starts. Raises InterruptedRunError after Ctrl-C, once the state is saved; PlanError
        where training keeps giving numbers that are not finite; ArtefactError where there are
        checkpoints already and `resume` is off, or where they belong to another plan.
        """
        with threads(self.spec.threads), DeferredInterrupt() as interrupt:
            batches = self._begin(resume)
            while self.state.step < self.steps:
                self.state.step += 1
                # Randomness has no state: whatever is drawn in a step depends on its number alone.
                seed_torch(derive_seed(self.seed, "step", self.state.step), self.device)
                batch = arrange(self._sized(next(batches)), self.spec, self.device)
                outcomes = {
                    name: update.run(
                        self.network,
                        batch,
                        self._generator(name),
                        self.learning_rate_factor,
                        measure_layers=self._due(self.layers_every) or self.state.step == 1,
                    )
                    for name, update in self.updates.items()
                    if self.state.step % update.phase.every == 0
                }
                self.task.after_step(self.network, self.state.step)
                if self.average is not None:
                    self.average.update_parameters(self.network)
                self._count(outcomes, units_of(batch, self.source))
                if self._due(self.spec.log_every):
                    self._log(outcomes)
                sound = self._validate() if self._due(self.spec.validate_every) else True
                self._replan()
                stopping = interrupt.pressed
                saving = stopping or self._due(self.spec.save_every)
                if not sound or self._diverged(saving):
                    batches = self._roll_back()
                elif saving:
                    self._save()
                if stopping:
                    break
            result = self._finish()
            if interrupt.pressed:  # in the last step too, or while it was saved
                raise InterruptedRunError(f"Training was stopped after step {self.state.step}.")
            return result

    # ---- the parts, in the order in which the loop calls them ----

    def _begin(self, resume: bool) -> Iterator[Batch]:
        """Build everything that changes, and take it to where the run stands."""
        self.folder.mkdir(parents=True, exist_ok=True)
        prepare(self.network, self.spec, self.device)
        self.modules = self.task.modules()
        for module in self.modules.values():
            prepare(module, self.spec, self.device)
        everything = [self.network, *self.modules.values()]
        hidden = hidden_matrices(everything)
        self.updates = {
            phase.name: PhaseUpdate(phase, everything, self.spec, hidden, self.device)
            for phase in self.task.phases(self.network)
        }
        decay = self.spec.weight_averaging
        self.average = average_of(self.network, decay) if decay else None
        self.best: Tensors = {}
        if self.spec.compile:
            self.network.compile()  # in place: names and weights stay as they are
        self._clock = self.budget.clock if self.budget is not None else time.monotonic
        self._started, self._earlier = self._clock(), 0.0
        self._logged_at, self._logged_units = self._started, 0
        self._pace: Pace | None = None
        self._unsaved = False
        self._resume() if resume else self._start()
        for module in everything:
            module.train()
        return self.source.batches(self.task.act(self.network))

    def _start(self) -> None:
        if checkpoints.saved(self.checkpoints):
            raise ArtefactError(
                f"{self.checkpoints} holds checkpoints of an earlier run: resume it, or choose "
                "another folder."
            )
        self.log.keep_until(-1)
        self._write_replans()
        self._save()

    def _resume(self) -> None:
        found, sentences = checkpoints.load_newest(self.checkpoints)
        if found is None:
            self._start()
        else:
            given = self.state
            self._restore(found)
            if self.state.identity != given.identity:
                raise ArtefactError(
                    f"The run in {self.folder} was begun on other data or with another plan: start "
                    "anew without --resume, or restore the data and the plan."
                )
            self._earlier = self.state.seconds
            # A re-plan made after the checkpoint is known from its file, and holds again.
            self.state.replans = max(self.state.replans, given.replans, key=len)
            self.log.keep_until(self.state.step)
            self._write_replans()
        for sentence in sentences:
            self._event("damaged checkpoint", sentence)
        if found is not None and self.state.step < self.steps:
            self._event("resumed", f"Training goes on after step {self.state.step}.")

    def _sized(self, batch: Batch) -> Batch:
        if self.sizes is None:
            return batch
        return replace(batch, inputs=self.sizes(batch.inputs, self.done))

    def _generator(self, phase: str) -> torch.Generator:
        seed = derive_seed(self.seed, "phase", phase, self.state.step)
        return torch.Generator(device=self.device).manual_seed(seed)

    def _count(self, outcomes: Mapping[str, Outcome], units: int) -> None:
        """Keep account of what was done, and of what was not."""
        state = self.state
        main = outcomes.get(next(iter(self.updates)))
        if main is not None and main.applied:
            state.window_loss += main.loss
            state.window_updates += 1
        self._logged_units += units
        for name, outcome in outcomes.items():
            state.streaks[name] = 0 if outcome.applied else state.streaks.get(name, 0) + 1
        skipped = [outcome for outcome in outcomes.values() if not outcome.applied]
        if skipped:
            state.skipped_steps += 1
            what = "gradient" if math.isfinite(skipped[0].loss) else "loss"
            self._event(
                "skipped step",
                f"Step {state.step} was skipped: its {what} was not a finite number.",
            )
        layers = self._named_layers(outcomes)
        if layers:
            self.log.write("layers", state.step, layers=layers)
        self.progress.advance(state.step, self.steps)

    def _named_layers(self, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
        several = len(self.updates) > 1
        return {
            f"{phase}/{name}" if several else name: figures
            for phase, outcome in outcomes.items()
            for name, figures in outcome.layers.items()
        }

    def _log(self, outcomes: Mapping[str, Outcome]) -> None:
        state, now = self.state, self._clock()
        main = outcomes.get(next(iter(self.updates)))
        details = {
            name: {"loss": outcome.loss, "grad_norm": outcome.grad_norm}
            | {key: value.item() for key, value in outcome.logged.items()}
            for name, outcome in outcomes.items()
        }
        self.log.write(
            "step",
            state.step,
            epoch=self.source.epoch,
            seconds=self.seconds,
            loss=state.window_loss / state.window_updates if state.window_updates else None,
            learning_rate=self.learning_rate_factor * self.spec.optimizer.learning_rate,
            grad_norm=None if main is None else main.grad_norm,
            throughput=self._logged_units / max(now - self._logged_at, 1e-9),
            phases=details,
        )
        state.window_loss, state.window_updates = 0.0, 0
        self._logged_at, self._logged_units = now, 0

    def _validate(self) -> bool:
        """Validate, and keep the best weights; whether the score is a finite number."""
        if self.validate is None:
            return True
        started, network = self._clock(), self.network
        model = network if self.average is None else self.average.module
        model.eval()
        with torch.no_grad(), autocast(self.spec, self.device):
            result = self.validate(model)
        network.train()
        state = self.state
        if result.score >= (float("-inf") if state.best_score is None else state.best_score):
            state.best_step, state.best_score = state.step, result.score
            self.best = copies(model)
        self.log.write(
            "validation",
            state.step,
            seconds=self.seconds,
            score=result.score,
            **result.logged,
        )
        self._pause(started)
        return math.isfinite(result.score)

    def _replan(self) -> None:
        """Give the run another length, where there is a budget and the pace does not fit it."""
        if self.budget is None:
            return
        if self._pace is None:  # from the second step on: the first one may compile
            spec = self.spec
            cost = None if self.sizes is None else self.sizes.cost
            self._pace = Pace(self.budget, spec.steps, spec.most_steps, self.state.step, cost)
            return
        replan = self._pace.replan(self.state.step, self.steps, self.done)
        if replan is not None:
            before = self.steps
            self.state.replans.append(replan)
            sentence = (
                f"This machine is {'slower' if replan.steps < before else 'faster'} than was "
                f"foreseen: training now takes {replan.steps} steps instead of {before}."
            )
            # One is news; a machine whose speed goes up and down would fill the screen.
            self._event("replan", sentence, say=len(self.state.replans) == 1)
            with suppress(StorageError):  # as with a checkpoint: it is tried again
                self._write_replans()

    def _diverged(self, saving: bool) -> bool:
        """Whether nothing moves any more, or a weight that is to be saved is not finite."""
        if max(self.state.streaks.values(), default=0) >= MOST_SKIPPED_IN_A_ROW:
            return True
        return saving and not all_finite([self.network, *self.modules.values()])

    def _roll_back(self) -> Iterator[Batch]:
        """Go back to the last checkpoint with half the learning rate; a bounded number of times."""
        step, rollbacks = self.state.step, self.state.rollbacks + 1
        found, sentences = checkpoints.load_newest(self.checkpoints)
        if found is None or rollbacks > MOST_ROLLBACKS:
            raise PlanError(
                f"Training gave numbers that are not finite up to step {step}, also with a "
                "smaller learning rate: lower training.optimizer.learning_rate, or look for "
                "infinite or huge values in the data."
            )
        self._restore(found)
        self.state.rollbacks = rollbacks
        self._pace = None  # its marks are of steps that are going to be done again
        self.log.keep_until(self.state.step)
        self._write_replans()
        for sentence in sentences:
            self._event("damaged checkpoint", sentence)
        self._event(
            "rolled back",
            f"After step {step} numbers were not finite any more: training went back to step "
            f"{self.state.step}, with {0.5**rollbacks:g} times the learning rate.",
        )
        return self.source.batches(self.task.act(self.network))

    def _save(self) -> None:
        """Save a checkpoint. Where that fails training goes on, and the earlier ones stay."""
        started = self._clock()
        self.log.flush()
        try:
            checkpoints.save(self.checkpoints, self._checkpoint())
        except (OSError, ArtefactError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._event(
                "checkpoint failed",
                f"The state after step {self.state.step} could not be saved ({reason}). Training "
                "goes on; free some disk space, or an interruption will cost what came since.",
                say=not self._unsaved,  # once is enough until it succeeds again
            )
            self._unsaved = True
        else:
            self._unsaved = False
        self._pause(started)

    def _finish(self) -> TrainingResult:
        """Leave the network with its best weights, and the folder whole."""
        state = self.state
        self.log.finish()
        self._write_replans()
        if self.best:
            self.network.load_state_dict(self.best)
        elif self.average is not None:
            self.network.load_state_dict(self.average.module.state_dict())
        self.network.eval()
        return TrainingResult(
            state.step,
            self.seconds,
            state.best_step,
            state.best_score,
            state.skipped_steps,
            tuple(state.replans),
        )

    # ---- where the run stands ----

    @property
    def steps(self) -> int:
        """The length of the run, as known now."""
        return total_steps(self.spec.steps, self.state.replans, self.state.step)

    @property
    def seconds(self) -> float:
        """Seconds worked on this run so far, before an interruption too."""
        return self._earlier + self._clock() - self._started

    @property
    def done(self) -> float:
        """The share of its way that the run has gone in the middle of the present step."""
        return way_gone(self.state.step - 0.5, self.spec.steps, self.state.replans)

    @property
    def learning_rate_factor(self) -> float:
        """The share of the full learning rate in the present step."""
        curve = learning_rate_factor(self.spec, self.state.replans, self.state.step)
        return curve * 0.5**self.state.rollbacks

    @property
    def layers_every(self) -> int:
        """Steps between two lines with the norms of the layers."""
        return max(1, self.spec.steps // LAYER_LINES)

    def _due(self, every: int) -> bool:
        return self.state.step % every == 0 or self.state.step == self.steps

    def _checkpoint(self) -> Checkpoint:
        state = self.state
        state.seconds = self.seconds
        source, state.source = split_source(self.source.state_dict())
        groups = {
            "network": self.network.state_dict(),
            "modules": prefixed({name: m.state_dict() for name, m in self.modules.items()}),
            "optimizer": prefixed({name: u.optimizer.state() for name, u in self.updates.items()}),
            "average": {} if self.average is None else self.average.state_dict(),
            "best": self.best,
            "source": source,
        }
        tensors = {name: dict(group) for name, group in groups.items() if group}
        return Checkpoint(state.step, tensors, msgspec.to_builtins(state))

    def _restore(self, saved: Checkpoint) -> None:
        groups = saved.tensors
        self.state = read_state(saved.state)
        load_module(self.network, groups["network"])
        for name, module in self.modules.items():
            load_module(module, of_owner(groups.get("modules", {}), name))
        for name, update in self.updates.items():
            update.optimizer.load_state(of_owner(groups.get("optimizer", {}), name))
        if self.average is not None:
            load_module(self.average, groups.get("average", {}))
        self.best = {k: self._placed(t) for k, t in groups.get("best", {}).items()}
        self.source.load_state_dict(self.state.source | groups.get("source", {}))

    def _placed(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device)

    def _pause(self, started: float) -> None:
        if self._pace is not None:
            self._pace.pause(self._clock() - started)

    def _write_replans(self) -> None:
        path = self.folder / "replans.jsonl"
        if self.state.replans:
            lines = [msgspec.json.encode(replan) + b"\n" for replan in self.state.replans]
            write_atomic(path, b"".join(lines))
        else:
            path.unlink(missing_ok=True)

    def _event(self, event: str, sentence: str, *, say: bool = True) -> None:
        self.log.write("event", self.state.step, event=event, sentence=sentence)
        if say:
            self.progress.say(sentence)
