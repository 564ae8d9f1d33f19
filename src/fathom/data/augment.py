"""Augmentation: training examples, changed at random in ways that keep their meaning.

It works on a whole batch on the device where the batch lies. All randomness comes from the
generator handed in, so a step can be repeated exactly.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from msgspec import Struct
from torch import Tensor

from fathom.core.batch import PATCH_SHARE, PATCH_TARGETS, Batch
from fathom.core.errors import PlanError
from fathom.data.augment_series import jitter, rescale, slide
from fathom.data.augment_sounds import move_in_time, relisten

MOST_DECIBELS = 60
SHARES = (
    *("brightness", "contrast", "zoom", "rescale", "slide"),
    *("time_shift", "hidden_bands", "hidden_time"),
)


class AugmentSpec(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done to each training example; the default is nothing.

    `flip` mirrors left and right with probability one half. `shift` moves by up to so many pixels
    in each direction, the rim being continued by reflection. `cutout` blanks a square of so many
    pixels at a random place (DeVries and Taylor 2017, arXiv 1708.04552). `brightness` and
    `contrast` change by up to that share of the pixel range. `zoom` enlarges or shrinks by up to
    that share. `cutmix` is the share of the pictures that get a patch of another one, whose target
    then counts as much as the patch is large (Yun et al. 2019, arXiv 1905.04899). `progressive`
    below 1 begins with pictures whose sides are that share of the full ones, see `PictureSizes`.
    Of series, `jitter` adds noise of so many standard deviations, `rescale` changes the amplitude
    by up to that share, `slide` the time by up to that share of the length.

    Of sound, `time_shift` moves by up to that share of its length, silence following from the other
    end; `loudness` makes it louder or softer by up to so many decibels; `noise` is added, up to
    that share of its own loudness. `hidden_bands` and `hidden_time` hide up to that share of the
    bands of pitch, and of the time, from the network (`networks.sound`). Raises PlanError for
    values below zero, or shares of one and above (`cutmix` may be one).
    """

    flip: bool = False
    shift: int = 0
    cutout: int = 0
    brightness: float = 0.0
    contrast: float = 0.0
    zoom: float = 0.0
    cutmix: float = 0.0
    progressive: float = 1.0
    jitter: float = 0.0
    rescale: float = 0.0
    slide: float = 0.0
    time_shift: float = 0.0
    loudness: float = 0.0
    noise: float = 0.0
    hidden_bands: float = 0.0
    hidden_time: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        for name in self.__struct_fields__:
            if getattr(self, name) < 0:
                raise PlanError(f"augmentation.{name} is below zero; 0 turns it off.")
        for name in SHARES:
            if getattr(self, name) >= 1:
                raise PlanError(f"augmentation.{name} is a share of the range: it must be below 1.")
        if self.loudness > MOST_DECIBELS:
            raise PlanError(
                f"augmentation.loudness is {self.loudness:g} decibels: give at most "
                f"{MOST_DECIBELS}."
            )
        if self.cutmix > 1:
            raise PlanError("augmentation.cutmix is a share of the pictures: it must be at most 1.")
        if not 0 < self.progressive <= 1:
            raise PlanError(
                f"augmentation.progressive is {self.progressive}: it is the share of its side that "
                "a picture has at first, above 0 and at most 1 (off)."
            )


class PictureSizes:
    """Training that begins with small pictures and ends with full ones (progressive resizing).

    Coarse shapes are learned first, and a small picture costs a network that slides over it as much
    less as its area is smaller (Howard 2018 in fast.ai's DAWNBench entry; Tan and Le 2021, arXiv
    2104.00298). The side grows in a few even steps from `start` times the full one, which it
    reaches at `FULL` of the way. It depends on nothing but how far the run is.
    """

    FULL = 0.7

    def __init__(self, start: float, full: int) -> None:
        self.start, self.full = start, full

    def side(self, full: int, done: float) -> int:
        """Pixels of a side of `full` pixels at the share `done` of the run, 0 to 1."""
        share = self.start + (1 - self.start) * min(1.0, done / self.FULL)
        grid = 4 * round(full / 32) if full >= 24 else 2  # about an eighth of the side
        return min(full, max(grid, grid * round(share * full / grid)))

    def cost(self, done: float) -> float:
        """About what a step costs at `done`, as a share of one with pictures of `full` a side."""
        return (self.side(self.full, done) / self.full) ** 2

    def __call__(self, inputs: dict[str, Tensor], done: float) -> dict[str, Tensor]:
        """Inputs with every picture block (B, C, H, W) brought to its size; others untouched."""
        return {
            name: self._resized(block, done) if block.ndim == 4 else block
            for name, block in inputs.items()
        }

    def _resized(self, pictures: Tensor, done: float) -> Tensor:
        height, width = pictures.shape[2:]
        size = (self.side(height, done), self.side(width, done))
        if size == (height, width):
            return pictures
        smaller = F.interpolate(pictures.float(), size, mode="bilinear", antialias=True)
        return _as_type(smaller, pictures)


