"""The weights in a folder of Hugging Face's format, under the names of our own network.

Only safetensors are read, which hold numbers alone. Their headers tell names and shapes, and these
are compared with what is wanted before any number is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from torch import Tensor

from fathom.core.errors import ArtefactError, PlanError
from fathom.core.files import inside, read_json
from fathom.networks.backbones.folder import INDEX, PICKLED
from fathom.networks.language.gpt_spec import GptSpec

SINGLE = "model.safetensors"
HEAD, EMBEDDING = "head.weight", "embedding.weight"
TYPES = ("F32", "F16", "BF16", "F64")
WAY_OUT = "save the model anew with save_pretrained, or copy all of its folder"

T = TypeVar("T")


def read_said(file: Path, kind: type[T]) -> T:
    """What a file of JSON says. Raises ArtefactError, naming file and key, where it is damaged."""
    try:
        return read_json(file, kind)
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise ArtefactError(f"{file} cannot be read: {error}; {WAY_OUT}.") from None


class Size(NamedTuple):
    """A number of config.json that shows in a tensor, as how long an axis of it is."""

    key: str
    wanted: int
    tensor: str
    axis: int


class Stored(NamedTuple):
    """A tensor as the header of its file describes it; `name` is the file's own."""

    file: Path
    name: str
    shape: tuple[int, ...]
    type: str


class Origin(NamedTuple):
    """Where a tensor of ours is stored.

    `third` says which third it is of a joint tensor, along the last axis, and `turned` that it is
    stored transposed.
    """

    name: str
    third: int | None = None
    turned: bool = False

    def shape(self, ours: torch.Size) -> tuple[int, ...]:
        """The shape there of what has the shape `ours` here."""
        shape = tuple(ours)[::-1] if self.turned else tuple(ours)
        return shape if self.third is None else (*shape[:-1], 3 * shape[-1])

    def cut(self, whole: Tensor) -> Tensor:
        """Our tensor from the stored one, float32, in memory of its own."""
        part = whole if self.third is None else whole.chunk(3, dim=-1)[self.third]
        part = part.T if self.turned else part
        return part.to(torch.float32, memory_format=torch.contiguous_format, copy=True)


@dataclass(frozen=True)
class Layout:
    """How a family of models names its tensors.

    `outside` and `inside` are its names for our parts outside of and inside of the blocks; these
    are called `blocks`, and the key of their number is `depth`. All names may stand behind
    `prefix`. `third` tells the thirds of a joint tensor, and `turned` that the matrices of blocks
    are stored (in, out). What matches `computed` was stored once, but is no weight. `sizes` are
    what a spec and a number of tokens make of tensors.
    """

    prefix: str
    blocks: str
    depth: str
    outside: Mapping[str, str]
    inside: Mapping[str, str]
    computed: str
    sizes: Callable[[GptSpec, int], tuple[Size, ...]]
    third: Mapping[str, int] = field(default_factory=dict)
    turned: bool = False

    def origin(self, ours: str, axes: int) -> Origin:
        """Where a tensor of our network, which has so many axes, is stored."""
        part, leaf = ours.rsplit(".", 1)
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)", part)
        if block is None:
            return Origin(f"{self.outside[part]}.{leaf}")
        name = f"{self.blocks}.{block[1]}.{self.inside[block[2]]}.{leaf}"
        return Origin(name, self.third.get(block[2]), self.turned and axes == 2)


def stored_in(folder: Path, layout: Layout) -> dict[str, Stored]:
    """All tensors of a folder but computed ones, by their names without the prefix.

    Raises PlanError where there are no weights that can be read, ArtefactError where a file is
    missing or damaged.
    """
    single = folder / SINGLE
    found = _headers([single]) if single.is_file() else _sharded(folder)
    kept = [stored for stored in found if not re.fullmatch(layout.computed, stored.name)]
    for stored in kept:
        if stored.type not in TYPES:
            raise PlanError(
                f"{stored.file} holds {stored.name} as {stored.type}; what can be read is "
                f"{', '.join(TYPES)}."
            )
    named = {stored.name.removeprefix(layout.prefix): stored for stored in kept}
    if len(named) < len(kept):
        raise ArtefactError(f"{folder} holds a tensor twice; {WAY_OUT}.")
    return named


