"""Models in Hugging Face's format as networks of the family gpt: Llama, Mistral, Qwen2 and GPT-2.

A folder as transformers' `save_pretrained` writes it is read as data: config.json and safetensors.
Neither transformers nor anything in the folder is run, and what its config.json says is compared
with the shapes of its weights before a number is read. (Llama: Touvron et al. 2023, arXiv
2302.13971; Mistral: Jiang et al. 2023, arXiv 2310.06825; Qwen2: Yang et al. 2024, arXiv 2407.10671;
GPT-2: Radford et al. 2019.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct
from torch import Tensor

from fathom.core.errors import ArtefactError, PlanError
from fathom.networks.backbones.folder import licence
from fathom.networks.family import MOST_WEIGHTS
from fathom.networks.language.gpt import Gpt
from fathom.networks.language.gpt_spec import Bias, GptSpec, size
from fathom.networks.language.huggingface_weights import (
    GPT2,
    LLAMA,
    Layout,
    check_sizes,
    read_said,
    read_weights,
    stored_in,
)
from fathom.networks.language.rotary import RopeScaling

CONFIG = "config.json"
SILU = ("silu", "swish")
TANH_GELU = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")  # three names of one formula


@dataclass(frozen=True)
class Imported:
    """A model that was read: the spec of its network, how many tokens it knows, and its weights.

    `tensors` float32 have the names of the `state_dict` of `Gpt(spec, vocabulary)`; the weights of
    a tied head are the embedding's own tensor. `architecture` is the `model_type` of its
    config.json, `licence` what it may be used under, as its folder says. With rotary positions the
    weights fit any other `context` too.
    """

    spec: GptSpec
    vocabulary: int
    tensors: dict[str, Tensor]
    architecture: str
    licence: str


def read_folder(folder: Path) -> Imported:
    """The model in a folder that transformers' `save_pretrained` wrote; no dropout is in its spec.

    Raises PlanError where there is no model, one of another kind, or one that is too large for
    this machine; ArtefactError, naming file and key, where it is damaged or incomplete.
    """
    about = _about(folder)
    family, config = FAMILIES[about.model_type], folder / CONFIG
    said = read_said(config, family.config)
    spec, vocabulary = _spec(family, said, config), int(said.vocab_size)
    stored = stored_in(folder, family.layout)
    check_sizes(family.layout, stored, spec, vocabulary, config)
    if size(spec, vocabulary) > MOST_WEIGHTS:
        raise PlanError(
            f"{folder} holds a model of {size(spec, vocabulary):,} weights, more than the "
            f"{MOST_WEIGHTS:,} that this machine has room for: take a smaller one."
        )
    with torch.device("meta"):  # names and shapes, but no numbers
        wanted = Gpt(spec, vocabulary).state_dict()
    tensors = read_weights(folder, family.layout, stored, wanted, tied=spec.tied)
    named = about.license if isinstance(about.license, str) else licence(folder)
    return Imported(spec, vocabulary, tensors, about.model_type, named)


class _About(Struct):
    """What every config.json may say; the rest is read when it is known whose it is."""

    model_type: str
    license: Any = None
    auto_map: Any = None
    quantization_config: Any = None


class _Llama(Struct, kw_only=True):
    """The config.json of the Llama family, as far as it decides what is computed."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    rope_theta: float | None = None
    rope_parameters: dict[str, Any] | None = None  # where transformers 5 writes what turns
    rope_scaling: dict[str, Any] | None = None  # where older ones do
    partial_rotary_factor: float | None = None
    original_max_position_embeddings: int | None = None


class _Mistral(_Llama, kw_only=True):
    """There are no biases, but a window, beyond which tokens are not seen."""

    sliding_window: int | None = 4096


class _Qwen2(_Llama, kw_only=True):
    """Queries, keys and values have biases, and there may be a window."""

    sliding_window: int | None = 4096
    use_sliding_window: bool = False


