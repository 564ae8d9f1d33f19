"""Defaults: what suits a kind of data and a number of rows, and why. Found on validation splits."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from msgspec.structs import replace

from fathom.core.backbone import Backbone
from fathom.core.blocks import AudioBlock, ImageBlock, InputSpec, SeriesBlock
from fathom.core.output import OutputSpec
from fathom.data.augment import AugmentSpec
from fathom.data.pictures import DEFAULT_SIZE
from fathom.networks import (
    FAMILIES,
    AudioConvnetSpec,
    ConvnetSpec,
    NetworkSpec,
    PretrainedSpec,
    Reasons,
    TabmSpec,
    TextConvnetSpec,
    default_spec,
)
from fathom.planning.environment import cores, has_fast_bfloat16
from fathom.planning.plan import InferencePlan, TaskPlan
from fathom.planning.prepare import Prepared
from fathom.training.settings import OptimizerSpec, TrainingSpec
from fathom.training.transfer import head_training

# Muon's were found on validation splits of Fashion-MNIST, digits, Adult and California housing (see
# LOG.md); the others are the usual ones, for those who ask for that optimizer.
PICTURES_OPTIMIZERS = {
    "muon": OptimizerSpec(name="muon", learning_rate=0.02, rest_learning_rate=0.005),
    "adamw": OptimizerSpec(name="adamw", learning_rate=0.003),
    "adam": OptimizerSpec(name="adam", learning_rate=0.003, weight_decay=0.0),
    "sgd": OptimizerSpec(name="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.0005),
}
# The members of a tabm learn from an example in 16 each, and take longer steps for it.
MEMBERS_OPTIMIZER = OptimizerSpec(name="adamw", learning_rate=0.004)
# Where all of them learn from every example they do not.
LEARNERS_OPTIMIZER = OptimizerSpec(name="adamw", learning_rate=0.002)
SEQUENCES_OPTIMIZERS = {
    "adamw": OptimizerSpec(name="adamw", learning_rate=0.003),
    "muon": OptimizerSpec(name="muon", learning_rate=0.01, rest_learning_rate=0.003),
    "adam": OptimizerSpec(name="adam", learning_rate=0.003, weight_decay=0.0),
    "sgd": OptimizerSpec(name="sgd", learning_rate=0.1, momentum=0.9, weight_decay=0.0001),
}
# Vectors of tokens that are pooled and no more take longer steps (Banking77, see LOG.md).
POOLED_TEXT_OPTIMIZER = OptimizerSpec(name="adamw", learning_rate=0.01)
# A convnet of sound has few weights, which take long steps.
SOUNDS_OPTIMIZER = OptimizerSpec(name="adamw", learning_rate=0.01)
TABLES_OPTIMIZERS = {
    "muon": OptimizerSpec(name="muon", learning_rate=0.002),
    "adamw": OptimizerSpec(name="adamw", learning_rate=0.002),
    "adam": OptimizerSpec(name="adam", learning_rate=0.002, weight_decay=0.0),
    "sgd": OptimizerSpec(name="sgd", learning_rate=0.05, momentum=0.9, weight_decay=0.0001),
}
# A pretrained network is changed little, and its first stages hardly at all. See LOG.md.
PRETRAINED_OPTIMIZERS = {
    "image": OptimizerSpec(learning_rate=0.001, weight_decay=0.05, layer_decay=0.85),
    "text": OptimizerSpec(learning_rate=0.0003, weight_decay=0.05, layer_decay=0.8),
    "audio": OptimizerSpec(learning_rate=0.0003, weight_decay=0.05, layer_decay=0.8),
}
PRETRAINED_BATCH, PRETRAINED_EPOCHS = 32, 20
# Encoders of waves take about a hundred numbers for each sample of sound into memory.
SOUND_AT_ONCE, FEWEST_SOUNDS = 2**20, 4  # samples of a step, and sounds
# Families that a table's race tries, the one first that was best on most of our tables.
CANDIDATES = ("mlp", "tabm")
# Families that race where texts, series or sound stand beside columns, and where one of them is all
# that there is: there the one of its kind comes first. The dearest are last, which little time
# leaves out.
MIXTURES_CANDIDATES = ("mixed", "mlp", "tabm")
SEQUENCES_CANDIDATES = ("mlp", "transformer", "recurrent")
# Where each example is learned by one of the members, passes are good for so many times more.
MEMBERS_EPOCHS = 2
SEQUENCES_EPOCHS = 40
# After 150 steps a moving average of 0.995 is still half of it the first weights.
SERIES_LEAST_STEPS = 500
LEAST_STEPS = 150
# Of sound: what is said a little later, louder or in some noise is the same; so is what can still
# be told when a fifth of the pitches, or of the time, is not heard.
SOUND = {
    "time_shift": 0.1,
    "loudness": 6.0,
    "noise": 0.1,
    "hidden_bands": 0.2,
    "hidden_time": 0.2,
}
SOUND_REASONS: Reasons = {
    "time_shift": "A sound that begins a little sooner or later means the same.",
    "loudness": "A sound recorded from nearer by or further off means the same.",
    "noise": "A sound with some noise in it means the same.",
    "hidden_bands": "Whoever cannot hear some pitches learns to go by all of them (SpecAugment).",
    "hidden_time": "Whoever misses a moment learns to go by the whole (SpecAugment).",
}
SHIFT = 20  # pictures are moved by up to a twentieth of their side
# A photograph keeps its meaning under more: moved by a tenth, larger or smaller, in another light.
PHOTO_SIDE = 48
PHOTO_SHIFT, PHOTO_ZOOM, PHOTO_BRIGHTNESS, PHOTO_CONTRAST = 10, 0.2, 0.2, 0.3
# Examples of a step at most. A sound is a map of bands and time, of which a few stay near the
# processor.
MOST_ROWS, MOST_PICTURES, MOST_SOUNDS = 256, 512, 64
MANY_PICTURES, MOST_EPOCHS = 20_000, 150


@dataclass(frozen=True)
class Defaults:
    """The sections of a plan before settings and probe; `why` maps dotted keys to sentences."""

    network: NetworkSpec
    training: TrainingSpec
    augmentation: AugmentSpec
    task: TaskPlan
    inference: InferencePlan
    why: dict[str, str]
    most_epochs: int


def defaults_for(
    prepared: Prepared, rows: int, *, family: str | None, optimizer: str | None, device: str
) -> Defaults:
    """Defaults for `rows` training examples of this data.

    `family` of networks (None: the one that suits the data) and `optimizer` may be the user's
    choice, on which other defaults depend.
    """
    inputs, output = prepared.inputs, prepared.output
    choose = FAMILIES[family].default_spec if family else default_spec
    network, reasons = choose(_as_from_scratch(prepared), output, rows)
    if isinstance(network, ConvnetSpec) and prepared.start.image_size(None):
        network = replace(network, side=DEFAULT_SIZE)
        reasons["side"] = f"From scratch {DEFAULT_SIZE} pixels a side say enough, and are quick."
    why = {f"network.{field}": sentence for field, sentence in reasons.items()}
    pictures = bool(inputs.images)
    most = MOST_SOUNDS if _has_sound(inputs) else MOST_PICTURES if pictures else MOST_ROWS
    batch_size = _batch_size(rows, most)
    training = TrainingSpec(
        steps=1,
        batch_size=batch_size,
        optimizer=_optimizer(optimizer, inputs, network),
        schedule="linear",
        clip_norm=0.0 if pictures and not inputs.sequences else 1.0,
        weight_averaging=0.0 if pictures else 0.995,
        precision="bfloat16" if pictures and has_fast_bfloat16(device) else "float32",
        channels_last=pictures,
        threads=cores(),
    )
    why["training.optimizer.name"] = (
        "Muon for hidden matrices and AdamW for the rest learned most in a given time."
        if training.optimizer.name == "muon"
        else "AdamW learned as much as Muon from this kind of data, and its steps are quicker."
    )
    why["training.batch_size"] = f"{batch_size} examples a step suit {rows:,} training examples."
    augmentation, reasons = _augmentation(_as_from_scratch(prepared))
    why |= {f"augmentation.{field}": sentence for field, sentence in reasons.items()}
    smoothing = 0.05 if pictures and output.form == "classes" else 0.0
    epochs = _most_epochs(rows, batch_size, pictures, output.form)
    if inputs.sequences:
        epochs = max(epochs, SEQUENCES_EPOCHS)
    if any(isinstance(block, SeriesBlock) for block in inputs.blocks.values()):
        epochs = max(epochs, ceil(SERIES_LEAST_STEPS * batch_size / rows))
    if isinstance(network, TabmSpec):
        epochs *= MEMBERS_EPOCHS
    inference = InferencePlan("auto" if pictures else "one")
    return Defaults(network, training, augmentation, TaskPlan(smoothing), inference, why, epochs)


def _as_from_scratch(prepared: Prepared) -> InputSpec:
    """The inputs with pictures of the size that they would have without a pretrained network."""
    inputs = prepared.inputs
    if not prepared.start.image_size(None):
        return inputs
    small = {}
    for name, block in inputs.images.items():
        share = min(1.0, DEFAULT_SIZE / min(block.height, block.width))
        height, width = round(share * block.height), round(share * block.width)
        small[name] = replace(block, height=height, width=width)
    return InputSpec({**inputs.blocks, **small})


def pretrained_defaults(
    inputs: InputSpec, output: OutputSpec, rows: int, *, backbone: Backbone, tune: bool, device: str
) -> Defaults:
    """Defaults for going on from a pretrained network: all of it, or its head alone."""
    network = PretrainedSpec(backbone=backbone, tune=tune)
    fast = has_fast_bfloat16(device)
    pictures = backbone.kind == "image"
    training = replace(
        head_training(rows, network.head_epochs, cores()),
        precision="bfloat16" if fast else "float32",
        channels_last=pictures,
    )
    most_epochs = network.head_epochs
    augmentation, why = AugmentSpec(), {}
    if tune:
        most_epochs = PRETRAINED_EPOCHS
        training = replace(
            training,
            batch_size=_pretrained_batch(inputs),
            optimizer=PRETRAINED_OPTIMIZERS[backbone.kind],
        )
        augmentation, reasons = _augmentation(inputs)
        if backbone.kind == "audio":  # it has no bands of pitch that could be hidden
            augmentation = replace(augmentation, hidden_bands=0.0, hidden_time=0.0)
            reasons = {k: v for k, v in reasons.items() if not k.startswith("hidden_")}
        why = {f"augmentation.{field}": sentence for field, sentence in reasons.items()}
        why["training.optimizer.layer_decay"] = (
            "Each stage learns more slowly than the one above it: what the first ones know holds "
            "for most pictures, texts or sounds."
        )
    why["network.backbone"] = (
        f"{backbone.source} has learned from far more data than there are here. Its weights are "
        f"under the licence {backbone.licence}."
    )
    smoothing = 0.05 if tune and output.form == "classes" else 0.0
    inference = InferencePlan("auto" if tune and pictures else "one")
    return Defaults(
        network, training, augmentation, TaskPlan(smoothing), inference, why, most_epochs
    )


def _pretrained_batch(inputs: InputSpec) -> int:
    """Examples of a step: a power of two, of long sounds fewer."""
    longest = [b.length for b in inputs.blocks.values() if isinstance(b, AudioBlock)]
    size = PRETRAINED_BATCH
    while longest and size > FEWEST_SOUNDS and size * max(longest) > SOUND_AT_ONCE:
        size //= 2
    return size


def _optimizer(name: str | None, inputs: InputSpec, network: NetworkSpec) -> OptimizerSpec:
    """The user's optimizer or the one that suits the network, with constants that suit the data."""
    if name is None and isinstance(network, TabmSpec):
        return MEMBERS_OPTIMIZER
    if name is None and isinstance(network, TextConvnetSpec) and network.depth == 0:
        return POOLED_TEXT_OPTIMIZER
    if name in {None, "adamw"} and isinstance(network, AudioConvnetSpec):
        return SOUNDS_OPTIMIZER
    if inputs.sequences and not inputs.images:  # beside pictures what they need counts most
        return SEQUENCES_OPTIMIZERS[name or "adamw"]
    return (PICTURES_OPTIMIZERS if inputs.images else TABLES_OPTIMIZERS)[name or "muon"]


