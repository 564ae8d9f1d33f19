"""Where does it look? The attention of a Transformer's heads: maps of real examples, and reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.blocks import ImageBlock, TextBlock
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.record import Figure, Record, not_applicable
from fathom.core.schema import TextStatistics
from fathom.data.data_uri import data_uri
from fathom.data.texts import token_texts
from fathom.evidence import wording
from fathom.evidence.instruments import batch_of, copied_network
from fathom.evidence.measure import evidence
from fathom.evidence.subject import NETWORK, Subject
from fathom.networks.attention import Attend, turned

EXAMPLES, TOGETHER = 32, 4  # examples, and how many at once: their maps are kept in memory
MANY_PLACES = 1_000  # from which on one example at once is enough
SHOWN, HEADS = 2, 4  # examples, and heads of each
WRITTEN = 20  # places of a map: a text with fewer tokens is shown, other sequences in so many parts
IDS = ("features.attention", "features.attention_reach")
GROUP = "features"
METHOD = "softmax of the products of queries and keys, computed from what the heads were given"


@dataclass
class Looks:
    """One layer's attention over a batch: `weights` (B, heads, N, N), places that are `there`."""

    weights: Tensor
    there: Tensor

    def entropy(self) -> Tensor:
        """How widely a head looks, (B, heads): 0 at one place alone, 1 at all alike."""
        logs = self.weights.clamp_min(1e-12).log()
        each = -(self.weights * logs).sum(dim=3)  # (B, heads, N)
        most = self.there.sum(dim=1).clamp_min(2).float().log()
        return self._mean(each) / most[:, None]

    def distance(self, places: Tensor) -> Tensor:
        """How far away on average a head looks, (B, heads); `places` (N, axes) are positions."""
        apart = torch.cdist(places, places)
        return self._mean((self.weights * apart).sum(dim=3))

    def alike(self) -> Looks:
        """Attention that gives every place that is there the same."""
        share = self.there[:, None, None, :].float()
        share = share / share.sum(dim=3, keepdim=True)
        return Looks(share.expand(self.weights.shape), self.there)

    def _mean(self, each: Tensor) -> Tensor:
        """The mean of (B, heads, N) over the places that are there."""
        there = self.there[:, None].float()
        mean: Tensor = (each * there).sum(dim=2) / there.sum(dim=2)
        return mean


def _attends(network: nn.Module) -> int:
    return sum(isinstance(module, Attend) for module in network.modules())


def _seconds(subject: Subject) -> float:
    if not _attends(subject.model.network):
        return 0.0
    each = subject.prediction_seconds(NETWORK, "validation", kept=False)
    return 0.5 + 5 * EXAMPLES * each / max(subject.size("validation"), 1)