class _Gpt2(Struct, kw_only=True):
    """The config.json of GPT-2, as far as it decides what is computed."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int
    n_inner: int | None = None
    activation_function: str = "gelu_new"
    layer_norm_epsilon: float = 1e-5
    scale_attn_weights: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    tie_word_embeddings: bool = True


class _Rope(Struct, forbid_unknown_fields=True):
    """How rotary positions turn. What is not known here might change it, and is refused."""

    rope_theta: float | None = None
    rope_type: str | None = None
    type: str | None = None
    partial_rotary_factor: float | None = None
    factor: float = 0.0
    low_freq_factor: float = 0.0
    high_freq_factor: float = 0.0
    original_max_position_embeddings: int | None = None


def _about(folder: Path) -> _About:
    if not (folder / CONFIG).is_file():
        raise PlanError(
            f"{folder} holds no model: there is no {CONFIG} in it. Give a folder that a model was "
            "saved to with transformers' save_pretrained."
        )
    about = read_said(folder / CONFIG, _About)
    if about.model_type not in FAMILIES:
        raise PlanError(
            f"{folder} holds a model of the type {about.model_type!r}; those that can be read are "
            f"of the types {', '.join(FAMILIES)}."
        )
    for key, what in (("auto_map", "code of its own"), ("quantization_config", "rounded weights")):
        if getattr(about, key):
            raise PlanError(f"{folder / CONFIG} has {key}: a model with {what} cannot be read.")
    return about


def _spec(family: _Family, said: Any, config: Path) -> GptSpec:
    try:
        return family.spec(said)
    except msgspec.ValidationError as error:
        raise ArtefactError(f"{config} has rotary positions of another kind: {error}.") from None
    except PlanError as error:
        raise ArtefactError(f"{config} makes no network that can be read: {error}") from None


def _llama(said: _Llama) -> GptSpec:
    biases: dict[tuple[bool, bool], Bias] = {
        (False, False): "none",
        (True, False): "attention",
        (False, True): "perceptron",
        (True, True): "all",
    }
    return _rotary(said, biases[said.attention_bias, said.mlp_bias])


def _mistral(said: _Mistral) -> GptSpec:
    return _rotary(said, "none", said.sliding_window)


def _qwen2(said: _Qwen2) -> GptSpec:
    return _rotary(said, "qkv", said.sliding_window if said.use_sliding_window else None)


def _rotary(said: _Llama, bias: Bias, window: int | None = None) -> GptSpec:
    """The spec of a network of rotary positions, which reads no more at once than its window."""
    _check_activation("hidden_act", said.hidden_act, SILU)
    base, scaling = _turning(said)
    most = said.max_position_embeddings
    return GptSpec(
        depth=said.num_hidden_layers,
        width=said.hidden_size,
        num_heads=said.num_attention_heads,
        num_kv_heads=said.num_key_value_heads or 0,
        head_width=said.head_dim or 0,
        context=most if window is None else min(most, window),
        hidden=said.intermediate_size,
        activation="swiglu",
        norm_scale=True,
        epsilon=said.rms_norm_eps,
        bias=bias,
        rope_base=base,
        rope_scaling=scaling,
        qk_norm=False,
        softcap=0.0,
        tied=said.tie_word_embeddings,
    )


def _turning(said: _Llama) -> tuple[float, RopeScaling | None]:
    """Base and scaling of rotary positions; of several keys transformers' choice is taken."""
    found = said.rope_scaling or said.rope_parameters or {}
    kind = found.get("rope_type") or found.get("type") or "default"
    if kind not in ("default", "llama3"):
        raise PlanError(f"its rotary positions are scaled by {kind!r}; known: default, llama3.")
    rope = msgspec.convert(found, _Rope)
    if (rope.partial_rotary_factor or said.partial_rotary_factor or 1.0) != 1.0:
        raise PlanError("its partial_rotary_factor turns a part of each head only.")
    base = rope.rope_theta or said.rope_theta or 10_000.0
    if kind == "default":
        return base, None
    original = said.original_max_position_embeddings or rope.original_max_position_embeddings
    return base, RopeScaling(
        factor=rope.factor,
        low=rope.low_freq_factor,
        high=rope.high_freq_factor,
        original=original or said.max_position_embeddings,
    )


def _gpt2(said: _Gpt2) -> GptSpec:
    _check_activation("activation_function", said.activation_function, TANH_GELU)
    if not said.scale_attn_weights or said.scale_attn_by_inverse_layer_idx:
        key = "scale_attn_by_inverse_layer_idx" if said.scale_attn_weights else "scale_attn_weights"
        raise PlanError(f"its {key} scales attention in another way than by the size of a head.")
    return GptSpec(
        depth=said.n_layer,
        width=said.n_embd,
        num_heads=said.n_head,
        context=said.n_positions,
        hidden=said.n_inner or 0,
        activation="gelu",
        normalization="layer",
        norm_scale=True,
        epsilon=said.layer_norm_epsilon,
        bias="all",
        positions="learned",
        qk_norm=False,
        softcap=0.0,
        tied=said.tie_word_embeddings,
    )


def _check_activation(key: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise PlanError(f"its {key} is {name!r}; known: {', '.join(known)}.")


@dataclass(frozen=True)
class _Family:
    """A type of model: its config.json, the spec that this makes, and how its weights are named."""

    config: type[Any]
    spec: Callable[[Any], GptSpec]
    layout: Layout


FAMILIES: dict[str, _Family] = {
    "llama": _Family(_Llama, _llama, LLAMA),
    "mistral": _Family(_Mistral, _mistral, LLAMA),
    "qwen2": _Family(_Qwen2, _qwen2, LLAMA),
    "gpt2": _Family(_Gpt2, _gpt2, GPT2),
}
