"""Architectures of the package transformers, built from their JSON; no code comes with a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fathom.core.backbone import Backbone, BackboneKind
from fathom.core.errors import PlanError
from fathom.core.packages import require
from fathom.networks.backbones import waves
from fathom.networks.backbones.models import ImageModel, TextModel, beside
from fathom.networks.steps import Steps

MOST_TOKENS = 511  # with the code that each text begins with, as many as any text has
# What a configuration may not decide here: code of its own, kernels from a hub, ways to compute.
FORBIDDEN = ("auto_map", "quantization_config", "attn_implementation", "dtype", "torch_dtype")
# Randomness that is not torch's own would differ from run to run.
SETTLED = {"apply_spec_augment": False, "layerdrop": 0.0, "mask_time_prob": 0.0}
IMAGE_MEAN, IMAGE_STD, IMAGE_SIDE = (0.5,) * 3, (0.5,) * 3, 224


def described(
    source: str, root: Path, config: dict[str, Any], digest: str, licence: str
) -> tuple[Backbone, str]:
    """The backbone in a folder, and its tokenizer's JSON. Raises PlanError where it has no use."""
    require("transformers", "pretrained")
    kind = _kind(source, config)
    settled = {k: v for k, v in config.items() if k not in FORBIDDEN and not k.startswith("_")}
    settled |= {key: value for key, value in SETTLED.items() if key in settled}
    common: dict[str, Any] = {
        "source": source,
        "kind": kind,
        "architecture": "transformers",
        "digest": digest,
        "licence": licence,
        "config": settled,
    }
    if kind == "image":
        return Backbone(**common, **_shape(source, settled), **_pictures(root, settled)), ""
    if kind == "text":
        texts, tokenizer = _texts(source, root, settled)
        return Backbone(**common, width=_hidden(settled), **texts), tokenizer
    settled |= waves.SETTLED
    common["config"] = settled
    sounds = waves.described(source, root, settled)
    return Backbone(**common, width=_hidden(settled), **sounds), ""


def stages(backbone: Backbone) -> list[tuple[str, nn.Module]]:
    """The transformer or convolutional network as one stage, then what makes features of it."""
    model = _model(backbone)
    if backbone.kind == "image":
        return [("backbone", ImageModel(model)), ("pooling", PoolMaps())]
    reader = waves.AudioModel if backbone.kind == "audio" else TextModel
    return [("backbone", reader(model)), ("pooling", PoolTokens(backbone.pooling))]


