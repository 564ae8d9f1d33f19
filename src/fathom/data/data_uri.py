"""Pictures as data URIs, which a page shows without any file beside it."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from fathom.core.prediction import Array

SIDE = 96  # pixels: smaller pictures are enlarged to about this, each pixel a sharp square
LARGEST = 256


def data_uri(pixels: Array) -> str:
    """A picture (C, H, W) uint8 with one or three channels as a PNG data URI."""
    channels = pixels if len(pixels) in (1, 3) else pixels[:1]
    array = np.moveaxis(channels, 0, -1)
    picture = Image.fromarray(np.ascontiguousarray(array[..., 0] if len(channels) == 1 else array))
    factor = max(1, round(SIDE / max(picture.size)))
    if factor > 1:
        size = (picture.width * factor, picture.height * factor)
        picture = picture.resize(size, Image.Resampling.NEAREST)
    picture.thumbnail((LARGEST, LARGEST))
    file = io.BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
