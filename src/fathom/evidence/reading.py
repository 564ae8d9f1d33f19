"""Reading: which column the first layer looks at, and what its inputs are called in words.

A filter over sound lies on bands and moments, one over a text on tokens, one over a series on steps
of its channels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from fathom.core.blocks import AudioBlock, Block, SeriesBlock, TextBlock
from fathom.core.mel import HOP_SECONDS, LogMel
from fathom.evidence.instruments import Call
from fathom.evidence.subject import Subject
from fathom.networks.mixed import Mixed

_OF_PART = re.compile(r"fields\.parts\.(\d+)\.(?:stages\.(\d+)\.)?(.*)")
# What stands beside the values of a series, by how many numbers there are of each channel.
_VALUE, _THERE = "{channel}", "whether {channel} is there"
_RANKS = ("rank of {channel}", "rank of the change of {channel}")
OF_CHANNEL = {
    1: (_VALUE,),
    2: (_VALUE, _THERE),
    3: (_VALUE, *_RANKS),
    4: (_VALUE, *_RANKS, _THERE),
}


@dataclass(frozen=True)
class Reading:
    """What a layer reads: `layer` is its name for people, `column` and `block` the field.

    They are empty where the layer reads several fields. `energies` (frames, bands) are those of the
    sound, where it is heard as such.
    """

    layer: str
    column: str = ""
    block: Block | None = None
    energies: Tensor | None = None

    @property
    def place(self) -> str:
        """What one place along the field is called."""
        if isinstance(self.block, TextBlock):
            return "token"
        if isinstance(self.block, AudioBlock):
            return "moment" if self.energies is not None else "sample"
        return "step"


def reading_of(subject: Subject, network: Any, calls: list[Call], first: Call) -> Reading:
    """What `first` of the calls reads."""
    blocks = subject.model.inputs.blocks
    layer, column = first.name, next(iter(blocks)) if len(blocks) == 1 else ""
    found = _OF_PART.fullmatch(first.name)
    if isinstance(network, Mixed) and found is not None:
        column = network.fields.titles[int(found[1])]
        part: Any = network.fields.parts[int(found[1])]
        stage = f"{part.stage_names[int(found[2])]}, " if found[2] else ""
        layer = f"{column}: {stage}{found[3]}"
    before = calls[: calls.index(first)]
    heard = [call.output.detach()[0] for call in before if isinstance(call.module, LogMel)]
    sound = isinstance(blocks.get(column), AudioBlock)
    return Reading(layer, column, blocks.get(column), heard[-1] if heard and sound else None)


def covered(reading: Reading, layer: Any, place: tuple[int, ...]) -> str:
    """What a filter lies over, whose first place is `place`: 'bands 3 to 7 and 0.42 to 0.46 s'."""
    spans = [
        (max(0, begin), begin + (size - 1) * gap)
        for begin, size, gap in zip(place, layer.kernel_size, layer.dilation, strict=True)
    ]
    if reading.energies is None:
        if len(place) == 2:
            return f"the picture at row {place[0] + 1}, column {place[1] + 1}"
        return _span(reading.place, *spans[0])
    begin, end = (HOP_SECONDS * frame for frame in spans[-1])
    moments = f"the moments from {begin:.2f} to {end:.2f} s"
    return f"{_span('band', *spans[0])} and {moments}" if len(spans) == 2 else moments


def _span(word: str, begin: int, end: int) -> str:
    return f"{word} {begin + 1}" if begin == end else f"{word}s {begin + 1} to {end + 1}"


def under_filter(reading: Reading, shape: tuple[int, ...], term: int) -> str:
    """The name of an input of a filter whose weights have `shape`, channels first."""
    channel, *places = (int(i) + 1 for i in np.unravel_index(term, shape))
    if len(places) == 2:
        if reading.energies is not None:
            return f"band {places[0]}, moment {places[1]} under the filter"
        called = f", channel {channel}" if shape[0] > 1 else ""
        return f"row {places[0]}, column {places[1]} under the filter{called}"
    at = f"{reading.place} {places[0]} under the filter"
    if isinstance(reading.block, SeriesBlock):
        return f"{at}, {_of_channel(reading.block.channels, shape[0], channel - 1)}"
    if reading.energies is not None:
        return f"{at}, band {channel}"
    if isinstance(reading.block, TextBlock):
        return f"{at}, number {channel} of its vector"
    return f"{at}, number {channel}" if shape[0] > 1 else at


def _of_channel(channels: int, depth: int, at: int) -> str:
    """What number `at` of `depth` at a step of a series is, from 0."""
    names = OF_CHANNEL.get(depth // channels) if depth % channels == 0 else None
    if names is None:
        return f"number {at + 1}"
    channel = f"channel {at % channels + 1}" if channels > 1 else "the value"
    return names[at // channels].format(channel=channel)
