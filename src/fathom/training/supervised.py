"""Supervised: a network fitted to encoded examples, by the one Trainer. For runs and for probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace as changed
from torch import nn

from fathom.core.blocks import InputSpec
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.output import OutputSpec
from fathom.core.prediction import Prediction
from fathom.core.progress import Progress
from fathom.core.ragged import Ragged
from fathom.core.stored import Rows, StoredArray
from fathom.core.task import SupervisedTask
from fathom.data.augment import Augment, AugmentSpec, PictureSizes
from fathom.data.source import ArraySource, Held
from fathom.inference import run_network
from fathom.networks import NetworkSpec, build
from fathom.tasks import selection
from fathom.training.log import Listener
from fathom.training.schedule import Replan
from fathom.training.settings import TrainingSpec
from fathom.training.trainer import Trainer, TrainingResult, Validation


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
        """A network with fresh weights on the device."""
        return build(self.network, self.inputs, self.output, seed=self.seed).to(self.device)

    def source(self) -> ArraySource:
        """The training examples, resident on the device, or read batch by batch where stored."""
        assert self.train.targets is not None
        changes = changed(self.augmentation, progressive=1.0) != AugmentSpec()
        return ArraySource(
            {name: self._resident(block) for name, block in self.train.inputs.items()},
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
        network = self.build()
        trainer = Trainer(
            network,
            self.task,
            self.source(),
            self.training,
            seed=self.seed,
            folder=folder,
            device=self.device,
            validate=self.validate if len(self.validation) else None,
            progress=progress,
            budget=budget,
            replans=replans,
            identity=identity,
            sizes=self.sizes,
            listener=listener,
        )
        return network, trainer.fit(resume=resume)

    def _resident(self, block: Rows) -> Held:
        if isinstance(block, StoredArray | Ragged):
            return block
        return torch.from_numpy(np.asarray(block)).to(self.device)
