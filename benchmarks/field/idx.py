"""Fashion-MNIST from its IDX files, for scripts in which only NumPy is at hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def load(folder: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pictures (n, 28, 28) uint8 and labels (n,) of training, then of test."""
    return (
        _read(folder, "train-images-idx3-ubyte").reshape(-1, 28, 28),
        _read(folder, "train-labels-idx1-ubyte"),
        _read(folder, "t10k-images-idx3-ubyte").reshape(-1, 28, 28),
        _read(folder, "t10k-labels-idx1-ubyte"),
    )


def _read(folder: str, name: str) -> np.ndarray:
    plain, packed = Path(folder) / name, Path(folder) / f"{name}.gz"
    content = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    dimensions = content[3]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).copy()