class _Index(Struct):
    """The file that tells which tensor is in which of several files."""

    weight_map: dict[str, str]


def _sharded(folder: Path) -> list[Stored]:
    if not (folder / INDEX).is_file():
        raise _no_weights(folder)
    index = read_said(folder / INDEX, _Index)
    places = {name: inside(folder, file) for name, file in index.weight_map.items()}
    found = _headers(sorted(set(places.values())))
    there = {stored.name: stored.file for stored in found}
    for name in sorted(places.keys() | there.keys()):
        if places.get(name) != there.get(name):
            raise ArtefactError(
                f"{folder / INDEX} does not say truly in which file {name} is; {WAY_OUT}."
            )
    return found


def _no_weights(folder: Path) -> PlanError:
    pickled = next((f.name for pattern in PICKLED for f in sorted(folder.glob(pattern))), "")
    if pickled:
        return PlanError(
            f"{folder} has its weights in {pickled} alone, a format that can run code when it is "
            "read: load it with transformers where you trust it, and save it with safetensors "
            "(save_pretrained)."
        )
    return PlanError(f"{folder} has no weights: there is no {SINGLE} beside its config.json.")


def _headers(files: Iterable[Path]) -> list[Stored]:
    found = []
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 - it is no mapping
                    part = opened.get_slice(name)
                    found.append(Stored(file, name, tuple(part.get_shape()), part.get_dtype()))
        except (SafetensorError, OSError) as error:
            raise ArtefactError(f"{file} cannot be read: {error}; {WAY_OUT}.") from None
    return found


def check_sizes(
    layout: Layout, stored: Mapping[str, Stored], spec: GptSpec, vocabulary: int, config: Path
) -> None:
    """Raise ArtefactError, naming the key, where config.json has a number that no weight fits."""
    blocks = {n.split(".")[1] for n in stored if re.match(rf"{layout.blocks}\.\d+\.", n)}
    if len(blocks) != spec.depth:
        raise ArtefactError(
            f"{config} says that {layout.depth} is {spec.depth}, but there are weights of "
            f"{len(blocks)}; {WAY_OUT}."
        )
    for key, wanted, tensor, axis in layout.sizes(spec, vocabulary):
        shape = stored[tensor].shape if tensor in stored else ()
        if shape[axis : axis + 1] != (wanted,):
            raise ArtefactError(
                f"{config} does not fit the weights: {key} wants {wanted} along axis {axis} of "
                f"{tensor}, which is {_form(shape)}; {WAY_OUT}."
            )


