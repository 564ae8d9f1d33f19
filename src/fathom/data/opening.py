"""Opening single pictures safely: a file's path or its bytes, of any format that is read.

`header` reads no more than a header; whether all pixels can be decoded shows at `open_picture`.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fathom.core.errors import DataError
from fathom.data.media import Look, Medium

Image.init()  # Pillow knows its formats, and their endings, only from here on
FORMATS = tuple(
    name
    for name in ("PNG", "JPEG", "MPO", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")
    if name in Image.OPEN
)
SUFFIXES = frozenset(s for s, name in Image.registered_extensions().items() if name in FORMATS)
SEVERAL = ("GIF", "WEBP", "TIFF", "PNG", "AVIF")  # the formats whose frames or pages count; an MPO
# is a photograph beside which a camera left smaller copies
MAX_PIXELS = 100_000_000  # 300 MB decoded; a picture that claims more is an attack or a mistake
CLIPPED = "clipped"  # what `Image.info` holds where values lay beyond the levels
_ORIENTATION, _FIRST_TURNED = 274, 5  # the EXIF tag, and its values for pictures on their side
_BROKEN = (  # what Pillow's readers raise on damaged files
    *(OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError),
    *(struct.error, zlib.error, RuntimeError, OverflowError, Image.DecompressionBombError),
)

Levels = tuple[float, float]
"""The values of a deep picture (16 bits, 32 bits, floats) that become 0 and 255."""


def open_picture(
    source: str | Path | bytes, at_least: int | None = None, levels: Levels | None = None
) -> Image.Image:
    """Decode one picture, upright, in the mode 'L' (grey) or 'RGB', transparency laid on white.

    `source` is a path or a file's bytes. The first frame of an animation is taken. With `at_least`
    a JPEG may be decoded at a half, a quarter or an eighth of its size, as long as both sides keep
    that many pixels: several times faster for photographs. Grey pictures deeper than 8 bits are
    scaled from `levels`; see `eight_bits`. Raises DataError, whose message is the reason, where the
    file is missing, damaged, cut short, no picture, or above `MAX_PIXELS`.
    """
    try:
        with _opened(source) as image:
            _check_size(image)
            if at_least is not None:
                image.draft(image.mode, (at_least, at_least))
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return _plain(image, levels)
    except _BROKEN as error:
        raise DataError(_reason(error)) from None


def _opened(source: str | Path | bytes) -> Image.Image:
    """A picture of which only the header is read yet."""
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)


def is_deep(image: Image.Image) -> bool:
    """Whether a picture has one channel of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def header(source: str | Path | bytes) -> tuple[tuple[int, int], bool] | None:
    """(width, height) as the picture is seen and whether it `is_deep`; None where it is damaged."""
    try:
        with _opened(source) as image:
            # Of PNG the format's own getexif decodes the whole picture to find a late chunk.
            turned = Image.Image.getexif(image).get(_ORIENTATION, 1) >= _FIRST_TURNED
            return (image.size[::-1] if turned else image.size), is_deep(image)
    except _BROKEN:
        return None


def extremes(source: str | Path | bytes) -> Levels | None:
    """The lowest and highest value of a deep picture; None of others and damaged ones."""
    try:
        with _opened(source) as image:
            _check_size(image)
            if not is_deep(image):
                return None
            pixels = np.asarray(image)
            pixels = pixels[np.isfinite(pixels)]
            return (float(pixels.min()), float(pixels.max())) if pixels.size else None
    except _BROKEN:
        return None


def _look_inside(file: IO[bytes], digest: str) -> Look:
    try:
        with Image.open(file, formats=FORMATS) as image:
            _check_size(image)
            return Look("", digest, _has_several(image))
    except _BROKEN as error:
        return Look(_reason(error), digest)


def _has_several(image: Image.Image) -> bool:
    if image.format not in SEVERAL:
        return False
    with suppress(*_BROKEN):  # a later frame may be damaged, which is no matter
        return bool(getattr(image, "is_animated", False))
    return False


def _check_size(image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError(f"{image.width} × {image.height} pixels are too many")


def _plain(image: Image.Image, levels: Levels | None) -> Image.Image:
    """The picture in mode 'L' or 'RGB'."""
    if is_deep(image):
        return eight_bits(image, levels)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
        grey = image.getchannel(0).tobytes() == image.getchannel(1).tobytes()
        return image.getchannel(0) if grey and _grey(image) else image
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")


def _grey(image: Image.Image) -> bool:
    return image.getchannel(1).tobytes() == image.getchannel(2).tobytes()


def eight_bits(image: Image.Image, levels: Levels | None = None) -> Image.Image:
    """Deep grey pictures brought to 8 bits; Pillow's own conversion would clip them at 255.

    `levels` become 0 and 255, and what lies beyond them is clipped, of which `info[CLIPPED]` tells.
    Without levels they follow from the type: 0 and 65535 for 16 bits; else from 0 to the first of
    1, 255 and 65535 that suffices.
    """
    pixels = np.asarray(image, dtype=np.float32)
    pixels = np.nan_to_num(pixels, nan=0.0)
    if levels is None:
        high = float(pixels.max(initial=0.0))
        white = 65535 if image.mode.startswith("I;16") or high > 255 else 255 if high > 1 else 1
        levels = (0.0, float(white))
    low, high = levels
    beyond = bool((pixels < low).any() or (pixels > high).any())
    pixels = np.rint((pixels - np.float32(low)) * np.float32(255 / (high - low)))
    brought = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    brought.info[CLIPPED] = beyond
    return brought


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "cannot be read as a picture: it is damaged or of another format"
    if isinstance(error, FileNotFoundError):
        return "cannot be read as a picture: there is no such file"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read as a picture: {os.strerror(error.errno)}"
    text = " ".join(str(error).split()) or type(error).__name__
    return f"cannot be read as a picture: {text}"


PICTURES = Medium(
    kind="image",
    column="image",
    one="a picture",
    many="pictures",
    such="PNG or JPEG files",
    suffixes=SUFFIXES,
    inside=_look_inside,
    opens=lambda content: header(content) is not None,
)
"""Files of pictures."""
