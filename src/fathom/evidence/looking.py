"""Attention laid open: the weights of every layer of a Transformer for given examples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from fathom.core.examples import Examples
from fathom.evidence.instruments import batch_of
from fathom.evidence.subject import Subject
from fathom.networks.attention import Attend, turned
from fathom.networks.backbones.models import Model
from fathom.networks.mixed import Mixed
from fathom.networks.vit import Stem


@dataclass
class Looks:
    """One layer's attention over a batch: `weights` (B, heads, N, N), places that are `there`.

    Places are the patches of a `grid` (down, across) behind those that stand for no patch, if any.
    """

    weights: Tensor
    there: Tensor
    grid: tuple[int, int] | None = None

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
        return Looks(share.expand(self.weights.shape), self.there, self.grid)

    def _mean(self, each: Tensor) -> Tensor:
        """The mean of (B, heads, N) over the places that are there."""
        there = self.there[:, None].float()
        mean: Tensor = (each * there).sum(dim=2) / there.sum(dim=2)
        return mean


@dataclass(frozen=True)
class Looker:
    """What attends in a network to the column `name`: all of it, or its part for that column."""

    name: str
    module: Any


def lookers(subject: Subject, network: Any) -> list[Looker]:
    """What attends in a network, in the order of the columns."""
    blocks = subject.model.inputs.blocks
    if isinstance(network, Mixed):
        parts: Any = network.fields.parts
        found = [Looker(part.names[0], part) for part in parts]
    else:
        rich = [n for n in blocks if n not in subject.model.inputs.scalars]
        found = [Looker(rich[0], network)] if rich else []
    return [looker for looker in found if _attends(looker.module)]


def _attends(module: nn.Module) -> bool:
    """Whether there is attention that can be laid open."""
    inside = list(module.modules())
    if any(isinstance(each, Attend) for each in inside):
        return True
    foreign = any(isinstance(each, Model) for each in inside)
    return foreign and any("attention" in type(each).__name__.lower() for each in inside)


def looks(
    subject: Subject, network: Any, examples: Examples, inside: nn.Module | None = None
) -> list[Looks]:
    """The attention of every layer for examples, as a copied network or a part of it computes it.

    Of networks of ours it is recomputed from what the heads were given; those of transformers
    give it themselves. Layers whose attention is not one of all places to all are left out.
    """
    found: list[Looks] = []

    def keep(module: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        if isinstance(module, Attend):
            found.append(recomputed(module, *inputs))
        else:
            found.extend(laid_open(module, inputs[0]))

    modules = (network if inside is None else inside).modules()
    handles = [m.register_forward_hook(keep) for m in modules if isinstance(m, Attend | Model)]
    with torch.no_grad():
        network(batch_of(subject, examples).inputs)
    for handle in handles:
        handle.remove()
    grid = _own_grid(network if inside is None else inside)
    return [replace(each, grid=each.grid or grid) for each in found]


def laid_open(model: Model, flow: Any) -> list[Looks]:
    """The attention of a model of transformers to what flows into it."""
    layers, there = model.attention(flow)
    if not layers:
        return []
    rows, places = layers[0].shape[0], layers[0].shape[3]
    if there is None:
        there = torch.ones(rows, places, dtype=torch.bool)
    grid = model.grid(flow)
    if grid is not None and grid[0] * grid[1] > places:
        grid = None
    same = [each for each in layers if each.shape == layers[0].shape and len(each) == len(there)]
    return [Looks(weights.float().cpu(), there.cpu(), grid) for weights in same]


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


def _own_grid(module: Any) -> tuple[int, int] | None:
    """Places down and across of a picture in a vit of ours; None of sequences."""
    stems = (each for each in module.modules() if isinstance(each, Stem))
    return next((stem.grid for stem in stems), None)
