"""Where does it look? The attention of a Transformer's heads: maps of real examples, and reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.record import Figure, Record, not_applicable
from fathom.core.schema import TextStatistics
from fathom.data.data_uri import data_uri
from fathom.data.texts import token_texts
from fathom.evidence import wording
from fathom.evidence.instruments import copied_network
from fathom.evidence.looking import Looker, Looks, lookers, looks
from fathom.evidence.measure import evidence
from fathom.evidence.subject import NETWORK, Subject

EXAMPLES, TOGETHER = 32, 4  # examples, and how many at once: their maps are kept in memory
MANY_PLACES = 1_000  # from which on one example at once is enough
SHOWN, HEADS = 2, 4  # examples, and heads of each
WRITTEN = 20  # places of a map: a text with fewer tokens is shown, other sequences in so many parts
IDS = ("features.attention", "features.attention_reach")
GROUP = "features"
METHOD = "softmax of the products of queries and keys, from what the heads were given"


@dataclass
class Seen:
    """Of a looker: entropies, distances (layers, n, heads); distances if all looked alike."""

    looker: Looker
    entropies: Tensor
    distances: Tensor
    alike: Tensor
    grid: tuple[int, int] | None


def _seconds(subject: Subject) -> float:
    count = len(lookers(subject, subject.model.network))
    each = subject.prediction_seconds(NETWORK, "validation", kept=False)
    return count * (0.5 + 5 * EXAMPLES * each / max(subject.size("validation"), 1))


@evidence("attention", GROUP, IDS, _seconds, weight=0.5)
def measure(subject: Subject, budget: Budget) -> list[Record]:
    """`features.attention`: maps of some heads; `features.attention_reach`: entropy, distance."""
    found = lookers(subject, subject.model.network)
    if not found:
        return [not_applicable(id, GROUP, "The network has no attention.") for id in IDS]
    validation = subject.examples("validation")
    limit = subject.sample_size("attention", EXAMPLES)
    some = validation.sample(limit, subject.generator("attention"))
    network = copied_network(subject)
    seen = [_seen(subject, network, some, looker) for looker in lookers(subject, network)]
    told = [each for each in seen if each is not None]
    if not told:
        reason = "The attention of this network is not one of all places to all."
        return [not_applicable(id, GROUP, reason) for id in IDS]
    return [_maps(subject, network, some, told), _reach(subject, told)]


def _seen(subject: Subject, network: Any, examples: Examples, looker: Looker) -> Seen | None:
    """How a looker looks at all of some examples; None where its attention is not to be had."""
    first = looks(subject, network, examples.take(np.arange(1)), looker.module)
    if not first:
        return None
    size = 1 if first[0].weights.shape[3] > MANY_PLACES else TOGETHER
    parts = [
        _summary(looks(subject, network, examples.take(rows), looker.module))
        for rows in np.array_split(np.arange(len(examples)), -(-len(examples) // size))
    ]
    entropies, distances, alike = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
    return Seen(looker, entropies, distances, alike, first[0].grid)


def _summary(layers: list[Looks]) -> tuple[Tensor, Tensor, Tensor]:
    """Entropies and distances (layers, B, heads), and distances if all looked everywhere alike."""
    places = _places(layers[0])
    entropies = torch.stack([layer.entropy() for layer in layers])
    distances = torch.stack([layer.distance(places) for layer in layers])
    return entropies, distances, layers[0].alike().distance(places)[None]


def _places(layer: Looks) -> Tensor:
    """Where each place stands, (N, axes)."""
    count = layer.weights.shape[3]
    if layer.grid is None:
        return torch.arange(count)[:, None].float()
    rows, columns = torch.meshgrid(*(torch.arange(side) for side in layer.grid), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1).float()
    extra = count - len(places)  # a token that pools stands in the middle of the picture
    return torch.cat([places.mean(dim=0, keepdim=True).expand(extra, 2), places])


def _text(subject: Subject, looker: Looker) -> TextStatistics | None:
    """What was learned of the column, where it is a text."""
    field = next((f for f in subject.schema.inputs if f.name == looker.name), None)
    statistics = None if field is None else field.statistics
    return statistics if isinstance(statistics, TextStatistics) else None


def _maps(subject: Subject, network: Any, examples: Examples, told: list[Seen]) -> Record:
    several = len(told) > 1
    items: list[dict[str, Any]] = []
    for seen in told:
        shown = _choose_heads(seen.entropies.mean(dim=1))
        for position in _choose_examples(subject, seen.looker, examples):
            one = examples.take(np.array([position]))
            title = f"{seen.looker.name}, " if several else ""
            maps = _of_example(subject, network, one, seen.looker, shown)
            items.append({"title": title + _named(subject, one), "maps": maps})
    narrowest = min(float(seen.entropies.mean(dim=1).min()) for seen in told)
    return Record(
        IDS[0],
        GROUP,
        sentence=" ".join(_about(seen, several=several) for seen in told),
        value=narrowest,
        unit="share",
        n=len(examples),
        split="validation",
        method=METHOD,
        figure=Figure("attention", {"items": items}),
    )


def _of_example(
    subject: Subject,
    network: Any,
    example: Examples,
    looker: Looker,
    shown: list[tuple[int, int]],
) -> list[dict[str, Any]]:
    layers = looks(subject, network, example, looker.module)
    return [
        {
            "title": f"layer {layer + 1}, head {head + 1}",
            **_map(subject, example, looker, layers[layer], head),
        }
        for layer, head in shown
    ]


def _about(seen: Seen, *, several: bool) -> str:
    """In words how widely the heads of a looker look."""
    entropies = seen.entropies.mean(dim=1)  # (layers, heads)
    layer, head = divmod(int(entropies.argmin()), entropies.shape[1])
    each = "each head" if entropies.shape[1] > 1 else "the only head"
    where = f"in the part for {seen.looker.name!r} {each}" if several else each
    return (
        f"{where[0].upper()}{where[1:]} of {wording.plural(len(entropies), 'layer')} looks at "
        f"places of its own. Head {head + 1} of layer {layer + 1} looks most narrowly: its "
        f"attention has {wording.percent(float(entropies.min()))} of the entropy that looking "
        f"everywhere alike would have; the widest look has "
        f"{wording.percent(float(entropies.max()))}."
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


def _choose_examples(subject: Subject, looker: Looker, examples: Examples) -> list[int]:
    """Examples whose map is large enough to tell something, and small enough to be read."""
    if _text(subject, looker) is None:
        return list(range(min(SHOWN, len(examples))))
    block: Any = examples.inputs[looker.name]
    order = np.argsort(np.abs(block.lengths - WRITTEN * 3 // 4), kind="stable")
    return [int(position) for position in order[:SHOWN]]


def _named(subject: Subject, example: Examples) -> str:
    said = subject.network.predict(example).said(0)
    written = said if isinstance(said, str) else wording.number(said)
    return f"{subject.locate(int(example.rows[0]))}, answered with {written}"


def _map(
    subject: Subject, example: Examples, looker: Looker, layer: Looks, head: int
) -> dict[str, Any]:
    """A picture under its attention, or weights with the names of their places."""
    weights = layer.weights[0, head].numpy()
    if layer.grid is not None:
        picture = np.asarray(example.inputs[looker.name])[0]
        return {"image": lit(picture, _received(weights, layer.grid)), "labels": [], "values": []}
    text = _text(subject, looker)
    if text is None:
        weights, labels = in_parts(weights)
    else:
        codes = np.asarray(example.inputs[looker.name])[0]
        codes = codes[len(codes) - len(weights) :]  # some networks do not see our mark of the start
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


def _reach(subject: Subject, told: list[Seen]) -> Record:
    several = len(told) > 1
    units = [_unit(subject, seen) for seen in told]
    rows = [row for seen in told for row in _rows(seen, several=several)]
    sentences = [
        (f"In the part for {seen.looker.name!r}: " if several else "") + _far(seen, unit)
        for seen, unit in zip(told, units, strict=True)
    ]
    distance = f"distance in {' or '.join(dict.fromkeys(units))}"
    columns = ["", "entropy (100 %: everywhere alike)", distance, "nearest head", "farthest head"]
    first = "; the value is that of the first part" if several else ""
    return Record(
        IDS[1],
        GROUP,
        sentence=" ".join(sentences),
        value=float(told[0].distances.mean()),
        unit=units[0],
        n=told[0].alike.shape[1],
        split="validation",
        method=f"mean over examples, heads and places of the distance, by its weight; {METHOD}"
        + first,
        figure=Figure("table", {"columns": columns, "rows": rows}),
    )


def _unit(subject: Subject, seen: Seen) -> str:
    if seen.grid is not None:
        return "patches"
    return "steps" if _text(subject, seen.looker) is None else "tokens"


def _far(seen: Seen, unit: str) -> str:
    means = [float(distance.mean()) for distance in seen.distances]
    last = f" in the first layer and {wording.number(means[-1])} in the last"
    return (
        f"On average attention reaches {wording.number(means[0])} {unit} far"
        f"{last if len(means) > 1 else ''}. Looking everywhere alike it would be "
        f"{wording.number(float(seen.alike.mean()))}."
    )


def _rows(seen: Seen, *, several: bool) -> list[list[str]]:
    before = f"{seen.looker.name}, " if several else ""
    return [
        [
            f"{before}layer {number}",
            wording.percent(float(entropy.mean())),
            wording.number(float(distance.mean())),
            wording.number(float(distance.mean(dim=0).min())),
            wording.number(float(distance.mean(dim=0).max())),
        ]
        for number, (entropy, distance) in enumerate(
            zip(seen.entropies, seen.distances, strict=True), 1
        )
    ]