def _form(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "missing"


def read_weights(
    folder: Path,
    layout: Layout,
    stored: Mapping[str, Stored],
    wanted: Mapping[str, Tensor],
    *,
    tied: bool,
) -> dict[str, Tensor]:
    """The tensors that are `wanted`, of which names and shapes are looked at, float32.

    Raises ArtefactError, naming file and tensor, where one is missing, unknown, of another shape
    or not finite.
    """
    origins = {ours: layout.origin(ours, tensor.ndim) for ours, tensor in wanted.items()}
    for name in sorted(stored.keys() - {origin.name for origin in origins.values()}):
        raise ArtefactError(
            f"{stored[name].file} holds {stored[name].name}, which a model of this config.json "
            f"does not have; {WAY_OUT}."
        )
    head = stored.get(origins[HEAD].name)
    if tied:
        origins[HEAD] = origins[EMBEDDING]
    for ours, origin in origins.items():
        _check_shape(folder, stored.get(origin.name), origin, wanted[ours].shape)
    tensors = {ours: origin.cut(_tensor(stored[origin.name])) for ours, origin in origins.items()}
    if tied:
        tensors[HEAD] = tensors[EMBEDDING]
    # Some folders hold a tied head all the same.
    if tied and head is not None and not torch.equal(_tensor(head).float(), tensors[HEAD]):
        raise ArtefactError(
            f"{head.file} holds {head.name}, which is not the embedding, as the "
            f"tie_word_embeddings of config.json has it; {WAY_OUT}."
        )
    return tensors


def _check_shape(folder: Path, stored: Stored | None, origin: Origin, ours: torch.Size) -> None:
    if stored is None:
        raise ArtefactError(
            f"{folder} lacks {origin.name}, which its config.json asks for; {WAY_OUT}."
        )
    if stored.shape != origin.shape(ours):
        raise ArtefactError(
            f"{stored.file} does not fit its config.json: {stored.name} is {_form(stored.shape)} "
            f"and not {_form(origin.shape(ours))}; {WAY_OUT}."
        )


def _tensor(stored: Stored) -> Tensor:
    try:
        with safe_open(stored.file, framework="pt") as opened:
            tensor: Tensor = opened.get_tensor(stored.name)
    except (SafetensorError, OSError) as error:
        raise ArtefactError(f"{stored.file} cannot be read: {error}; {WAY_OUT}.") from None
    if not torch.isfinite(tensor).all():
        raise ArtefactError(
            f"{stored.file} holds numbers in {stored.name} that are not finite; {WAY_OUT}."
        )
    return tensor


def _llama_sizes(spec: GptSpec, vocabulary: int) -> tuple[Size, ...]:
    queries, keys = spec.num_heads * spec.per_head, spec.kv_heads * spec.per_head
    return (
        Size("vocab_size", vocabulary, "embed_tokens.weight", 0),
        Size("hidden_size", spec.width, "embed_tokens.weight", 1),
        Size("intermediate_size", spec.units, "layers.0.mlp.up_proj.weight", 0),
        Size("num_attention_heads × head_dim", queries, "layers.0.self_attn.q_proj.weight", 0),
        Size("num_key_value_heads × head_dim", keys, "layers.0.self_attn.k_proj.weight", 0),
    )


LLAMA = Layout(
    prefix="model.",
    blocks="layers",
    depth="num_hidden_layers",
    outside={"embedding": "embed_tokens", "norm": "norm", "head": "lm_head"},
    inside={
        "attention_norm": "input_layernorm",
        "attention.query": "self_attn.q_proj",
        "attention.key": "self_attn.k_proj",
        "attention.value": "self_attn.v_proj",
        "attention.out": "self_attn.o_proj",
        "perceptron_norm": "post_attention_layernorm",
        "perceptron.gate": "mlp.gate_proj",
        "perceptron.up": "mlp.up_proj",
        "perceptron.down": "mlp.down_proj",
    },
    computed=r"(.+\.)?rotary_emb\.inv_freq",
    sizes=_llama_sizes,
)


def _gpt2_sizes(spec: GptSpec, vocabulary: int) -> tuple[Size, ...]:
    return (
        Size("vocab_size", vocabulary, "wte.weight", 0),
        Size("n_embd", spec.width, "wte.weight", 1),
        Size("n_positions", spec.context, "wpe.weight", 0),
        Size("n_inner", spec.units, "h.0.mlp.c_fc.weight", 1),
    )


GPT2 = Layout(
    prefix="transformer.",
    blocks="h",
    depth="n_layer",
    outside={"embedding": "wte", "positions": "wpe", "norm": "ln_f", "head": "lm_head"},
    inside={
        "attention_norm": "ln_1",
        "attention.query": "attn.c_attn",
        "attention.key": "attn.c_attn",
        "attention.value": "attn.c_attn",
        "attention.out": "attn.c_proj",
        "perceptron_norm": "ln_2",
        "perceptron.up": "mlp.c_fc",
        "perceptron.down": "mlp.c_proj",
    },
    computed=r"(.+\.)?attn\.(bias|masked_bias)",
    sizes=_gpt2_sizes,
    third={"attention.query": 0, "attention.key": 1, "attention.value": 2},
    turned=True,
)
