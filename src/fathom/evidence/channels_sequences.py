"""What channels of convnets on sound and series see: stretches that excite them, and made ones.

Both are seen as a canvas (B, time, width), which a gradient reaches: of sound its log-mel energies,
of series their values. Ranks of values pass no gradient: what is made comes from the values alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from fathom.core.blocks import AudioBlock, SeriesBlock
from fathom.core.examples import Examples
from fathom.core.mel import HOP_SECONDS
from fathom.core.prediction import Array
from fathom.core.randomness import torch_generator
from fathom.evidence.drawing import data_uri, line_drawing
from fathom.evidence.stages import Encoder
from fathom.evidence.subject import Subject
from fathom.inference.model import batch_size
from fathom.networks.sound import Bands
from fathom.networks.steps import Maps, Steps

ROUNDS, RATE, DECAY, SHIFT = 32, 0.15, 0.02, 2
BLUR = 0.1  # share of its surroundings that each value takes on in a round, against noise
MOST = 3.0  # standard deviations from the mean, where what is made ends
SEEN = 1e-6  # of the largest gradient: what a place depends on less, it does not see
MADE_SECONDS, MADE_STEPS = 1.0, 256  # at most so long
LONGEST = 4  # examples by which is found what a place sees
DARK, BRIGHT = -1.5, 3.0  # standard deviations of log-mel energies that are black and white


@dataclass
class Answers:
    """Of a stage: each channel's largest response to each example (n, C), and where it is."""

    name: str
    largest: Array
    rows: Array  # of the maps, that is stretches of bands; 0 of series
    times: Array


@dataclass(frozen=True)
class Reach:
    """What a place of a stage sees of the canvas: so many steps before, behind; bands below, above.

    `stride` and `step` are how many steps of the canvas, and bands, lie between places.
    """

    stride: float
    step: float
    before: int
    behind: int
    below: int
    above: int

    def box(self, row: int, time: int, size: tuple[int, int]) -> tuple[slice, slice]:
        """Steps and bands of a canvas (time, width) of a size that a place sees."""
        at, band = round(time * self.stride), round((row + 0.5) * self.step)
        return (
            slice(max(0, at - self.before), min(size[0], at + self.behind)),
            slice(max(0, band - self.below), min(size[1], band + self.above)),
        )


