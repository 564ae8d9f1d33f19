"""The first stages of networks that hear: from padded samples to what stands in each band of pitch.

SpecAugment (Park et al. 2019, arXiv 1904.08779) is here and not in `data.augment`, because it hides
parts of what only exists inside the network. Like dropout it acts in training alone, and draws from
torch's own generator, which every training step seeds by its number.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fathom.core.blocks import AudioBlock
from fathom.core.mel import HOP_SECONDS, LogMel
from fathom.networks.steps import MaskedBatchNorm, Steps

KERNEL = 5  # frames that a step of `AudioFront` is made of
STEPS_A_SECOND = 50
STRIDE = round(1 / (HOP_SECONDS * STEPS_A_SECOND))


class Bands(nn.Module):
    """Samples (B, L) int16 to steps (B, frames, bands): log-mel energies about 0 and 1.

    While training a stretch of bands and a stretch of frames of each sound may be hidden, see
    `hide`; what is hidden is the mean, 0.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, block: AudioBlock) -> None:
        super().__init__()
        self.mel = LogMel(block.rate, len(block.mean))
        mean, std = torch.tensor(block.mean), torch.tensor(block.std)
        self.register_buffer("scale", 1 / std, persistent=False)
        self.register_buffer("shift", -mean / std, persistent=False)
        self.hidden_bands = self.hidden_time = 0.0

    def forward(self, sound: Tensor) -> Steps:
        """Steps (B, frames, bands), zeros where a frame is padding."""
        energies, mask = self.mel(sound)
        values = torch.addcmul(self.shift, energies, self.scale)
        seen = mask[:, :, None]
        if self.training and self.hidden_bands:
            count = values.shape[2]
            size = torch.full((len(values), 1), float(count), device=values.device)
            seen = seen & ~_stretch(count, size, self.hidden_bands)[:, None, :]
        if self.training and self.hidden_time:
            size = mask.sum(dim=1, keepdim=True).float()
            seen = seen & ~_stretch(values.shape[1], size, self.hidden_time)[:, :, None]
        return Steps(values * seen, mask)


def _stretch(count: int, size: Tensor, most: float) -> Tensor:
    """A stretch of up to `most` of each row's `size` (B, 1) places, anywhere in it, (B, count)."""
    draw = torch.rand(2, len(size), 1, device=size.device)
    length = draw[0] * most * size
    start = draw[1] * (size - length)
    place = torch.arange(count, device=size.device) + 0.5
    return (place >= start) & (place < start + length)


def hide(network: nn.Module, bands: float, time: float) -> None:
    """In training, hide up to so large a share of each sound's bands and of its time."""
    for module in network.modules():
        if isinstance(module, Bands):
            module.hidden_bands, module.hidden_time = bands, time


class AudioFront(nn.Module):
    """Samples (B, L) int16 to steps: a convolution over a few frames, 50 steps a second."""

    def __init__(self, block: AudioBlock, width: int) -> None:
        super().__init__()
        self.bands = Bands(block)
        bands = len(block.mean)
        self.convolution = nn.Conv1d(bands, width, KERNEL, STRIDE, KERNEL // 2, bias=False)
        self.norm = MaskedBatchNorm(width)
        self.activation = nn.ReLU()

    def forward(self, sound: Tensor) -> Steps:
        """Steps (B, frames / STRIDE, width)."""
        heard: Steps = self.bands(sound)
        mask = heard.mask[:, ::STRIDE]
        channels = self.norm(self.convolution(heard.values.transpose(1, 2)), mask)
        return Steps(self.activation(channels).transpose(1, 2), mask)


def front_size(block: AudioBlock, width: int) -> int:
    """How many weights the front of sound has."""
    return (KERNEL * len(block.mean) + 2) * width
