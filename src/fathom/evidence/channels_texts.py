"""What channels of convnets on texts see: the runs of tokens that excite them; and what speaks for
each class, where nothing but pooling stands between the tokens and the head.

Words cannot be changed little by little: there are no optimised inputs of texts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fathom.core.blocks import FIRST_TOKEN
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.schema import TextStatistics
from fathom.data.texts import token_texts
from fathom.evidence.channels_sequences import Answers
from fathom.evidence.stages import Encoder
from fathom.evidence.subject import Subject
from fathom.networks.steps import Steps
from fathom.networks.text_convnet import KERNEL, Convolve, TextConvnet

SHOWN, CLASSES, RUNS = 4, 8, 6
FEWEST = 2  # examples that a run must occur in to speak for a class


def text_of_field(subject: Subject, field: str) -> TextStatistics | None:
    """What was learned of a column of text; None of any other."""
    found = next((f.statistics for f in subject.schema.inputs if f.name == field), None)
    return found if isinstance(found, TextStatistics) else None


def item(
    subject: Subject, encoder: Encoder, examples: Examples, stage: Answers, channels: Array
) -> dict[str, Any]:
    """A stage as a figure has it: for each channel the different runs that excite it most."""
    before, behind = _sees(encoder, stage.name)
    words = _Words(subject, encoder, examples)
    shown = []
    for channel in channels:
        found: dict[str, None] = {}
        for row in np.argsort(-stage.largest[:, channel], kind="stable"):
            time = int(stage.times[row, channel])
            found.setdefault(words.run(int(row), time - before, time + behind + 1))
            if len(found) == SHOWN:
                break
        shown.append({"name": f"channel {int(channel) + 1}", "words": list(found)})
    count = before + behind + 1
    return {
        "stage": encoder.prefix + stage.name,
        "note": f"a place sees {count} token{'' if count == 1 else 's'}",
        "channels": shown,
    }


def _sees(encoder: Encoder, stage: str) -> tuple[int, int]:
    """How many tokens before and behind its own a place of a stage sees."""
    before = behind = 0
    for name, module in encoder.stages():
        if hasattr(module, "runs"):
            before += len(module.runs)
        if isinstance(module, Convolve):
            before, behind = before + KERNEL // 2, behind + KERNEL // 2
        if name == stage:
            break
    return before, behind


class _Words:
    """The tokens of examples as a person reads them."""

    def __init__(self, subject: Subject, encoder: Encoder, examples: Examples) -> None:
        statistics = text_of_field(subject, encoder.field)
        assert statistics is not None
        self.statistics = statistics
        self.block: Any = examples.inputs[encoder.field]

    def run(self, row: int, start: int, end: int) -> str:
        """Tokens `start` to `end` of an example, cut where it begins and ends."""
        codes = self.block.row(row)[max(0, start) : end]
        return self.text(codes)

    def text(self, codes: Array) -> str:
        """Tokens as text; the mark of the start alone stays visible."""
        texts = token_texts(self.statistics, codes)
        parts = [
            f"{text} " if code < FIRST_TOKEN else text
            for code, text in zip(codes, texts, strict=True)
        ]
        return " ".join("".join(parts).split()) or "(space)"


def linear_in_runs(network: Any) -> bool:
    """Whether nothing but pooling stands between the vectors of tokens and the head."""
    return isinstance(network, TextConvnet) and not len(network.blocks)


@torch.no_grad()
def shares(network: TextConvnet, codes: Tensor) -> tuple[Tensor, Tensor]:
    """What each step of texts (B, L) adds to each output, (B, L, outputs), and the mask (B, L).

    Exact: with the head's bias they sum to the outputs. Of the mean each step holds its part; the
    largest value of a channel is that of one step.
    """
    steps: Steps = network.front({network.front.name: codes})
    weight = network.head.linear.weight  # (outputs, 2 · width)
    of_mean, of_largest = weight.chunk(2, dim=1)
    found = steps.cleared() @ of_mean.T / steps.lengths[:, None, None]
    hidden = steps.values.masked_fill(~steps.mask[:, :, None], -torch.inf)
    largest, places = hidden.max(dim=1)  # (B, width)
    each = largest[:, :, None] * of_largest.T  # (B, width, outputs)
    found.scatter_add_(1, places[:, :, None].expand_as(each), each)
    return found * steps.mask[:, :, None], steps.mask


def classes_item(
    subject: Subject, network: TextConvnet, encoder: Encoder, examples: Examples
) -> dict[str, Any]:
    """For each class the runs of tokens that speak most for it, on average where they occur."""
    words, runs = _Words(subject, encoder, examples), len(network.front.runs) + 1
    sums: dict[tuple[int, ...], Array] = {}
    counts: dict[tuple[int, ...], int] = {}
    device = subject.model.device
    for row in range(len(examples)):
        codes = words.block.row(row)
        batch = torch.as_tensor(np.ascontiguousarray(codes[None])).to(device)
        found = shares(network, batch)[0][0].float().cpu().numpy()
        if found.shape[1] > 1:
            found = found - found.mean(axis=1, keepdims=True)
        seen: dict[tuple[int, ...], Array] = {}
        for place, share in enumerate(found):
            run = tuple(int(code) for code in codes[max(0, place - runs + 1) : place + 1])
            seen[run] = seen.get(run, np.zeros_like(share)) + share
        for run, share in seen.items():
            sums[run] = sums.get(run, np.zeros_like(share)) + share
            counts[run] = counts.get(run, 0) + 1
    often = [run for run in sums if counts[run] >= FEWEST] or list(sums)
    means = np.stack([sums[run] / counts[run] for run in often])
    return {
        "stage": f"{encoder.prefix}what speaks for an answer",
        "note": "runs that add most to it, on average over the texts they occur in",
        "channels": [
            {
                "name": name,
                "words": [words.text(np.array(often[place])) for place in order[:RUNS]],
            }
            for name, order in _orders(subject, means, examples)
        ],
    }


def _orders(subject: Subject, means: Array, examples: Examples) -> list[tuple[str, Array]]:
    """The name of each answer that is shown, and runs in the order in which they speak for it."""
    output = subject.task.output
    if means.shape[1] > 1 or output.form == "labels":
        columns = np.arange(means.shape[1])
        if output.form == "classes" and examples.targets is not None:
            often = np.bincount(examples.targets.astype(int), minlength=len(columns))
            columns = np.argsort(-often, kind="stable")
        return [
            (str(output.labels[c]), np.argsort(-means[:, c], kind="stable"))
            for c in columns[:CLASSES]
        ]
    one = means[:, 0]
    low, high = ("a lower value", "a higher value")
    if output.form == "classes":
        low, high = (str(label) for label in output.labels)
    return [(high, np.argsort(-one, kind="stable")), (low, np.argsort(one, kind="stable"))]
