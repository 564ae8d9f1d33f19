"""Transfer: features of a frozen backbone, a head that is learned on them, and the start of all.

Features are computed once and kept, because each pass over them costs next to nothing.
"""

from __future__ import annotations

import copy
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace as changed
from torch import nn

from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Silent
from fathom.core.randomness import numpy_generator
from fathom.core.threads import threads
from fathom.data.augment import AugmentSpec
from fathom.inference import by_length, run_network
from fathom.networks.pretrained import FEATURES, Body, Pretrained, PretrainedSpec, Top
from fathom.training.precision import prepare
from fathom.training.settings import OptimizerSpec, TrainingSpec
from fathom.training.supervised import Supervised
from fathom.training.trainer import TrainingResult

AT_ONCE = 64  # examples, of about equal length, between two looks at the clock
KEPT = 6  # arrays of features, and starts
# A linear head on standardised features; found on validation splits, see LOG.md.
HEAD_OPTIMIZER = OptimizerSpec(name="adamw", learning_rate=0.001, weight_decay=1.0)
HEAD_BATCH = 64

_features: OrderedDict[str, Array] = OrderedDict()
_starts: OrderedDict[str, dict[str, torch.Tensor]] = OrderedDict()


@dataclass(frozen=True)
class OnFeatures(Supervised):
    """A fit of the head alone: its examples are features, its network is the `Top` of `whole`."""

    whole: Pretrained | None = None

    def build(self) -> nn.Module:
        """The last stages of `whole` as they are there: a copy."""
        assert self.whole is not None
        return copy.deepcopy(Top(self.whole))

    def fresh(self) -> nn.Module:
        """As `build`: what a checkpoint holds takes its place."""
        return self.build()

    def fit(self, folder: Path, **options: Any) -> tuple[nn.Module, TrainingResult]:
        """Train the head by itself."""
        return self.train_in(folder, **options)

    def learned(
        self, folder: Path, network: Pretrained, **options: Any
    ) -> tuple[nn.Module, TrainingResult]:
        """Train the head, and give it to the network that the features are of."""
        top, result = self.fit(folder, **options)
        Top(network).load_state_dict(top.state_dict())
        return network.eval(), result


def features_of(
    what: Supervised, examples: Examples, network: Pretrained, progress: Progress | None = None
) -> Array:
    """What the backbone of `network` says of examples, (n, width) float32; computed once."""
    key = _key(what, examples)
    progress = progress if progress is not None else Silent()
    for done in computing(what, examples, network, key):
        progress.advance(done, len(examples), "features of the pretrained network")
    return _features[key]


def computing(
    what: Supervised, examples: Examples, network: Pretrained, key: str | None = None
) -> Iterator[int]:
    """Compute what `features_of` says, part by part: after each, how many examples are done.

    Each part is of about equal length, and long and short ones take turns, so that the time for all
    can be foreseen from a few of them. What is given up on the way is lost. `key` is `_key`, where
    it is known: all inputs are read for it.
    """
    key = _key(what, examples) if key is None else key
    if key in _features:
        _features.move_to_end(key)
        return
    body, parts = Body(network), _parts(examples)
    prepare(body, what.training, what.device)
    found: list[Array] = []
    for part in parts:
        with threads(what.training.threads):
            answers = run_network(
                body,
                examples.take(part),
                precision=what.training.precision,
                device=what.device,
            )
        found.append(answers.numpy())
        yield sum(map(len, found))
    rows = np.argsort(np.concatenate(parts))
    _keep(_features, key, np.concatenate(found)[rows])


def _parts(examples: Examples) -> list[Array]:
    """Rows for `computing`, at least one part of them."""
    order = by_length(examples)
    order = np.arange(len(examples)) if order is None else order
    parts = [order[start : start + AT_ONCE] for start in range(0, max(1, len(order)), AT_ONCE)]
    turns = numpy_generator(0, "parts of features").permutation(len(parts))
    return [parts[turn] for turn in turns]