class Augment:
    """Augments pictures (B, C, H, W), series (B, L, C) and sounds (B, L) int16 of a batch.

    Other blocks pass untouched.
    """

    def __init__(self, spec: AugmentSpec) -> None:
        self.spec = spec

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """A batch with inputs of the same names, shapes and types; `batch` itself stays as it is.

        Raises PlanError where pictures are to get patches and are not all that an example has.
        """
        inputs = {name: self._block(block, generator) for name, block in batch.inputs.items()}
        changed = replace(batch, inputs=inputs)
        return patch(changed, self.spec.cutmix, generator) if self.spec.cutmix else changed

    def _block(self, block: Tensor, generator: torch.Generator) -> Tensor:
        if block.ndim == 4:
            return self._augment(block, generator)
        if block.ndim == 3 and block.is_floating_point():
            return self._augment_series(block, generator)
        if block.dtype == torch.int16:
            return self._augment_sounds(block, generator)
        return block

    def _augment_series(self, series: Tensor, generator: torch.Generator) -> Tensor:
        spec = self.spec
        if spec.slide:
            series = slide(series, spec.slide, generator)
        if spec.rescale:
            series = rescale(series, spec.rescale, generator)
        return jitter(series, spec.jitter, generator) if spec.jitter else series

    def _augment_sounds(self, sounds: Tensor, generator: torch.Generator) -> Tensor:
        spec = self.spec
        if spec.time_shift:
            sounds = move_in_time(sounds, spec.time_shift, generator)
        if spec.loudness or spec.noise:
            sounds = relisten(sounds, spec.loudness, spec.noise, generator)
        return sounds

    def _augment(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        spec = self.spec
        if spec.zoom:
            pictures = zoom(pictures, spec.zoom, generator)
        if spec.flip or spec.shift:
            pictures = move(pictures, spec.shift, spec.flip, generator)
        if spec.brightness or spec.contrast:
            pictures = relight(pictures, spec.brightness, spec.contrast, generator)
        if spec.cutout:
            pictures = cut_out(pictures, spec.cutout, generator)
        return pictures


def move(pictures: Tensor, shift: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Each picture shifted by up to `shift` pixels in both directions and, by half, mirrored.

    One gather does both: the rows and columns that each new pixel comes from are computed for each
    picture, reflected at the rim. Larger shifts than the picture are cut to its side less one.
    """
    count, channels, height, width = pictures.shape
    rows = _shifted(pictures, height, shift, generator)  # (B, H)
    columns = _shifted(pictures, width, shift, generator)  # (B, W)
    if flip:
        mirrored = torch.rand(count, 1, generator=generator, device=pictures.device) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    places = (rows[:, :, None] * width + columns[:, None, :]).view(count, 1, height * width)
    flat = pictures.reshape(count, channels, height * width)
    return flat.gather(2, places.expand(-1, channels, -1)).view(pictures.shape)


def relight(
    pictures: Tensor, brightness: float, contrast: float, generator: torch.Generator
) -> Tensor:
    """Each picture's pixels scaled about its own mean and moved, both by a random amount."""
    shape = (len(pictures), 1, 1, 1)
    gain = 1 + contrast * _symmetric(shape, pictures.device, generator)
    moved = 255 * brightness * _symmetric(shape, pictures.device, generator)
    floats = pictures.float()
    mean = floats.mean(dim=(1, 2, 3), keepdim=True)
    return _as_type(torch.addcmul(mean + moved, floats - mean, gain), pictures)


def cut_out(pictures: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """A square of `size` pixels of each picture, perhaps partly beyond the rim, set to its mean."""
    count, _, height, width = pictures.shape
    top = _start(count, height, size, pictures.device, generator)  # (B, 1)
    left = _start(count, width, size, pictures.device, generator)
    row = torch.arange(height, device=pictures.device)
    column = torch.arange(width, device=pictures.device)
    rows = (row >= top) & (row < top + size)  # (B, H)
    columns = (column >= left) & (column < left + size)  # (B, W)
    inside = (rows[:, :, None] & columns[:, None, :])[:, None]  # (B, 1, H, W)
    mean = pictures.float().mean(dim=(2, 3), keepdim=True)
    return torch.where(inside, _as_type(mean, pictures), pictures)


def patch(batch: Batch, often: float, generator: torch.Generator) -> Batch:
    """A share `often` of the pictures with a rectangle of the next picture of the batch.

    The rectangle has the picture's proportions, an area between none and all of it, evenly, and a
    middle anywhere; what lies beyond the rim is lost (arXiv 1905.04899, its equation 2).
    """
    if len(batch.inputs) != 1 or batch.targets is None:
        raise PlanError(
            "augmentation.cutmix needs examples that are one picture each, with a target: a patch "
            "says nothing of other columns; leave it at 0."
        )
    [(name, pictures)] = batch.inputs.items()
    count, _, height, width = pictures.shape
    draw = torch.rand((4, count, 1), generator=generator, device=pictures.device)
    side = draw[0].sqrt() * (draw[1] < often)  # (B, 1), as a share of the picture's own
    rows = _inside(height, side, draw[2])
    columns = _inside(width, side, draw[3])
    patched = (rows[:, :, None] & columns[:, None, :])[:, None]  # (B, 1, H, W)
    extra = {
        PATCH_TARGETS: batch.targets.roll(1, 0),
        PATCH_SHARE: patched.float().mean(dim=(1, 2, 3)),
    }
    mixed = torch.where(patched, pictures.roll(1, 0), pictures)
    return replace(batch, inputs={name: mixed}, extra=batch.extra | extra)


def _inside(length: int, share: Tensor, middle: Tensor) -> Tensor:
    """Which of `length` places lie in a stretch of `share` of them around `middle`, (B, length)."""
    place = (torch.arange(length, device=share.device) + 0.5) / length
    return (place - middle).abs() < share / 2


def zoom(pictures: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Each picture enlarged or shrunk about its middle by up to `share`, bilinear."""
    factor = 1 + share * _symmetric((len(pictures),), pictures.device, generator)
    theta = torch.zeros(len(pictures), 2, 3, device=pictures.device)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / factor
    grid = F.affine_grid(theta, list(pictures.shape), align_corners=False)
    sampled = F.grid_sample(pictures.float(), grid, padding_mode="reflection", align_corners=False)
    return _as_type(sampled, pictures)


def _shifted(pictures: Tensor, length: int, shift: int, generator: torch.Generator) -> Tensor:
    """For each picture and new position the old position along one axis, (B, length)."""
    place = torch.arange(length, device=pictures.device).expand(len(pictures), length)
    most = min(shift, length - 1)
    if not most:
        return place
    shape = (len(pictures), 1)
    draw = torch.randint(-most, most + 1, shape, generator=generator, device=pictures.device)
    place = (place + draw).abs()  # the near rim reflects
    return length - 1 - (length - 1 - place).abs()  # and the far rim


def _start(
    count: int, length: int, size: int, device: torch.device, generator: torch.Generator
) -> Tensor:
    """Where a square of `size` begins so that its middle lies anywhere in `length`, (count, 1)."""
    middle = torch.randint(0, length, (count, 1), generator=generator, device=device)
    return middle - size // 2


def _symmetric(shape: tuple[int, ...], device: torch.device, generator: torch.Generator) -> Tensor:
    """Uniform numbers between -1 and 1."""
    return 2 * torch.rand(shape, generator=generator, device=device) - 1


def _as_type(values: Tensor, like: Tensor) -> Tensor:
    """Floats back in the type of `like`: rounded and clipped to 0..255 for uint8 pictures."""
    if like.dtype == torch.uint8:
        return values.round().clamp(0, 255).to(torch.uint8)
    return values.to(like.dtype)
