"""IDX files, the format of MNIST and its successors (http://yann.lecun.com/exdb/mnist).

A folder holds train-images-idx3-ubyte and train-labels-idx1-ubyte, and mostly t10k-… for the test,
plain or compressed (.gz); a prefix such as emnist-letters- may stand before.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.progress import Progress
from fathom.data.formats.names import SPLITS
from fathom.data.raw import Raw, Signs
from fathom.data.table import Column, Table

NAME = re.compile(r"(?P<part>.*?)[-_.]?(?P<what>images|labels)[-_.]idx(3|1)-ubyte(\.gz)?$")
PARTS = {**SPLITS, "t10k": "test"}
UNSIGNED_BYTES = 0x08
MAX_BYTES = 16 * 2**30


def recognises(path: Path) -> bool:
    """Whether the path is an IDX file, or a folder with an IDX file of pictures."""
    if path.is_dir():
        return bool(_images(path))
    return NAME.match(path.name) is not None


def read_file(path: Path, *, labelled: bool, progress: Progress, signs: Signs | None = None) -> Raw:
    """Read a folder of IDX files, or one file of pictures and the labels beside it."""
    files = _images(path) if path.is_dir() else [path]
    splits = [_split(file) for file in files]
    twice = len(set(splits)) < len(splits)
    if len(files) > 1 and (twice or "train" not in splits):
        raise DataError(
            f"{path} holds several data sets ({', '.join(f.name for f in files)}): name one of "
            "these files instead of the folder, and the one to test on with --test."
        )
    parts = [_read_pair(file, labelled=labelled) for file in files]
    images, labels = [p[0] for p in parts], [p[1] for p in parts]
    if len({part.shape[1:] for part in images}) > 1:
        sizes = ", ".join(f"{p.shape[1]} × {p.shape[2]}" for p in images)
        raise DataError(f"The IDX files in {path} hold pictures of different sizes: {sizes}.")
    columns: dict[str, Column] = {"image": np.concatenate(images)}
    if all(part is not None for part in labels):
        codes = np.concatenate([part for part in labels if part is not None])
        columns["label"] = pd.Series(codes).astype(str).astype("str")
    lengths = [len(part) for part in images]
    given = np.repeat(np.array(splits, dtype=object), lengths) if len(files) > 1 else None
    return Raw(
        name=(path if path.is_dir() else path.parent).resolve().name.lower(),
        source=str(path),
        table=Table(columns),
        given_split=given,
        kinds={"image": "image", **({"label": "category"} if "label" in columns else {})},
        target="label" if "label" in columns else None,
        digest=_digest(parts),
        where=lambda row: _locate(row, files, lengths),
    )


def _images(folder: Path) -> list[Path]:
    """The files of pictures in a folder, training first; of a plain and a packed copy the plain."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        match = NAME.match(path.name)
        if match and match["what"] == "images" and path.is_file():
            found.setdefault(match["part"], path)
    return sorted(found.values(), key=lambda p: (_split(p) != "train", p.name))


def _split(path: Path) -> str:
    match = NAME.match(path.name)
    words = re.split(r"[-_.]", match["part"].lower()) if match else []
    return next((PARTS[word] for word in reversed(words) if word in PARTS), "train")


def _read_pair(path: Path, *, labelled: bool) -> tuple[Array, Array | None]:
    """Pictures (n, H, W) and their labels (n,); None for labels that are absent and not needed."""
    match = NAME.match(path.name)
    if match is None or match["what"] != "images":
        raise DataError(f"{path} holds no pictures: name the file of images beside it.")
    images = read_idx(path, 3)
    beside = path.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    found = [p for p in (path.with_name(beside), path.with_name(f"{beside}.gz")) if p.exists()]
    if not found:
        if labelled:
            raise DataError(f"{path} lacks its labels: put {beside} or {beside}.gz beside it.")
        return images, None
    labels = read_idx(found[0], 1)
    if len(labels) != len(images):
        raise DataError(
            f"{found[0]} has {len(labels)} labels, but {path.name} has {len(images)} pictures: "
            "get both files anew from one source."
        )
    return images, labels


def read_idx(path: Path, dimensions: int) -> Array:
    """The array of one IDX file of unsigned bytes, plain or compressed.

    Raises DataError where the header is not that of such a file, or the bytes are too few or many.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * dimensions)
            shape = _shape(header, dimensions, path)
            data = file.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}): get it anew.") from None
    if len(data) != math.prod(shape):
        found = "more" if len(data) > math.prod(shape) else f"only {len(data)}"
        raise DataError(
            f"{path} is damaged: its header announces {math.prod(shape)} bytes, but it has "
            f"{found}: get it anew."
        )
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)


def _shape(header: bytes, dimensions: int, path: Path) -> tuple[int, ...]:
    if len(header) < 4 + 4 * dimensions or header[:4] != bytes((0, 0, UNSIGNED_BYTES, dimensions)):
        raise DataError(
            f"{path} is damaged or no IDX file of {dimensions} dimensions of unsigned bytes: "
            f"it begins with {header[:4].hex(' ') or 'nothing'}; get it anew."
        )
    shape = struct.unpack(f">{dimensions}I", header[4:])
    if not math.prod(shape) or math.prod(shape) > MAX_BYTES:
        raise DataError(
            f"{path} announces the shape {shape}, which is empty or too large: get it anew."
        )
    return shape


def _digest(parts: list[tuple[Array, Array | None]]) -> str:
    state = sha256()
    for images, labels in parts:
        state.update(str(images.shape).encode())
        state.update(images.data)
        if labels is not None:
            state.update(labels.data)
    return f"sha256:{state.hexdigest()}"


def _locate(row: int, files: list[Path], lengths: list[int]) -> str:
    for file, length in zip(files, lengths, strict=True):
        if row < length:
            return f"{file.name} picture {row + 1}"
        row -= length
    raise IndexError(row)
