"""Supervised: a network fitted to encoded examples, by the one Trainer. For runs and for probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace as changed
from torch import nn

from fathom.core.blocks import InputSpec
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.output import OutputSpec
from fathom.core.prediction import Array, Prediction
from fathom.core.progress import Progress
from fathom.core.ragged import Ragged
from fathom.core.randomness import numpy_generator
from fathom.core.stored import Rows, StoredArray
from fathom.core.task import SupervisedTask
from fathom.core.threads import threads
from fathom.data.augment import Augment, AugmentSpec, PictureSizes
from fathom.data.source import ArraySource, Held
from fathom.inference import run_network
from fathom.networks import NetworkSpec, PretrainedSpec, build
from fathom.networks.beginning import begin, begins
from fathom.networks.convnet import smaller
from fathom.networks.sound import hide
from fathom.tasks import selection
from fathom.training import checkpoint as checkpoints
from fathom.training.log import Listener
from fathom.training.schedule import Replan
from fathom.training.settings import TrainingSpec
from fathom.training.trainer import Trainer, TrainingResult, Validation

CHECKPOINTS = "checkpoints"
AT_ONCE = 256  # pictures that are reduced together
BEGUN_WITH, BEGUN_VALUES = 64, 2**22  # examples, and values, that a network sees before training


@dataclass(frozen=True)
class Supervised:
    """What is to be fitted, and how. Nothing is computed until `fit`."""

    train: Examples
    validation: Examples
    inputs: InputSpec
    output: OutputSpec
    task: SupervisedTask
    network: NetworkSpec
    training: TrainingSpec
    augmentation: AugmentSpec
    seed: int
    device: str = "cpu"

    def build(self) -> nn.Module:
        """The network that training begins with, on the device: fresh, or pretrained."""
        if isinstance(self.network, PretrainedSpec):
            from fathom.training.transfer import begun

            return begun(self)
        network = self.fresh()
        if begins(network) and len(self.train):
            with threads(self.training.threads):
                begin(network, self._some())
        return network

    def _some(self) -> dict[str, torch.Tensor]:
        """The inputs of a few training examples, drawn at random."""
        each = sum(int(np.prod(block.shape[1:])) for block in self.train.inputs.values())
        count = min(BEGUN_WITH, max(1, BEGUN_VALUES // max(each, 1)))
        some = self.train.sample(count, numpy_generator(self.seed, "begin"))
        rows = np.arange(len(some))
        blocks = {name: np.array(block[rows]) for name, block in some.inputs.items()}
        return {name: torch.from_numpy(block).to(self.device) for name, block in blocks.items()}

    def fresh(self) -> nn.Module:
        """A network with fresh weights on the device."""
        network = build(self.network, self.inputs, self.output, seed=self.seed)
        hide(network, self.augmentation.hidden_bands, self.augmentation.hidden_time)
        return network.to(self.device)

    def source(self) -> ArraySource:
        """The training examples, resident on the device, or read batch by batch where stored."""
        assert self.train.targets is not None
        spec = changed(self.augmentation, progressive=1.0, hidden_bands=0.0, hidden_time=0.0)
        changes = spec != AugmentSpec()
        return ArraySource(
            {name: self._resident(self._small(block)) for name, block in self.train.inputs.items()},
            self.task.encode_targets(self.train.targets).to(self.device),
            batch_size=self.training.batch_size,
            seed=self.seed,
            augment=Augment(self.augmentation) if changes else None,
            device=self.device,
        )

    @property
    def sizes(self) -> PictureSizes | None:
        """How large the pictures are on the way; None where they are full from the start."""
        if self.augmentation.progressive == 1.0 or not self.inputs.images:
            return None
        largest = max(min(b.height, b.width) for b in self.inputs.images.values())
        return PictureSizes(self.augmentation.progressive, largest)

    def validate(self, network: nn.Module) -> Validation:
        """The task's metrics on the validation examples, and the score that weights are chosen by.

        Where an output is not finite the score is NaN, which no weights are kept for.
        """
        assert self.validation.targets is not None
        prediction = self.predict(network, self.validation)
        if not prediction.finite:
            return Validation(nan)
        metrics = self.task.metrics(prediction, self.validation.targets)
        chosen = selection(metrics, self.task.primary, len(self.validation))
        return Validation(chosen.score, metrics)

    @property
    def selection_metric(self) -> str:
        """The name of the metric that `validate` scores by; the targets alone decide it."""
        assert self.validation.targets is not None
        unsaid = self.task.predict(torch.zeros(len(self.validation), self.output.size))
        metrics = self.task.metrics(unsaid, self.validation.targets)
        return selection(metrics, self.task.primary, len(self.validation)).metric

    def predict(self, network: nn.Module, examples: Examples) -> Prediction:
        """What the network says of examples, in the precision in which it is trained."""
        outputs = run_network(
            network, examples, precision=self.training.precision, device=self.device
        )
        return self.task.predict(outputs)

    def fit(
        self,
        folder: Path,
        *,
        resume: bool = False,
        budget: Budget | None = None,
        replans: Sequence[Replan] = (),
        progress: Progress | None = None,
        identity: str = "",
        listener: Listener | None = None,
    ) -> tuple[nn.Module, TrainingResult]:
        """Train in `folder` (log and checkpoints go there); the network holds its best weights.

        Only checkpoints of the same `identity` are gone on with; see Trainer. Without validation
        examples the last weights are the best.
        """
        if isinstance(self.network, PretrainedSpec) and not self.network.tune:
            return self._fit_head(
                folder,
                resume=resume,
                budget=budget,
                replans=replans,
                progress=progress,
                identity=identity,
                listener=listener,
            )
        return self.train_in(
            folder,
            resume=resume,
            budget=budget,
            replans=replans,
            progress=progress,
            identity=identity,
            listener=listener,
        )

    def train_in(
        self, folder: Path, *, resume: bool = False, **options: Any
    ) -> tuple[nn.Module, TrainingResult]:
        """Run the one loop in `folder` as `fit` says, whatever the network."""
        begun = resume and checkpoints.saved(folder / CHECKPOINTS)
        network = self.fresh() if begun else self.build()  # a checkpoint holds all weights
        trainer = Trainer(
            network,
            self.task,
            self.source(),
            self.training,
            seed=self.seed,
            folder=folder,
            device=self.device,
            validate=self.validate if len(self.validation) else None,
            sizes=self.sizes,
            **options,
        )
        return network, trainer.fit(resume=resume)

    def _fit_head(
        self, folder: Path, *, progress: Progress | None, **options: Any
    ) -> tuple[nn.Module, TrainingResult]:
        """The pretrained network as it is, with a head that is learned on its features."""
        from fathom.training.transfer import fit_frozen

        network, on_features = fit_frozen(self, progress)
        return on_features.learned(folder, network, progress=progress, **options)

    def _small(self, block: Rows) -> Rows:
        """Pictures as small as the network makes them anyway, once instead of in every step."""
        side = getattr(self.network, "side", 0)
        if not side or block.ndim != 4 or min(block.shape[2:]) <= side:
            return block
        if isinstance(block, StoredArray):
            return block.changed(partial(_reduced, side=side))
        return _kept_small(block, side)

    def _resident(self, block: Rows) -> Held:
        if isinstance(block, StoredArray | Ragged):
            return block
        return torch.from_numpy(np.asarray(block)).to(self.device)


def _reduced(pictures: Array, side: int) -> Array:
    """Pictures (n, C, H, W) uint8 with their smaller side brought down to `side`."""
    parts = [
        smaller(torch.from_numpy(np.ascontiguousarray(pictures[i : i + AT_ONCE])), side)
        for i in range(0, len(pictures), AT_ONCE)
    ]
    reduced: Array = torch.cat(parts).round().clamp(0, 255).to(torch.uint8).numpy()
    return reduced


_small: list[tuple[Rows, int, Array]] = []


def _kept_small(block: Rows, side: int) -> Array:
    """The reduced pictures of a block; those of the last one are kept, as probes ask again."""
    if not _small or _small[0][0] is not block or _small[0][1] != side:
        _small[:] = [(block, side, _reduced(np.asarray(block), side))]
    return _small[0][2]
