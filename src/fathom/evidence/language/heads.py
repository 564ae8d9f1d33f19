"""What attention heads look at: the token before, the first one, or what came next last time.

An induction head looks from a token to what followed its earlier occurrence, so that what came once
can come again (Olsson et al. 2022, arXiv 2209.11895). It shows in a row of random tokens that is
read twice, where nothing but looking back tells what comes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.record import Figure, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.instruments import copied
from fathom.evidence.language.estimates import between_shares, interval_of, mean_over_units
from fathom.evidence.language.stages import rows_of
from fathom.evidence.language.subject import NETWORK, LanguageSubject
from fathom.evidence.measure import evidence
from fathom.networks.language.attention import CausalAttend

ID, GROUP = "features.heads", "features"
ROWS, LONGEST = 16, 128  # rows of each kind, and tokens of a row at most
TOGETHER = 8
CLEAR = 0.3  # of its attention: a head that gives one place so much is told to look there
SHOWN = 60  # heads in the table

Seen = Callable[[Tensor], Tensor]
"""Weights (B, H, T, T) of a layer to a share of each row and head, (B, H)."""


def _seconds(subject: LanguageSubject) -> float:
    return 0.2 + 3 * ROWS * LONGEST * subject.token_seconds(NETWORK)


@evidence("heads", GROUP, (ID,), _seconds, weight=0.3)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`features.heads`: what the heads look at, in validation text and in random tokens."""
    network = copied(subject.network.model.network)
    if not any(isinstance(module, CausalAttend) for module in network.modules()):
        reason = "The network has no attention: it keeps what it has read in its cells."
        return [not_applicable(ID, GROUP, reason)]
    text = rows_of(subject, "validation", ROWS * LONGEST, longest=LONGEST)[:ROWS, :-1]
    size = min(LONGEST, network.context) // 2
    if text.shape[1] < 3 or size < 2:
        return [not_applicable(ID, GROUP, "The texts are too short to look back in them.")]
    before = _shares(subject, network, text, _to_the_one_before)
    first = _shares(subject, network, text, _to_the_first)
    twice = _repeated(subject, size)
    induction = _shares(subject, network, twice, lambda weights: _to_what_followed(weights, size))
    return [_record(subject, Heads(before, first, induction), size)]


@dataclass(frozen=True)
class Heads:
    """Shares of attention by row, layer and head, (ROWS, layers, heads).

    `before` and `first` are those that the token before and the first one are given in real text,
    `induction` that of what followed last time in repeated random tokens.
    """

    before: Array
    first: Array
    induction: Array


def _repeated(subject: LanguageSubject, size: int) -> Array:
    """Rows of random tokens that are read twice, drawn from those of the text, (ROWS, 2 size)."""
    tokens = np.unique(np.asarray(subject.documents("validation").tokens))
    tokens = tokens[tokens != subject.network.model.tokenizer.end]
    drawn = subject.generator(ID, "random").choice(tokens, size=(ROWS, size))
    return np.tile(drawn, (1, 2))


def _shares(subject: LanguageSubject, network: Any, rows: Array, seen: Seen) -> Array:
    """What `seen` says of every layer's weights for rows, (rows, layers, heads)."""
    layers: list[Tensor] = []

    def keep(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        layers.append(seen(weights_of(inputs[0], inputs[1])).cpu())

    found = []
    modules = [module for module in network.modules() if isinstance(module, CausalAttend)]
    hooks = [module.register_forward_hook(keep) for module in modules]
    with torch.no_grad():
        for start in range(0, len(rows), TOGETHER):
            layers.clear()
            some = torch.from_numpy(rows[start : start + TOGETHER].astype(np.int64))
            network(some.to(subject.network.model.device))
            found.append(torch.stack(layers, dim=1).numpy())  # (B, layers, H)
    for hook in hooks:
        hook.remove()
    return np.concatenate(found)


def weights_of(q: Tensor, k: Tensor) -> Tensor:
    """What CausalAttend weighs with: q (B, H, T, D) and k (B, H, T, D) to (B, H, T, T)."""
    scores = q.float() @ k.float().transpose(2, 3) * q.shape[3] ** -0.5
    hidden = torch.ones(scores.shape[2:], dtype=torch.bool, device=q.device).triu(1)
    weights: Tensor = scores.masked_fill(hidden, float("-inf")).softmax(dim=3)
    return weights


def _to_the_one_before(weights: Tensor) -> Tensor:
    return weights.diagonal(offset=-1, dim1=2, dim2=3).mean(dim=2)


def _to_the_first(weights: Tensor) -> Tensor:
    return weights[:, :, 2:, 0].mean(dim=2)  # to the second token it is the one before


def _to_what_followed(weights: Tensor, size: int) -> Tensor:
    """From token i of the second reading to token i + 1 of the first."""
    followed: Tensor = weights.diagonal(offset=1 - size, dim1=2, dim2=3)[:, :, 1:]
    shares: Tensor = followed.mean(dim=2)
    return shares


def _record(subject: LanguageSubject, found: Heads, size: int) -> Record:
    """The head with the largest induction score, chosen by one half of the rows, told by the other.

    The best of many heads by the same rows would look better than it is.
    """
    half = len(found.induction) // 2
    scores = found.induction[:half].mean(axis=0)
    layer, head = np.unravel_index(int(scores.argmax()), scores.shape)
    best = mean_over_units(
        found.induction[half:, layer, head], subject.generator(ID), "rows of tokens"
    )
    return Record(
        ID,
        GROUP,
        sentence=_sentence(found, best.value, between_shares(best), (int(layer), int(head))),
        value=best.value,
        unit="share",
        interval=interval_of(best),
        n=ROWS,
        split="validation",
        method=(
            f"attention recomputed from queries and keys; {ROWS} rows of {size} random tokens, "
            "each read twice: the share that falls on what followed a token before, of the head "
            f"that is best on half of the rows, on the other half; {best.method}"
        ),
        higher_is_better=None,
        figure=_figure(found),
    )


def _sentence(found: Heads, best: float, interval: str, place: tuple[int, int]) -> str:
    count = found.before[0].size
    many = wording.plural(count, "head")
    looks = [int((each.mean(axis=0) >= CLEAR).sum()) for each in (found.before, found.first)]
    induction = int((found.induction.mean(axis=0) >= CLEAR).sum())
    opening = (
        f"Of {many} {looks[0]} give the token before them {100 * CLEAR:g} % of their "
        f"attention or more, {looks[1]} the first token. "
    )
    told = (
        f"{induction} look for what followed last time, as it takes to copy from the prompt"
        if induction
        else "No head looks for what followed last time, as it would take to copy from the prompt"
    )
    return (
        f"{opening}{told}: the most that one does, head {place[1] + 1} of layer {place[0] + 1}, is "
        f"{wording.percent(best)} ({interval})."
    )


def _figure(found: Heads) -> Figure:
    """Each head's three shares; of many heads those with the most to tell."""
    means = [each.mean(axis=0) for each in (found.before, found.first, found.induction)]
    most = np.max(means, axis=0)
    order = np.argsort(-most.ravel(), kind="stable")[:SHOWN]
    rows = []
    for place in np.sort(order):
        layer, head = np.unravel_index(int(place), most.shape)
        shares = [wording.percent(float(each[layer, head])) for each in means]
        rows.append([f"layer {layer + 1}, head {head + 1}", *shares])
    columns = ["", "token before", "first token", "what followed last time"]
    return Figure("table", {"columns": columns, "rows": rows})
