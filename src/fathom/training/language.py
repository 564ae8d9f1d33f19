"""A network of language fitted to a corpus by the one Trainer. For runs and for probes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, log, nan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fathom.core.language import Documents
from fathom.data.corpus.source import TokenSource
from fathom.inference.reading import parts_of, windows_of
from fathom.networks.language import LanguageNetwork, LanguageSpec, build
from fathom.tasks.language import LanguageModelling
from fathom.training import checkpoint as checkpoints
from fathom.training.precision import autocast
from fathom.training.settings import TrainingSpec
from fathom.training.state import load_module
from fathom.training.supervised import CHECKPOINTS
from fathom.training.trainer import Trainer, TrainingResult, Validation


@dataclass(frozen=True)
class LanguageFit:
    """What is to be fitted, and how. Nothing is computed until `fit`.

    `begun_with` are the weights that training begins with, none for a fresh network.
    """

    train: Documents
    validation: Documents
    vocabulary: int
    network: LanguageSpec
    training: TrainingSpec
    seed: int
    device: str = "cpu"
    begun_with: Mapping[str, Tensor] = field(default_factory=dict)
    task: LanguageModelling = field(default_factory=LanguageModelling)

    def fresh(self) -> LanguageNetwork:
        """A network with fresh weights on the device."""
        return build(self.network, self.vocabulary, seed=self.seed).to(self.device)

    def build(self) -> LanguageNetwork:
        """The network that training begins with, on the device."""
        network = self.fresh()
        if self.begun_with:
            load_module(network, dict(self.begun_with))
        return network

    def source(self) -> TokenSource:
        """The training text, packed."""
        return TokenSource(
            self.train,
            batch_size=self.training.batch_size,
            context=self.network.context,
            seed=self.seed,
            device=self.device,
        )

    def validate(self, network: nn.Module) -> Validation:
        """The mean loss on the validation text in windows that do not overlap."""
        assert isinstance(network, LanguageNetwork)
        # Batches of other shapes than those of training would each be compiled anew.
        with torch.compiler.set_stance("force_eager"):
            nats = mean_nats(network, self.validation, self.training, self.device)
        if not isfinite(nats):
            return Validation(nan)
        size = int(self.validation.sizes.sum())
        bits = nats * self.validation.predicted / max(size, 1) / log(2)
        return Validation(-bits, {"nats_per_token": nats, "bits_per_byte": bits})

    def fit(
        self, folder: Path, *, resume: bool = False, **options: Any
    ) -> tuple[LanguageNetwork, TrainingResult]:
        """Train in `folder` (log and checkpoints go there); the network holds its best weights.

        `options` are those of the Trainer.
        """
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
            validate=self.validate if self.validation.predicted else None,
            **options,
        )
        return network, trainer.fit(resume=resume)


@torch.no_grad()
def mean_nats(
    network: LanguageNetwork, documents: Documents, spec: TrainingSpec, device: str
) -> float:
    """The mean of -log p over all predicted tokens, read in windows that do not overlap."""
    total, count = 0.0, 0
    windows = windows_of(documents, network.context, network.context)
    with autocast(spec, device):
        for part in parts_of(documents, windows, vocabulary=network.vocabulary, device=device):
            logits = network(part.tokens)[part.counted]
            losses = nn.functional.cross_entropy(
                logits, part.targets[part.counted], reduction="sum"
            )
            total += losses.item()
            count += len(part.positions)
    return total / max(count, 1)
