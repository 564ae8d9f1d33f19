"""What every stage of a network says of examples, as one row of numbers for each of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fathom.core.blocks import InputSpec
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.ragged import work_of
from fathom.core.randomness import torch_generator
from fathom.evidence.instruments import copied_network
from fathom.evidence.subject import Subject
from fathom.inference.model import batch_size
from fathom.networks.backbones.models import Model
from fathom.networks.mixed import Fields
from fathom.networks.steps import PoolSteps, Steps

WIDEST = 512  # numbers of a row; more are folded together
MOST_STAGES = 12  # of a deeper network so many are looked at, spread evenly


def chains_of(network: Any) -> list[list[tuple[str, Any]]]:
    """The stages before the head that are looked at, in order: a chain where one leads to the next.

    Most networks are one chain. A network of several fields has one for each, whose stages are
    called after the field, and a last one for what they have in common. Of a long chain stages are
    spread evenly, the first and the last always among them. Before a stage that is a model of
    transformers its layers are looked at, each by itself.
    """
    stages = network.stages()[:-1]
    first = stages[0][1] if stages else None
    if not isinstance(first, Fields):
        return [_spread(_with_layers(stages), MOST_STAGES)]
    fields = first.chains()
    most = max(2, (MOST_STAGES - len(stages)) // len(fields))
    chains = [
        [(f"{field}: {name}", module) for name, module in _spread(_with_layers(chain), most)]
        for field, chain in fields.items()
    ]
    return [*chains, _spread(stages, MOST_STAGES)]


class Encoder(nn.Module):
    """The stages before the head that see one field, of a network or of a part of a mixed one.

    `prefix` is written before their names where there are several fields.
    """

    def __init__(self, field: str, stages: list[tuple[str, Any]], prefix: str = "") -> None:
        super().__init__()
        self.field, self.prefix = field, prefix
        self.names = [name for name, _ in stages]
        self.chain = nn.ModuleList(module for _, module in stages)

    def stages(self) -> list[tuple[str, Any]]:
        """The named stages in order of computation."""
        return list(zip(self.names, self.chain, strict=True))

    def forward(self, inputs: Any) -> Any:
        """What the last stage says of a batch of the field, or of inputs that hold it."""
        return self.until(self.names[-1], inputs)

    def until(self, name: str, inputs: Any) -> Any:
        """What a stage says; those behind it are not computed."""
        flow = inputs if isinstance(inputs, dict) else {self.field: inputs}
        for stage, module in self.stages():
            flow = module(flow)
            if stage == name:
                break
        return flow


def encoders(network: Any, inputs: InputSpec) -> list[Encoder]:
    """The encoder of each field that has one to itself: pictures, text, sound and series."""
    stages = network.stages()[:-1]
    fields = [name for name in inputs.blocks if name not in inputs.scalars]
    if stages and isinstance(stages[0][1], Fields):
        chains = stages[0][1].chains()
        return [Encoder(field, chains[field], f"{field}: ") for field in fields]
    return [Encoder(fields[0], stages)] if len(inputs.blocks) == len(fields) == 1 else []


def looked_at(network: Any) -> list[tuple[str, Any]]:
    """The stages of all chains, see `chains_of`."""
    return [stage for chain in chains_of(network) for stage in chain]


def _with_layers(stages: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, module in stages:
        inner = module.layers() if isinstance(module, Model) else []
        found += [(f"{name} layer {number}", layer) for number, layer in enumerate(inner, 1)]
        found.append((name, module))
    return found


def _spread(stages: list[tuple[str, Any]], most: int) -> list[tuple[str, Any]]:
    if len(stages) <= most:
        return list(stages)
    places = np.linspace(0, len(stages) - 1, most).round().astype(int)
    return [stages[place] for place in places]


def telling(network: Any, said: dict[str, Array]) -> list[list[str]]:
    """The names of each chain's stages, without those that learn nothing and change nothing.

    As pooling does, since what every stage says (`outputs_of`) is pooled anyway.
    """
    chains: list[list[str]] = []
    for chain in chains_of(network):
        kept: list[str] = []
        for name, module in chain:
            learns = any(True for _ in module.parameters())
            if name in said and (learns or not kept or not _equal(said[kept[-1]], said[name])):
                kept.append(name)
        chains.append(kept)
    return [chain for chain in chains if chain]


def _equal(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-4)


def outputs_of(subject: Subject, examples: Examples) -> dict[str, Array]:
    """Stage to its outputs for n examples in their order, (n, at most WIDEST) float32.

    Maps and steps are pooled over their places (mean beside maximum), and what is wider is folded.
    They are computed on a copy of the network, in the precision that it answers in.
    """
    network, model = copied_network(subject), subject.model
    kind = torch.device(model.device).type
    rows: dict[str, list[Tensor]] = {}
    layers = _Layers(network)

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            flow = layers.flow(module, output)
            values = flow[0] if isinstance(flow, tuple) else flow
            if not values.is_floating_point():
                return  # codes of tokens, which stand in no order
            row = folded(pooled(flow).float(), subject.seed)
            rows.setdefault(name, []).append(row.cpu())

        return hook

    for name, module in looked_at(network):
        module.register_forward_hook(keep(name))
    work = work_of(list(examples.inputs.values()))
    order = np.arange(len(examples)) if work is None else np.argsort(-work, kind="stable")
    size = batch_size(examples.inputs, kind)
    autocast = torch.autocast(kind, torch.bfloat16, enabled=model.precision == "bfloat16")
    with torch.inference_mode(), autocast:
        for start in range(0, len(order), size):
            part = examples.take(order[start : start + size])
            network(
                {
                    name: torch.as_tensor(np.ascontiguousarray(block)).to(model.device)
                    for name, block in part.inputs.items()
                }
            )
    back = np.argsort(order)
    return {name: torch.cat(parts).numpy()[back] for name, parts in rows.items()}


class _Layers:
    """The layers inside models of transformers, whose outputs do not say what is padding."""

    def __init__(self, network: Any) -> None:
        models = [module for module in network.modules() if isinstance(module, Model)]
        self.owners = {id(layer): model for model in models for layer in model.layers()}
        self.there: dict[int, Tensor | None] = {}
        for model in models:
            model.register_forward_pre_hook(self._look)

    def _look(self, model: Any, inputs: tuple[Any, ...]) -> None:
        self.there[id(model)] = model.there(inputs[0])

    def flow(self, module: Any, output: Any) -> Any:
        """What flows out of a stage or a layer, with its padding."""
        model = self.owners.get(id(module))
        if model is None:
            return output
        values = output[0] if isinstance(output, tuple) else output
        there = self.there[id(model)]
        if there is None or values.dim() != 3:
            return values
        return Steps(values, there[:, :: model.together][:, : values.shape[1]])


def pooled(flow: Any) -> Tensor:
    """What flows out of a stage as one row for each example, (B, f).

    Steps come with their mask, and so do maps of sound (B, channels, bands, L).
    """
    if isinstance(flow, tuple):
        values, mask = flow
        if values.dim() == 4:
            values = values.permute(0, 3, 1, 2).flatten(2)
        found: Tensor = PoolSteps()(Steps(values, mask))
        return found
    if flow.dim() == 4:  # feature maps (B, C, H, W)
        return torch.cat([flow.mean(dim=(2, 3)), flow.amax(dim=(2, 3))], dim=1)
    if flow.dim() == 3:  # patches or members (B, N, width)
        return torch.cat([flow.mean(dim=1), flow.amax(dim=1)], dim=1)
    rows: Tensor = flow
    return rows


def folded(rows: Tensor, seed: int) -> Tensor:
    """Rows (B, f) as they are, or folded to (B, WIDEST): each number, with a sign, into one place.

    Places and signs depend on the seed and f alone. Scalar products, and with them what is linear,
    are kept but for chance (feature hashing, Weinberger et al. 2009, arXiv 0902.2206).
    """
    width = rows.shape[1]
    if width <= WIDEST:
        return rows
    generator = torch_generator(seed, "evidence", "folding", width)
    places = torch.randint(0, WIDEST, (width,), generator=generator).to(rows.device)
    signs = 2.0 * torch.randint(0, 2, (width,), generator=generator).to(rows) - 1.0
    return rows.new_zeros(len(rows), WIDEST).index_add_(1, places, rows * signs)