def _augmentation(inputs: InputSpec) -> tuple[AugmentSpec, Reasons]:
    """How training examples are changed, and why."""
    spec, reasons = _of_pictures(inputs)
    if _has_sound(inputs):
        return replace(spec, **SOUND), reasons | SOUND_REASONS
    return spec, reasons


def _of_pictures(inputs: InputSpec) -> tuple[AugmentSpec, Reasons]:
    """How training pictures are changed, and why. Flips are decided by a trial later on."""
    blocks = inputs.images.values()
    side = min((min(b.height, b.width) for b in blocks), default=0)
    if blocks and all(map(is_photograph, blocks)):
        light = "A photograph taken in another light shows the same."
        return AugmentSpec(
            shift=side // PHOTO_SHIFT,
            zoom=PHOTO_ZOOM,
            brightness=PHOTO_BRIGHTNESS,
            contrast=PHOTO_CONTRAST,
        ), {
            "shift": "A photograph moved by up to a tenth of its side shows the same.",
            "zoom": "A photograph taken from nearer by or further off shows the same.",
            "brightness": light,
            "contrast": light,
        }
    shift = side // SHIFT
    moved = "A picture moved by a little means the same."
    return AugmentSpec(shift=shift), {"shift": moved} if shift else {}


def is_photograph(block: ImageBlock) -> bool:
    """Whether pictures are taken for photographs: in colour, and not tiny."""
    return block.channels == 3 and min(block.height, block.width) >= PHOTO_SIDE


def _has_sound(inputs: InputSpec) -> bool:
    return any(isinstance(block, AudioBlock) for block in inputs.blocks.values())


def _batch_size(rows: int, most: int) -> int:
    """A power of two that leaves at least some 16 steps an epoch, 32 at least."""
    size = 32
    while size * 2 * 16 <= rows and size < most:
        size *= 2
    return size


def _most_epochs(rows: int, batch_size: int, pictures: bool, form: str) -> int:
    """After so many passes validation no longer improves; a small table needs some steps at least.

    A table is soon learned by heart, a number less soon than a class or several labels, a picture
    less soon still.
    """
    epochs = 40 if form == "number" else 10
    if pictures:  # the fewer there are, the more often each is worth seeing, changed every time
        epochs = int(np.clip(60 * (MANY_PICTURES / rows) ** 0.5, 60, MOST_EPOCHS))
    return max(epochs, ceil(LEAST_STEPS * batch_size / rows))