class Canvas:
    """An encoder of sound or series, whose input can be read and replaced by a canvas."""

    def __init__(self, subject: Subject, encoder: Encoder) -> None:
        self.encoder, self.device = encoder, subject.model.device
        found = [module for module in encoder.modules() if isinstance(module, Bands)]
        self.bands: nn.Module | None = found[0] if found else None

    def inputs(self, examples: Examples) -> Tensor:
        """The padded batch of the encoder's field."""
        block = np.ascontiguousarray(examples.inputs[self.encoder.field])
        return torch.as_tensor(block).to(self.device)

    def read(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """What the network sees of a batch, (B, time, width), and how long each is, (B,)."""
        if self.bands is None:
            there = ~batch.isnan().all(dim=2)
            ends = torch.arange(1, there.shape[1] + 1, device=batch.device) * there
            return batch, ends.amax(dim=1).clamp_min(1)
        with torch.no_grad():
            heard: Steps = self.bands(batch)
        return heard.values, heard.lengths

    def maps(self, name: str, batch: Tensor, canvas: Tensor) -> Tensor:
        """What a stage says of a canvas, (B, channels, bands or 1, L), padded as `batch` is."""
        if self.bands is None:
            return maps_of(self.encoder.until(name, canvas)).values

        def instead(module: Any, inputs: Any, output: Steps) -> Steps:
            return Steps(canvas, output.mask)

        handle = self.bands.register_forward_hook(instead)
        try:
            return maps_of(self.encoder.until(name, batch)).values
        finally:
            handle.remove()


def maps_of(flow: Any) -> Maps:
    """Steps as maps of one row."""
    if isinstance(flow, Steps):
        return Maps(flow.values.transpose(1, 2)[:, :, None], flow.mask)
    assert isinstance(flow, Maps)
    return flow


def answers(subject: Subject, encoder: Encoder, examples: Examples) -> list[Answers]:
    """The largest responses of all channels of every stage with places, over examples."""
    kept: dict[str, list[tuple[Tensor, Tensor, Tensor]]] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            if not isinstance(output, Steps | Maps):
                return
            values, mask = maps_of(output)
            values = values.float().masked_fill(~mask[:, None, None], -torch.inf)
            largest, places = values.flatten(2).max(dim=2)
            width = values.shape[3]
            kept.setdefault(name, []).append(
                (largest.cpu(), (places // width).cpu(), (places % width).cpu())
            )

        return hook

    learned = [(n, m) for n, m in encoder.stages() if any(True for _ in m.parameters())]
    handles = [module.register_forward_hook(keep(name)) for name, module in learned]
    step = batch_size(examples.inputs, torch.device(subject.model.device).type)
    canvas = Canvas(subject, encoder)
    with torch.inference_mode():
        for start in range(0, len(examples), step):
            rows = np.arange(start, min(start + step, len(examples)))
            encoder(canvas.inputs(examples.take(rows)))
    for handle in handles:
        handle.remove()
    return [
        Answers(name, *(torch.cat(part).numpy() for part in zip(*parts, strict=True)))
        for name, parts in kept.items()
    ]


def reach(canvas: Canvas, examples: Examples, stage: str, channel: int) -> Reach:
    """What the middle places of a channel depend on, by its gradient on the longest examples.

    The encoder is one that is `never_silent`, see `channels`.
    """
    block: Any = examples.inputs[canvas.encoder.field]
    rows = np.argsort(-block.lengths, kind="stable")[:LONGEST]
    batch = canvas.inputs(examples.take(rows))
    seen, lengths = canvas.read(batch)
    seen = seen.nan_to_num().clone().requires_grad_(True)
    maps = canvas.maps(stage, batch, seen)
    stride, step = round(seen.shape[1] / maps.shape[3]) or 1, seen.shape[2] / maps.shape[2]
    row, times = maps.shape[2] // 2, (lengths // (2 * stride)).clamp_max(maps.shape[3] - 1)
    maps[torch.arange(len(maps)), channel, row, times].sum().backward()  # type: ignore[no-untyped-call]
    assert seen.grad is not None
    slopes = seen.grad.abs().cpu().numpy()
    ends = []
    for slope, time in zip(slopes, times.cpu().numpy(), strict=True):
        where = slope > SEEN * slope.max()
        if not where.any():
            continue
        steps, bands = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
        at, band = round(int(time) * stride), round((row + 0.5) * step)
        ends.append((at - steps[0], steps[-1] + 1 - at, band - bands[0], bands[-1] + 1 - band))
    whole = np.array([(seen.shape[1], seen.shape[1], seen.shape[2], seen.shape[2])])
    before, behind, below, above = (int(e) for e in np.max(ends or whole, axis=0))
    if canvas.bands is None:  # all channels of a series are seen
        below = above = seen.shape[2]
    return Reach(stride, step, before, behind, below, above)


def made(
    subject: Subject, canvas: Canvas, stage: str, channels: Array
) -> tuple[Array, tuple[int, int]]:
    """Canvases (channels, time, width) that excite the middle of each channel most; that place.

    Gradient ascent from faint noise, in standard deviations about the mean; every round all is
    shifted in time by at most SHIFT steps, blurred a little and pulled back towards the mean.
    """
    count, device = len(channels), canvas.device
    batch = _blank(subject.model.inputs.blocks[canvas.encoder.field], count).to(device)
    shape = canvas.read(batch)[0].shape
    generator = torch_generator(subject.seed, "evidence", "channels", stage)
    z = (0.1 * torch.randn(shape, generator=generator)).to(device).requires_grad_(True)
    rows, wanted = torch.arange(count), torch.as_tensor(np.ascontiguousarray(channels))
    optimizer = torch.optim.Adam([z], lr=RATE)
    middle = (0, 0)
    for _ in range(ROUNDS):
        shift = int(torch.randint(-SHIFT, SHIFT + 1, (1,), generator=generator))
        maps = canvas.maps(stage, batch, torch.roll(z, shift, dims=1)).float()
        middle = (maps.shape[2] // 2, maps.shape[3] // 2)
        optimizer.zero_grad()
        (-maps[rows, wanted, middle[0], middle[1]].sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            z.lerp_(_blurred(z, bands=canvas.bands is not None), BLUR)
            z.mul_(1 - DECAY)
            z.clamp_(-MOST, MOST)
    found: Array = z.detach().cpu().numpy()
    return found, middle


def _blurred(canvas: Tensor, *, bands: bool) -> Tensor:
    """Means over neighbours in time, and of sound in pitch; of a canvas (B, time, width)."""
    size = (3, 3) if bands else (3, 1)
    padding = (1, 1) if bands else (1, 0)
    means = avg_pool2d(canvas[:, None], size, 1, padding, count_include_pad=False)
    return means[:, 0]


def _blank(block: Any, count: int) -> Tensor:
    if isinstance(block, AudioBlock):
        samples = min(block.typical, round(MADE_SECONDS * block.rate))
        return torch.zeros(count, max(samples, 1), dtype=torch.int16)
    assert isinstance(block, SeriesBlock)
    return torch.zeros(count, max(1, min(block.typical, MADE_STEPS)), block.channels)


def made_share(block: AudioBlock | SeriesBlock) -> float:
    """How long what is made is, beside a typical example."""
    longest = MADE_SECONDS * block.rate if isinstance(block, AudioBlock) else MADE_STEPS
    return min(1.0, longest / max(block.typical, 1))


def item(
    subject: Subject,
    encoder: Encoder,
    examples: Examples,
    stage: Answers,
    channels: Array,
    *,
    count: int,
) -> dict[str, Any]:
    """A stage as a figure has it: for each channel a made stretch and `count` of real examples."""
    canvas = Canvas(subject, encoder)
    canvases, middle = made(subject, canvas, stage.name, channels)
    size = canvases.shape[1:]
    shown, reaches = [], []
    for channel, drawn in zip(channels, canvases, strict=True):
        sees = reach(canvas, examples, stage.name, int(channel))
        reaches.append(sees)
        top = np.argsort(-stage.largest[:, channel], kind="stable")[:count]
        shown.append(
            {
                "name": f"channel {int(channel) + 1}",
                "image": _drawn(canvas, drawn[sees.box(*middle, size)]),
                "patches": [
                    _patch(canvas, examples.take(np.array([row])), sees, places)
                    for row in top
                    for places in [(stage.rows[row, channel], stage.times[row, channel])]
                ],
            }
        )
    return {
        "stage": encoder.prefix + stage.name,
        "note": _note(canvas, reaches, subject.model.inputs.blocks[encoder.field]),
        "channels": shown,
        "wide": canvas.bands is None,
    }


def _patch(canvas: Canvas, example: Examples, sees: Reach, place: tuple[int, int]) -> str:
    seen, lengths = canvas.read(canvas.inputs(example))
    one = seen[0, : int(lengths[0])].cpu().numpy()
    return _drawn(canvas, one[sees.box(int(place[0]), int(place[1]), one.shape)])


def _drawn(canvas: Canvas, part: Array) -> str:
    """A stretch (time, width): sound as a spectrogram, low pitch below; series as lines."""
    if canvas.bands is None:
        return line_drawing(part)
    shares = (part.T[::-1] - DARK) / (BRIGHT - DARK)
    return data_uri((255 * shares.clip(0, 1)).round().astype(np.uint8)[None])


def _note(canvas: Canvas, reaches: list[Reach], block: Any) -> str:
    lengths = sorted({sees.before + sees.behind for sees in reaches})
    if canvas.bands is None:
        whole = [min(length, block.length) for length in lengths]
        seen = f"{whole[0]}" if whole[0] == whole[-1] else f"{whole[0]} to {whole[-1]}"
        return f"a place sees {seen} of at most {block.length:,} steps"
    count = len(block.mean)
    bands = min(count, reaches[0].below + reaches[0].above)
    time = 1000 * HOP_SECONDS * min(lengths[-1], round(block.length / block.rate / HOP_SECONDS))
    return f"a place sees {time:,.0f} ms and {bands} of {count} bands"