def weights(backbone: Backbone, root: Path) -> dict[str, Tensor]:
    """The weights of a folder under the names of `stages`. Raises PlanError where some lack."""
    from transformers import AutoModel

    try:
        with _quiet():
            found, info = AutoModel.from_pretrained(
                root,
                config=_config(backbone),
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise PlanError(f"The weights of {backbone.source} cannot be read: {reason}.") from None
    model = _bare(found)
    own = model.state_dict()
    missing = sorted(set(info["missing_keys"]) & set(own))
    if missing:
        raise PlanError(
            f"{backbone.source} lacks the weights of {missing[0]}: it is not a whole model."
        )
    return {f"backbone.model.{name}": tensor for name, tensor in own.items()}


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither bars nor remarks of the package's: what is wrong is said by us."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    shown = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


class PoolMaps(nn.Module):
    """Maps (B, C, H, W) to their means; tokens (B, N, D) to the first one beside their mean."""

    def forward(self, found: Tensor) -> Tensor:
        """Features (B, width)."""
        if found.ndim == 4:
            return found.mean(dim=(2, 3))
        return torch.cat([found[:, 0], found.mean(dim=1)], dim=1)


class PoolTokens(nn.Module):
    """The mean of a text's tokens or a sound's frames, or the first of them."""

    def __init__(self, pooling: str) -> None:
        super().__init__()
        self.first = pooling == "first"

    def forward(self, steps: Steps) -> Tensor:
        """Features (B, D)."""
        if self.first:
            return steps.values[:, 0]
        return steps.cleared().sum(dim=1) / steps.lengths.clamp_min(1)[:, None]


def _model(backbone: Backbone) -> nn.Module:
    require("transformers", "pretrained")
    from transformers import AutoModel

    config = _config(backbone)
    try:
        return _bare(AutoModel.from_config(config, attn_implementation="sdpa"))
    except ValueError:  # some have but the plain way
        return _bare(AutoModel.from_config(config, attn_implementation="eager"))


def _bare(model: nn.Module) -> nn.Module:
    """The model without the layer behind its last one, which other tasks have trained, if any."""
    pooler = getattr(model, "pooler", None)
    if isinstance(pooler, nn.Module) and any(True for _ in pooler.parameters()):
        model.pooler = None  # type: ignore[assignment]
    if getattr(model, "masked_spec_embed", None) is not None:  # for what is hidden: nothing is
        model.masked_spec_embed = None  # type: ignore[assignment]
    return model.eval()


def _config(backbone: Backbone) -> Any:
    """The typed configuration. Raises PlanError where the package cannot read it."""
    from transformers import AutoConfig

    fields = {
        k: v
        for k, v in backbone.config.items()
        if k not in ("model_type", *FORBIDDEN) and not k.startswith("_")
    }
    try:
        return AutoConfig.for_model(backbone.config["model_type"], **fields)
    except Exception as error:  # of many kinds: whatever JSON can hold may stand there
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise PlanError(
            f"The config.json of {backbone.source} is none that the installed transformers "
            f"understands: {reason}"
        ) from None


def _kind(source: str, config: dict[str, Any]) -> BackboneKind:
    """What a type of model reads, by the tasks that transformers has it for."""
    from transformers.models.auto import modeling_auto as tasks

    kind = str(config.get("model_type", ""))
    several = "vision_config" in config or "text_config" in config
    if kind in tasks.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES and not several:
        return "image"
    if kind in tasks.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES:
        return "audio"
    if kind in tasks.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not several:
        return "text"
    raise PlanError(
        f"{source} is a model of the type {kind or 'unknown'!r}: what can be taken up are encoders "
        "of pictures (such as vit, convnext, resnet), of text (such as bert, roberta, distilbert) "
        f"and of waves of sound ({', '.join(waves.TYPES)})."
    )


def _pictures(root: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Size and scale of pictures, as the processor beside the weights says."""
    said = beside(root, "preprocessor_config.json")
    size = said.get("size", config.get("image_size", IMAGE_SIDE))
    if isinstance(size, dict):
        size = size.get("shortest_edge", size.get("height", IMAGE_SIDE))
    factor = float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0
    normalised = said.get("do_normalize", True)
    mean = said.get("image_mean", IMAGE_MEAN) if normalised else (0.0,) * 3
    std = said.get("image_std", IMAGE_STD) if normalised else (1.0,) * 3
    return {
        "side": _side(config) or int(size) if "size" not in said else int(size),
        "mean": tuple(float(m) / factor for m in mean),
        "std": tuple(float(s) / factor for s in std),
    }


def _texts(source: str, root: Path, config: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Length, missing code and pooling of texts, and the tokenizer's JSON."""
    file = root / "tokenizer.json"
    if not file.is_file():
        raise PlanError(
            f"{source} has no tokenizer.json: save its tokenizer anew with a recent transformers "
            "(AutoTokenizer, save_pretrained)."
        )
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more exact
        raise PlanError(f"{file} is no tokenizer: {error}.") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    special = beside(root, "tokenizer_config.json")
    # Roberta's positions begin behind the code of padding.
    positions = int(config.get("max_position_embeddings", MOST_TOKENS))
    positions -= int(config.get("pad_token_id") or 0) + 1 if config.get("pad_token_id") else 0
    limits = (positions, int(min(special.get("model_max_length", MOST_TOKENS), 10**6)), MOST_TOKENS)
    unknown = special.get("unk_token", "")
    unknown = unknown.get("content", "") if isinstance(unknown, dict) else unknown
    pooling = beside(root / "1_Pooling", "config.json")
    first = bool(pooling.get("pooling_mode_cls_token", False))
    return {
        "length": min(limits),
        "missing": tokenizer.token_to_id(str(unknown)) or 0,
        "pooling": "first" if first else "mean",
    }, tokenizer.to_str()


def _hidden(config: dict[str, Any]) -> int:
    for key in ("hidden_size", "dim", "d_model"):
        if isinstance(config.get(key), int):
            return int(config[key])
    raise PlanError("The config.json says no hidden_size, so that its features cannot be counted.")


def _shape(source: str, config: dict[str, Any]) -> dict[str, Any]:
    """How many features `PoolMaps` makes, and whether positions are learned for one size alone.

    By a model of this shape without weights.
    """
    from transformers import AutoModel

    typed = _config(Backbone(**_ANY, source=source, config=config))
    side = _side(config) or IMAGE_SIDE
    try:
        with torch.device("meta"), torch.no_grad():
            model = AutoModel.from_config(typed, attn_implementation="eager").eval()
            found = model(pixel_values=torch.zeros(1, 3, side, side)).last_hidden_state
            width = int(PoolMaps()(found).shape[1])
    except Exception as error:  # whatever a model that is made for something else may raise
        raise PlanError(
            f"{source} does not take pictures alone ({type(error).__name__}): give an encoder of "
            "pictures, such as vit, convnext or resnet."
        ) from None
    learned = any("position_embedding" in name for name, _ in model.named_parameters())
    return {"width": width, "square": learned}


_ANY: Any = {"kind": "image", "architecture": "", "width": 0, "digest": "", "licence": ""}


def _side(config: dict[str, Any]) -> int | None:
    side = config.get("image_size")
    return side if isinstance(side, int) else None
