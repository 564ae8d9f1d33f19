"""Encoders of transformers that hear: raw waves in, a vector for each short stretch of time out.

What is padding is never heard: every sound gets what the package computes for it alone. In a batch
the package itself lets the padding of others into three places: the statistics of a group norm,
positions that several convolutions make, and means of neighbouring frames.
"""

from __future__ import annotations

import warnings
from contextvars import ContextVar
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fathom.core.errors import PlanError
from fathom.networks.backbones.models import Model, beside
from fathom.networks.steps import Steps

TYPES = ("wav2vec2", "hubert", "wavlm", "unispeech", "unispeech-sat", "sew", "data2vec-audio")
"""What transformers calls the types of models that are taken up."""
# What a configuration leaves open has other defaults in the package, most of them random.
SETTLED = {
    "apply_spec_augment": False,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "add_adapter": False,  # layers of another task behind the last one
}
RATE = 16_000


class There(NamedTuple):
    """What is no padding behind the first convolution, and behind the last, (B, T) Boolean each."""

    first: Tensor
    frames: Tensor


# Not an attribute of a module, because several threads may use one network at the same time.
_there: ContextVar[There] = ContextVar("there")


def described(source: str, root: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Rate and level of sounds, as the processor beside the weights says, for a Backbone.

    Raises PlanError where a model of this type hears something else than waves.
    """
    kind = str(config.get("model_type", ""))
    if kind not in TYPES:
        raise PlanError(
            f"{source} is a model of the type {kind!r}: of those that hear, what can be taken up "
            f"are encoders of waves ({', '.join(TYPES)})."
        )
    said = beside(root, "preprocessor_config.json")
    return {
        "rate": int(said.get("sampling_rate", RATE)),
        "level": bool(said.get("do_normalize", True)),
    }


class AudioModel(Model):
    """Waves (B, L, 1) to the last layer's vectors, some fifty a second."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        kernels, strides = model.config.conv_kernel, model.config.conv_stride
        self.first = (int(kernels[0]), int(strides[0]))
        self.stride = prod(map(int, strides))
        before = (prod(map(int, strides[:place])) for place in range(len(strides)))
        self.field = 1 + sum((int(k) - 1) * s for k, s in zip(kernels, before, strict=True))
        self.together = int(getattr(model.config, "squeeze_factor", 1))  # frames seen as one
        _hear_no_padding(model)

    def forward(self, waves: Steps) -> Steps:
        """Steps (B, T, D)."""
        return Steps(self.run(waves).last_hidden_state, self.there(waves))

    def run(self, flow: Steps, **options: Any) -> Any:
        """What the package answers to waves."""
        values, counts = self._prepared(flow)
        first = self._places(self._first(flow.lengths), self._first(values.shape[1]))
        token = _there.set(There(first, self._places(counts, self._frames(values.shape[1]))))
        try:
            return self.model(**self._arguments(values, counts), **options)
        finally:
            _there.reset(token)

    def there(self, flow: Steps) -> Tensor:
        """Frames that are no padding."""
        values, counts = self._prepared(flow)
        return self._places(counts, self._frames(values.shape[1]))

    def _prepared(self, waves: Steps) -> tuple[Tensor, Tensor]:
        """Waves (B, L) long enough for the least number of frames, and how many each has, (B,)."""
        least = self.field + (self.together - 1) * self.stride
        values = waves.cleared()[:, :, 0]
        short = least - values.shape[1]
        if short > 0:
            values = nn.functional.pad(values, (0, short))
        counts = self._frames(waves.lengths.clamp_min(least))
        return values, counts - counts % self.together

    def _arguments(self, values: Tensor, counts: Tensor) -> dict[str, Tensor]:
        """What the model is called with: of each sound the samples that make its frames."""
        heard = (counts - 1) * self.stride + self.field
        mask = self._places(heard, values.shape[1])
        return {"input_values": values, "attention_mask": mask.to(torch.int64)}

    def _frames(self, length: Any) -> Any:
        """Frames of so many samples behind the last convolution."""
        return (length - self.field) // self.stride + 1

    def _first(self, length: Any) -> Any:
        """Frames of so many samples behind the first convolution; at least one."""
        kernel, stride = self.first
        if isinstance(length, Tensor):
            return (length.clamp_min(kernel) - kernel) // stride + 1
        return (length - kernel) // stride + 1

    @staticmethod
    def _places(counts: Tensor, most: int) -> Tensor:
        """The first `counts` (B,) of `most` places, (B, most) Boolean."""
        return torch.arange(most, device=counts.device) < counts[:, None]


class NormAlone(nn.GroupNorm):
    """A group norm of one group a channel whose statistics are those of each sound alone."""

    def forward(self, channels: Tensor) -> Tensor:
        """(B, C, T) normalised over the frames that are no padding."""
        seen = _there.get().first[:, None].to(torch.float32)
        with torch.autocast(channels.device.type, enabled=False):
            # These are the largest tensors of such a network: no more of them than it takes.
            values, count = channels.float(), seen.sum(dim=2, keepdim=True)
            mean = values @ seen.transpose(1, 2) / count
            centred = (values - mean).mul_(seen)
            var = torch.linalg.vector_norm(centred, dim=2, keepdim=True).square() / count
            scale = self.weight[:, None] * (var + self.eps).rsqrt()
            normalised = torch.addcmul(self.bias[:, None], centred, scale)
        return normalised.to(channels.dtype)


def _hear_no_padding(model: Any) -> None:
    """Put what keeps padding out into a model of the package; names of weights stay."""
    for layer in model.feature_extractor.conv_layers:
        norm = getattr(layer, "layer_norm", None)
        if isinstance(norm, nn.GroupNorm):
            alone = NormAlone(norm.num_groups, norm.num_channels, norm.eps)
            layer.layer_norm = alone.to(norm.weight.device)
            alone.load_state_dict(norm.state_dict())
    # Of wavlm, which hands PyTorch two masks of different types.
    warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
    positions = model.encoder.pos_conv_embed
    norm = getattr(positions, "batch_norm", None)
    for layer in (*getattr(positions, "layers", ()), *([] if norm is None else [norm])):
        layer.register_forward_hook(_silence)


def _silence(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    """Positions (B, D, T) with zeros behind the end of each sound, as a convolution pads."""
    return output * _there.get().frames[:, None].to(output.dtype)