@evidence("attention", GROUP, IDS, _seconds, weight=0.5)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`features.attention`: maps of some heads; `features.attention_reach`: entropy, distance."""
    reason = _impossible(subject)
    if reason:
        return [not_applicable(id, GROUP, reason) for id in IDS]
    validation = subject.examples("validation")
    limit = subject.sample_size("attention", EXAMPLES)
    some = validation.sample(limit, subject.generator("attention"))
    network = copied_network(subject)
    seen = [_summary(subject, looks(subject, network, part)) for part in _parts(subject, some)]
    entropies, distances, alike = (torch.cat(part, dim=1) for part in zip(*seen, strict=True))
    return [
        _maps(subject, network, some, entropies.mean(dim=1)),
        _reach(subject, (entropies, distances, alike)),
    ]


def _parts(subject: Subject, examples: Examples) -> list[Examples]:
    grid = _grid(subject)
    size = 1 if grid and grid[0] * grid[1] > MANY_PLACES else TOGETHER
    starts = range(0, len(examples), size)
    return [examples.take(np.arange(s, min(s + size, len(examples)))) for s in starts]


def _summary(subject: Subject, layers: list[Looks]) -> tuple[Tensor, Tensor, Tensor]:
    """Entropies and distances (layers, B, heads), and distances if all looked everywhere alike."""
    places = _places(subject, layers[0])
    entropies = torch.stack([layer.entropy() for layer in layers])
    distances = torch.stack([layer.distance(places) for layer in layers])
    return entropies, distances, layers[0].alike().distance(places)[None]


def _impossible(subject: Subject) -> str:
    if not _attends(subject.model.network):
        kinds = {type(module).__name__.lower() for module in subject.model.network.modules()}
        if any("attention" in kind for kind in kinds):
            return "The attention is that of another library's network, and is not laid open."
        return "The network has no attention."
    if len(subject.model.inputs.blocks) > 1 and subject.model.inputs.sequences:
        return "Several columns have networks of their own, whose attention is not laid open."
    return ""


def looks(subject: Subject, network: Any, examples: Examples) -> list[Looks]:
    """The attention of every layer for examples, recomputed from what its heads were given."""
    found: list[Looks] = []

    def keep(module: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        found.append(recomputed(module, *inputs))

    attends = [module for module in network.modules() if isinstance(module, Attend)]
    handles = [module.register_forward_hook(keep) for module in attends]
    with torch.no_grad():
        network(batch_of(subject, examples).inputs)
    for handle in handles:
        handle.remove()
    return found


def recomputed(
    attend: Attend, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> Looks:
    """What an Attend weighs its places with, from what it is called with."""
    heads = (attend.num_heads, query.shape[2] // attend.num_heads)
    q, k = (x.view(len(x), x.shape[1], *heads).transpose(1, 2) for x in (query, key))
    if attend.rotary:
        q, k = turned(q, attend.BASE), turned(k, attend.BASE)
    scores = q.float() @ k.float().transpose(2, 3) * heads[1] ** -0.5
    there = torch.ones(query.shape[:2], dtype=torch.bool, device=query.device)
    if mask is not None:
        there = mask
        scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
    return Looks(scores.softmax(dim=3).cpu(), there.cpu())


def _places(subject: Subject, layer: Looks) -> Tensor:
    """Where each place stands, (N, axes)."""
    count = layer.weights.shape[3]
    grid = _grid(subject)
    if grid is None:
        return torch.arange(count)[:, None].float()
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in grid), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1).float()
    extra = count - len(places)  # a token that pools stands in the middle of the picture
    return torch.cat([places.mean(dim=0, keepdim=True).expand(extra, 2), places])


def _grid(subject: Subject) -> tuple[int, int] | None:
    """Places down and across of a picture; None of sequences."""
    network: Any = subject.model.network
    stem = getattr(network, "stem", None)
    return None if stem is None else stem.grid


def _text(subject: Subject) -> TextStatistics | None:
    """What was learned of the only column, where it is a text."""
    for name, block in subject.model.inputs.sequences.items():
        field = next(f for f in subject.schema.inputs if f.name == name)
        if isinstance(block, TextBlock) and isinstance(field.statistics, TextStatistics):
            return field.statistics
    return None


def _maps(subject: Subject, network: Any, examples: Examples, entropies: Tensor) -> Record:
    """`entropies` (layers, heads) are means over all examples."""
    shown = _choose_heads(entropies)
    items = []
    for position in _choose_examples(subject, examples):
        one = examples.take(np.array([position]))
        layers = looks(subject, network, one)
        maps = [
            {
                "title": f"layer {layer + 1}, head {head + 1}",
                **_map(subject, one, layers[layer], head),
            }
            for layer, head in shown
        ]
        items.append({"title": _named(subject, one), "maps": maps})
    layer, head = divmod(int(entropies.argmin()), entropies.shape[1])
    each = "Each head" if entropies.shape[1] > 1 else "The only head"
    return Record(
        IDS[0],
        GROUP,
        sentence=(
            f"{each} of {wording.plural(len(entropies), 'layer')} looks at places of its own. "
            f"Head {head + 1} of layer {layer + 1} looks most narrowly: its attention has "
            f"{wording.percent(float(entropies.min()))} of the entropy that looking everywhere "
            f"alike would have; the widest look has {wording.percent(float(entropies.max()))}."
        ),
        value=float(entropies.min()),
        unit="share",
        n=len(examples),
        split="validation",
        method=METHOD,
        figure=Figure("attention", {"items": items}),
    )


def _choose_heads(entropies: Tensor) -> list[tuple[int, int]]:
    """The narrowest and the widest head of the first and of the last layer, (layer, head) each."""
    layers = dict.fromkeys((0, len(entropies) - 1))
    pairs = [
        (layer, int(pick(entropies[layer])))
        for layer in layers
        for pick in (torch.argmin, torch.argmax)
    ]
    return list(dict.fromkeys(pairs))[:HEADS]


def _choose_examples(subject: Subject, examples: Examples) -> list[int]:
    """Examples whose map is large enough to tell something, and small enough to be read."""
    if _text(subject) is None:
        return list(range(min(SHOWN, len(examples))))
    block: Any = examples.inputs[next(iter(subject.model.inputs.sequences))]
    order = np.argsort(np.abs(block.lengths - WRITTEN * 3 // 4), kind="stable")
    return [int(position) for position in order[:SHOWN]]


def _named(subject: Subject, example: Examples) -> str:
    said = subject.network.predict(example).said(0)
    written = said if isinstance(said, str) else wording.number(said)
    return f"{subject.locate(int(example.rows[0]))}, answered with {written}"


def _map(subject: Subject, example: Examples, layer: Looks, head: int) -> dict[str, Any]:
    """A picture under its attention, or weights with the names of their places."""
    weights, grid = layer.weights[0, head].numpy(), _grid(subject)
    blocks = subject.model.inputs.blocks
    if grid is not None:
        name = next(n for n, b in blocks.items() if isinstance(b, ImageBlock))
        picture = np.asarray(example.inputs[name])[0]
        return {"image": lit(picture, _received(weights, grid)), "labels": [], "values": []}
    text = _text(subject)
    if text is None:
        weights, labels = in_parts(weights)
    else:
        codes = np.asarray(example.inputs[next(iter(subject.model.inputs.sequences))])[0]
        labels = token_texts(text, codes[:WRITTEN])
        weights = weights[:WRITTEN, :WRITTEN]
    rounded = [[round(float(value), 4) for value in row] for row in weights]
    return {"image": None, "labels": labels, "values": rounded}


def _received(weights: Array, grid: tuple[int, int]) -> Array:
    """What each patch is given, (rows, columns): by the token that pools, or by all on average."""
    patches = grid[0] * grid[1]
    extra = len(weights) - patches
    given = weights[0] if extra else weights.mean(axis=0)
    received: Array = given[extra:].reshape(grid)
    return received


def lit(picture: Array, received: Array) -> str:
    """A picture (C, H, W) that is the brighter the more attention a place is given, as data URI."""
    _, height, width = picture.shape
    rows = np.arange(height) * received.shape[0] // height
    columns = np.arange(width) * received.shape[1] // width
    light = received / max(float(received.max()), 1e-12)
    bright = 0.2 + 0.8 * light[rows][:, columns]
    # Of dark pictures the attended places would stay dark: a little light is added as well.
    shown = picture * bright + 60.0 * (bright - 0.2)
    return data_uri(shown.clip(0, 255).astype(np.uint8))


def in_parts(weights: Array) -> tuple[Array, list[str]]:
    """Weights (N, N) of many steps as those of WRITTEN parts: what a part's steps give another's.

    Rows still sum to 1.
    """
    count = len(weights)
    edges = np.linspace(0, count, min(count, WRITTEN) + 1).round().astype(int)
    starts = edges[:-1]
    given = np.add.reduceat(weights, starts, axis=1)
    mean = np.add.reduceat(given, starts, axis=0) / np.diff(edges)[:, None]
    labels = [
        f"{start + 1}" if end - start == 1 else f"{start + 1}-{end}"
        for start, end in zip(starts, edges[1:], strict=True)
    ]
    return mean, labels


def _reach(subject: Subject, seen: tuple[Tensor, Tensor, Tensor]) -> Record:
    entropies, distances, alike = seen
    unit = "patches" if _grid(subject) else "tokens" if _text(subject) else "steps"
    rows = [
        [
            f"layer {number}",
            wording.percent(float(entropy.mean())),
            wording.number(float(distance.mean())),
            wording.number(float(distance.mean(dim=0).min())),
            wording.number(float(distance.mean(dim=0).max())),
        ]
        for number, (entropy, distance) in enumerate(zip(entropies, distances, strict=True), 1)
    ]
    means = [float(distance.mean()) for distance in distances]
    last = f" in the first layer and {wording.number(means[-1])} in the last"
    columns = ["", "entropy (100 %: everywhere alike)", f"distance in {unit}"]
    return Record(
        IDS[1],
        GROUP,
        sentence=(
            f"On average attention reaches {wording.number(means[0])} {unit} far"
            f"{last if len(means) > 1 else ''}. Looking everywhere alike it would be "
            f"{wording.number(float(alike.mean()))}."
        ),
        value=float(np.mean(means)),
        unit=unit,
        n=alike.shape[1],
        split="validation",
        method=f"mean over examples, heads and places of the distance, by its weight; {METHOD}",
        figure=Figure(
            "table", {"columns": [*columns, "nearest head", "farthest head"], "rows": rows}
        ),
    )
