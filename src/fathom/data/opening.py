"""Opening single pictures safely: a file's path or its bytes, of any format that is read.

`look` reads no more than a header; whether all pixels can be decoded shows at `open_picture`.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fathom.core.errors import DataError
from fathom.core.progress import Progress
from fathom.data.parallel import WAITING, in_order

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
SHOWN_EVERY = 200
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


@dataclass(frozen=True)
class Look:
    """What a look at a file showed: why it is no picture ('' if it is one), the SHA-256 of its
    content, and whether it has several frames or pages.
    """

    reason: str
    digest: str
    several: bool = False


def look(path: Path) -> Look:
    """Read a file's content once, for its digest, and a picture's header."""
    if not path.is_file():
        gone = not path.is_symlink() and not path.exists()
        if gone:
            return Look("cannot be read as a picture: there is no such file", "")
        return Look("is no file, but a link that leads nowhere, or to a folder", "")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not file.tell():
                return Look("is empty", digest)
            file.seek(0)
            return _look_inside(file, digest)
    except OSError as error:
        return Look(f"cannot be opened: {error.strerror}", "")


def look_at_all(paths: Iterable[Path], progress: Progress) -> list[Look]:
    """`look` at every file, in threads; every byte is read once.

    The digest of a data set is what tells whether a run can be resumed or repeated on it, so that
    times of change would not do. Reading costs little beside decoding (LOG.md has figures).
    """
    paths = list(paths)
    found: list[Look] = []
    for result in in_order(look, paths, workers=WAITING):
        found.append(result)
        if len(found) % SHOWN_EVERY == 0:
            progress.advance(len(found), len(paths), "pictures looked at")
    return found


def tell_of_several(places: list[str], progress: Progress) -> None:
    """Say that of animations and files of several pages the first picture is used."""
    if places:
        files = "1 file holds" if len(places) == 1 else f"{len(places):,} files hold"
        such = "" if len(places) == 1 else " such as"
        progress.say(
            f"{files} several frames or pages,{such} {places[0]}: the first of each is used."
        )


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
