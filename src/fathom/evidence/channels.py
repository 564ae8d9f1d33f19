"""What do channels of a convnet see? The patches that excite them most, and images made for them.

Pictures are here; sound and series in `channels_sequences`, texts in `channels_texts`.

Feature visualization by optimisation: Olah, Mordvintsev and Schubert 2017
(doi:10.23915/distill.00007), with small shifts and decay alone to keep images simple.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.blocks import AudioBlock, ImageBlock, InputSpec, SeriesBlock, TextBlock
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.randomness import torch_generator
from fathom.core.record import Figure, Record, not_applicable
from fathom.data.data_uri import data_uri
from fathom.evidence import channels_sequences, channels_texts, wording
from fathom.evidence.instruments import copied_network
from fathom.evidence.measure import evidence
from fathom.evidence.stages import Encoder, encoders
from fathom.evidence.subject import NETWORK, Subject
from fathom.inference.model import batch_size
from fathom.networks.audio_convnet import Stem
from fathom.networks.series_convnet import Front
from fathom.networks.text_convnet import RunsFront

EXAMPLES = 500
STAGES, CHANNELS, PATCHES = 4, 4, 4  # shown
TOP = 10  # pictures by which a channel's class is told
ROUNDS, RATE, DECAY, SHIFT = 48, 0.1, 0.02, 2
LEAK = 0.01
SEEN = 1e-6  # of the largest gradient: what a place depends on less, it does not see
SIDE = 48  # pixels of a patch as it is kept
ID, GROUP = "features.channels", "features"


@dataclass
class Responses:
    """Of one stage with maps (C, H, W): each channel's largest response to each picture.

    `largest` (n, C) float32 and where it is, `places` (n, C) as row times `size[1]` plus column.
    """

    name: str
    size: tuple[int, int]
    largest: Array
    places: Array


@dataclass(frozen=True)
class Field:
    """What a place of a stage's maps sees: a box of pixels around a centre that moves with it."""

    size: tuple[int, int]
    map_size: tuple[int, int]
    reach: tuple[int, int, int, int]  # up, down, left, right of the middle of its own pixels

    def box(self, place: int) -> tuple[slice, slice]:
        """Rows and columns of the picture that a place sees, cut at the picture's edges."""
        row, column = divmod(place, self.map_size[1])
        y = (row + 0.5) * self.size[0] / self.map_size[0]
        x = (column + 0.5) * self.size[1] / self.map_size[1]
        up, down, left, right = self.reach
        return (
            slice(max(0, round(y) - up), min(self.size[0], round(y) + down)),
            slice(max(0, round(x) - left), min(self.size[1], round(x) + right)),
        )


def _seconds(subject: Subject) -> float:
    if _impossible(subject):
        return 0.0
    each = subject.prediction_seconds(NETWORK, "validation", kept=False)
    each /= max(subject.size("validation"), 1)
    passes = min(EXAMPLES, subject.size("validation")) + _made(subject.model.inputs)
    return 0.5 + 2 * passes * each


def _made(inputs: InputSpec) -> float:
    """About how many passes of an example it takes to make what is shown; nothing for texts.

    Some go through all stages, others through a few; each goes back too.
    """
    if inputs.images:
        return 3 * STAGES * CHANNELS * ROUNDS / 2
    blocks = inputs.sequences.values()
    parts = [
        channels_sequences.made_share(block)
        for block in blocks
        if isinstance(block, AudioBlock | SeriesBlock)
    ]
    return max(parts, default=0.0) * 3 * STAGES * CHANNELS * channels_sequences.ROUNDS / 2