def on_features(
    what: Supervised, network: Pretrained, progress: Progress | None = None
) -> OnFeatures:
    """The fit of the head of `network` alone, in the training settings of `what`."""
    train = features_of(what, what.train, network, progress)
    validation = features_of(what, what.validation, network, progress)
    network.standardise.learn(torch.from_numpy(train).to(what.device))
    return OnFeatures(
        train=_examples(what.train, train),
        validation=_examples(what.validation, validation),
        inputs=what.inputs,
        output=what.output,
        task=what.task,
        network=what.network,
        training=changed(what.training, precision="float32", channels_last=False, compile=False),
        augmentation=AugmentSpec(),
        seed=what.seed,
        device=what.device,
        whole=network,
    )


def begun(what: Supervised, progress: Progress | None = None) -> Pretrained:
    """The network that training goes on from: pretrained weights, and a head fitted to them."""
    network = loaded(what)
    assert isinstance(what.network, PretrainedSpec)
    key = _start_key(what)
    if key not in _starts:
        training = head_training(len(what.train), what.network.head_epochs, what.training.threads)
        fit = replace(on_features(what, network, progress), training=training)
        with TemporaryDirectory(prefix="fathom-head-") as folder:
            fit.learned(Path(folder), network)
        top = {name: tensor.detach().clone() for name, tensor in Top(network).state_dict().items()}
        _keep(_starts, key, top)
    Top(network).load_state_dict(_starts[key])
    return network


def fit_frozen(what: Supervised, progress: Progress | None) -> tuple[Pretrained, OnFeatures]:
    """The network whose head alone is to be learned, and the fit that learns it."""
    network = loaded(what)
    return network, on_features(what, network, progress)


def what_learns(what: Supervised) -> Supervised:
    """The fit of what learns: of a pretrained network that stays as it is, the head alone."""
    frozen = isinstance(what.network, PretrainedSpec) and not what.network.tune
    return fit_frozen(what, None)[1] if frozen and not isinstance(what, OnFeatures) else what


def loaded(what: Supervised) -> Pretrained:
    """The network of `what` with its pretrained weights, and a head that has learned nothing."""
    network = what.fresh()
    assert isinstance(network, Pretrained)
    assert isinstance(what.network, PretrainedSpec)
    network.load_pretrained(what.network.backbone)
    return network.to(what.device)


def head_training(rows: int, epochs: int, threads: int) -> TrainingSpec:
    """How a head is fitted to features of so many rows."""
    steps = max(20, epochs * max(1, rows // HEAD_BATCH))
    return TrainingSpec(
        steps=steps,
        batch_size=HEAD_BATCH,
        optimizer=HEAD_OPTIMIZER,
        warmup_steps=steps // 10,
        schedule="linear",
        threads=threads,
        validate_every=max(1, steps // 20),
        save_every=steps + 1,
        log_every=steps,
    )


def _examples(examples: Examples, features: Array) -> Examples:
    return Examples({FEATURES: features}, examples.targets, examples.rows)


def _key(what: Supervised, examples: Examples) -> str:
    """A digest of the inputs and of all that decides their features."""
    assert isinstance(what.network, PretrainedSpec)
    training = what.training
    said = (what.network.backbone.digest, training.precision, training.channels_last, what.device)
    content = hashlib.sha256(repr((said, len(examples))).encode())
    for name, block in examples.inputs.items():
        content.update(name.encode())
        for start in range(0, len(block), AT_ONCE):
            content.update(np.ascontiguousarray(block[start : start + AT_ONCE]).data)
    return content.hexdigest()


def _start_key(what: Supervised) -> str:
    targets = b"" if what.train.targets is None else what.train.targets.tobytes()
    assert isinstance(what.network, PretrainedSpec)
    spec = changed(what.network, tune=False)
    said = (spec, what.seed, what.output, what.training.threads, what.task.name)
    return _key(what, what.train) + hashlib.sha256(repr(said).encode() + targets).hexdigest()


def _keep(store: OrderedDict[str, Any], key: str, value: Any) -> None:
    store[key] = value
    while len(store) > KEPT:
        store.popitem(last=False)