@evidence("channels", GROUP, (ID,), _seconds, weight=0.5)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`features.channels`: of some stages, what excites channels most, and what was made for it."""
    reason = _impossible(subject)
    if reason:
        return [not_applicable(ID, GROUP, reason)]
    limit = subject.sample_size("channels", EXAMPLES)
    examples = subject.examples("validation").sample(limit, subject.generator("channels"))
    network = copied_network(subject).requires_grad_(False)
    seen = [
        shown
        for encoder in encoders(network, subject.model.inputs)
        if (shown := _shown(subject, network, encoder, examples))
    ]
    if not seen:
        reason = (
            "No stage of the network answers one example more than another, at places that could "
            "be found in its input."
        )
        return [not_applicable(ID, GROUP, reason)]
    return [_record(subject, examples, seen)]


@dataclass
class Shown:
    """What is shown of a field: its stages, their items of the figure, and what it is made of."""

    prefix: str
    thing: str
    stages: Sequence[Any]  # of Responses or Answers
    items: list[dict[str, Any]]


def _shown(subject: Subject, network: Any, encoder: Encoder, examples: Examples) -> Shown | None:
    """Some channels of an encoder; None where no places of its stages are found in its input."""
    block = subject.model.inputs.blocks[encoder.field]
    if isinstance(block, ImageBlock):
        pictured = _chosen(responses(subject, encoder, examples))
        leaky = never_silent(encoder)
        items = [_item(subject, leaky, examples, stage) for stage in pictured]
        return Shown(encoder.prefix, "picture", pictured, items) if items else None
    if not _convolves(encoder):
        return None
    stages = _chosen(channels_sequences.answers(subject, encoder, examples))
    if not stages:
        return None
    if isinstance(block, TextBlock):
        items = [
            channels_texts.item(subject, encoder, examples, stage, _alive(stage)[:CHANNELS])
            for stage in stages
        ]
        if channels_texts.linear_in_runs(network):
            items.insert(0, channels_texts.classes_item(subject, network, encoder, examples))
        return Shown(encoder.prefix, "text", stages, items)
    leaky = never_silent(encoder)
    items = [
        channels_sequences.item(
            subject, leaky, examples, stage, _alive(stage)[:CHANNELS], count=PATCHES
        )
        for stage in stages
    ]
    thing = "sound" if isinstance(block, AudioBlock) else "series"
    return Shown(encoder.prefix, thing, stages, items)


def _convolves(encoder: Encoder) -> bool:
    """Whether an encoder of a sequence is a convnet: a place of it sees what stands around."""
    return isinstance(encoder.chain[0], Stem | Front | RunsFront)


def _impossible(subject: Subject) -> str:
    found = encoders(subject.model.network, subject.model.inputs)
    images = subject.model.inputs.images
    if not any(encoder.field in images or _convolves(encoder) for encoder in found):
        return "Only a convnet has channels that can be shown in what they see."
    return ""


def _picture(subject: Subject, network: Any = None) -> str:
    return getattr(network, "field", None) or next(iter(subject.model.inputs.images))


def responses(subject: Subject, network: Any, examples: Examples) -> list[Responses]:
    """The largest responses of all channels of every stage that gives maps, over examples."""
    kept: dict[str, list[tuple[Tensor, Tensor]]] = {}
    sizes: dict[str, tuple[int, int]] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and output.dim() == 4:
                largest, places = output.float().flatten(2).max(dim=2)
                kept.setdefault(name, []).append((largest.cpu(), places.cpu()))
                sizes[name] = (int(output.shape[2]), int(output.shape[3]))

        return hook

    learned = [(n, m) for n, m in network.stages() if any(True for _ in m.parameters())]
    handles = [module.register_forward_hook(keep(name)) for name, module in learned]
    step = batch_size(examples.inputs, torch.device(subject.model.device).type)
    with torch.inference_mode(), _autocast(subject):
        for start in range(0, len(examples), step):
            rows = np.arange(start, min(start + step, len(examples)))
            network(_tensors(subject, examples.take(rows)))
    for handle in handles:
        handle.remove()
    return [
        Responses(
            name,
            sizes[name],
            torch.cat([largest for largest, _ in parts]).numpy(),
            torch.cat([places for _, places in parts]).numpy(),
        )
        for name, parts in kept.items()
    ]


def never_silent(network: Any) -> Any:
    """A copy whose rectifiers let a hundredth through where they are silent.

    From a silent unit no gradient would lead anywhere.
    """
    leaky = copy.deepcopy(network)
    for module in list(leaky.modules()):
        for name, child in module.named_children():
            if type(child) is nn.ReLU:
                setattr(module, name, nn.LeakyReLU(LEAK))
    return leaky


def _autocast(subject: Subject) -> Any:
    kind = torch.device(subject.model.device).type
    return torch.autocast(kind, torch.bfloat16, enabled=subject.model.precision == "bfloat16")


def _tensors(subject: Subject, examples: Examples) -> dict[str, Tensor]:
    return {
        name: torch.as_tensor(np.ascontiguousarray(block)).to(subject.model.device)
        for name, block in examples.inputs.items()
    }


def _chosen(stages: list[Any]) -> list[Any]:
    """At most STAGES of them that tell examples apart, spread evenly from the first to the last."""
    stages = [stage for stage in stages if len(_alive(stage))]
    if len(stages) <= STAGES:
        return stages
    places = np.linspace(0, len(stages) - 1, STAGES).round().astype(int)
    return [stages[place] for place in places]


def told_apart(stage: Any) -> Array:
    """Channels whose largest responses differ most from picture to picture, the most first."""
    spread = stage.largest.std(axis=0) / np.maximum(np.abs(stage.largest).mean(axis=0), 1e-6)
    ordered: Array = np.argsort(-spread, kind="stable")
    return ordered


def _item(subject: Subject, network: Any, examples: Examples, stage: Responses) -> dict[str, Any]:
    channels = _alive(stage)[:CHANNELS]
    pictures = examples.inputs[_picture(subject, network)]
    first = np.asarray(pictures[:1])
    size = (int(first.shape[2]), int(first.shape[3]))
    field = receptive_field(subject, network, examples, stage)
    middle = field.box(_middle(stage.size))
    # A place that sees few pixels would see something else after each shift.
    shift = min(SHIFT, *((side.stop - side.start) // 6 for side in middle))
    images = optimised(subject, network, examples, stage.name, channels, most=shift)
    return {
        "stage": getattr(network, "prefix", "") + stage.name,
        "note": _sees(field, size),
        "channels": [
            {
                "name": f"channel {int(channel) + 1}",
                "image": _kept(image[:, *middle]),
                "patches": [
                    _kept(_row(pictures, row)[:, *field.box(int(stage.places[row, channel]))])
                    for row in np.argsort(-stage.largest[:, channel], kind="stable")[:PATCHES]
                ],
            }
            for channel, image in zip(channels, images, strict=True)
        ],
    }


def _alive(stage: Any) -> Array:
    """The channels that respond to some pictures more than to others, the most telling first."""
    ordered = told_apart(stage)
    alive: Array = ordered[np.ptp(stage.largest, axis=0)[ordered] > 0]
    return alive


def _row(pictures: Any, row: int) -> Array:
    picture: Array = np.asarray(pictures[np.array([row])])[0]
    return picture


def _kept(picture: Array) -> str:
    """A small picture as data URI, thinned out to at most about SIDE pixels."""
    every = max(1, -(-max(picture.shape[1:]) // SIDE))
    return data_uri(np.ascontiguousarray(picture[:, ::every, ::every]))


def _middle(size: tuple[int, int]) -> int:
    return size[0] // 2 * size[1] + size[1] // 2


def _sees(field: Field, size: tuple[int, int]) -> str:
    rows, columns = field.box(_middle(field.map_size))
    high, wide = rows.stop - rows.start, columns.stop - columns.start
    if (high, wide) == size:
        return "a place sees the whole picture"
    return f"a place sees {wide} × {high} of {size[1]} × {size[0]} pixels"


def receptive_field(subject: Subject, network: Any, examples: Examples, stage: Responses) -> Field:
    """What the middle place of a stage's maps depends on, found by its gradient on real pictures.

    `network` is one that is `never_silent`: a silent rectifier would hide pixels.
    """
    inputs = _tensors(subject, examples.take(np.arange(min(8, len(examples)))))
    pixels = inputs[_picture(subject, network)].float().requires_grad_(True)
    maps = _until(network, stage.name, {**inputs, _picture(subject, network): pixels})
    height, width = stage.size
    reached = maps[:, :, height // 2, width // 2].abs().sum()
    reached.backward()  # type: ignore[no-untyped-call]
    assert pixels.grad is not None
    seen = pixels.grad.abs().sum(dim=(0, 1)).cpu().numpy()
    where = seen > SEEN * seen.max()
    rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
    size = (int(pixels.shape[2]), int(pixels.shape[3]))
    if not len(rows):
        return Field(size, stage.size, (size[0], size[0], size[1], size[1]))
    y = round((height // 2 + 0.5) * size[0] / height)
    x = round((width // 2 + 0.5) * size[1] / width)
    # What the edge of the picture cuts off in the middle already is all of it.
    up, down = y - int(rows[0]), int(rows[-1]) + 1 - y
    left, right = x - int(columns[0]), int(columns[-1]) + 1 - x
    return Field(size, stage.size, (up, down, left, right))


def _until(network: Any, name: str, inputs: dict[str, Tensor]) -> Tensor:
    """What a stage puts out; those behind it are not computed."""
    flow: Any = inputs
    for stage, module in network.stages():
        flow = module(flow)
        if stage == name:
            break
    found: Tensor = flow
    return found


def optimised(
    subject: Subject, network: Any, examples: Examples, name: str, channels: Array, *, most: int
) -> Array:
    """Pictures (channels, C, H, W) uint8 that excite the middle of a stage's channels most.

    Gradient ascent from faint noise about the mean picture, in units of the pixels' deviation;
    every round the picture is shifted by at most `most` pixels and pulled back towards the mean.
    """
    block: Any = subject.model.inputs.blocks[_picture(subject, network)]
    device, count = subject.model.device, len(channels)
    mean, std = (
        torch.tensor(part, dtype=torch.float32, device=device)[:, None, None].clamp_min(least)
        for part, least in ((block.mean, 0.0), (block.std, 1.0))
    )
    generator = torch_generator(subject.seed, "evidence", "channels", name)
    shape = (count, block.channels, block.height, block.width)
    z = (0.1 * torch.randn(shape, generator=generator)).to(device).requires_grad_(True)
    others = _tensors(subject, examples.take(np.zeros(count, dtype=np.int64)))
    rows, wanted = torch.arange(count), torch.as_tensor(np.ascontiguousarray(channels))
    optimizer = torch.optim.Adam([z], lr=RATE)
    for _ in range(ROUNDS):
        shift = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
        pixels = torch.roll(mean + std * z, shift, dims=(2, 3))
        with _autocast(subject):
            maps = _until(network, name, {**others, _picture(subject, network): pixels}).float()
        middle = maps[rows, wanted, maps.shape[2] // 2, maps.shape[3] // 2]
        optimizer.zero_grad()
        (-middle.sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            z.mul_(1 - DECAY)
            z.clamp_(-mean / std, (255 - mean) / std)
    made = (mean + std * z.detach()).clamp(0, 255).round()
    pictures: Array = made.to(torch.uint8).cpu().numpy()
    return pictures


def of_one_class(stage: Any, targets: Array) -> float:
    """The share of the commonest class among the TOP examples of a channel, mean over channels."""
    shares = []
    for channel in _alive(stage):
        top = targets[np.argsort(-stage.largest[:, channel], kind="stable")[:TOP]]
        shares.append(np.unique(top, return_counts=True)[1].max() / len(top))
    return float(np.mean(shares)) if shares else 0.0


def _record(subject: Subject, examples: Examples, seen: list[Shown]) -> Record:
    items = [item for shown in seen for item in shown.items]
    value: float = float(sum(len(item["channels"]) for item in items))
    unit = "channels"
    sentence = " ".join(_what(shown) for shown in seen)
    if subject.task.output.form == "classes" and len(examples) > TOP:
        assert examples.targets is not None
        told = [_classes(shown, examples.targets) for shown in seen]
        value, unit = told[-1][1], "share"
        chance = np.unique(examples.targets, return_counts=True)[1].max() / len(examples)
        sentence += (
            f" {' '.join(text for text, _ in told)} The largest class is "
            f"{wording.percent(float(chance))} of all."
        )
    return Record(
        ID,
        GROUP,
        sentence=sentence,
        value=value,
        unit=unit,
        n=len(examples),
        split="validation",
        method=(
            "largest response of each channel to each example"
            f"{'' if all(shown.thing == 'text' for shown in seen) else MADE}; channels that differ "
            "most between examples"
        ),
        figure=Figure(
            "channels",
            {"items": items, "caption": " ".join(dict.fromkeys(CAPTIONS[s.thing] for s in seen))},
        ),
    )


MADE = "; what is made by gradient ascent from noise, with small shifts and decay"
CAPTIONS = {
    "picture": (
        "What excites some channels, from the first stages to the last. On the left of each row an "
        "image that was made for the channel, from noise; beside it the patches of validation "
        "pictures that excite it most."
    ),
    "sound": (
        "What excites some channels of the sound network. On the left of each row a piece of "
        "spectrogram that was made for the channel, from noise; beside it the pieces of validation "
        "sounds that excite it most: time from left to right, low pitch below, loud is bright."
    ),
    "series": (
        "What excites some channels of the series network. On the left of each row a wave that was "
        "made for the channel, from noise; beside it the stretches of validation series that "
        "excite it most."
    ),
    "text": (
        "Which words excite some channels of the text network most, in validation texts. Nothing "
        "is made for them: words cannot be changed little by little."
    ),
}


def _what(shown: Shown) -> str:
    """What the figure shows of a field."""
    count = wording.plural(len(shown.stages), "stage")
    of = f" of {shown.prefix.removesuffix(': ')!r}" if shown.prefix else ""
    what = {
        "picture": "an image made to excite it and the patches of real pictures that do so most",
        "sound": "a spectrogram made to excite it and the pieces of real sounds that do so most",
        "series": "a wave made to excite it and the stretches of real series that do so most",
        "text": "the words that excite it most",
    }[shown.thing]
    return f"Channels of {count}{of}, each with {what}."


def _classes(shown: Shown, targets: Array) -> tuple[str, float]:
    """How much what excites a channel is of one class, and the figure of the last stage."""
    first, last = (of_one_class(shown.stages[place], targets) for place in (0, -1))
    names = [shown.prefix + shown.stages[place].name for place in (0, -1)]
    things = shown.thing if shown.thing == "series" else f"{shown.thing}s"
    text = (
        f"Of the {TOP} {things} that excite a channel most, {wording.percent(first)} are of one "
        f"class in {names[0]}, on average over its channels"
    )
    if len(shown.stages) > 1:
        text += f", and {wording.percent(last)} in {names[1]}"
    return f"{text}.", last
