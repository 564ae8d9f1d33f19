"""Small corpora for tests of language: made here, or what Python's own library holds."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import numpy as np

ANIMALS = ("wolf", "fox", "hen", "owl", "mouse", "bear")
DOES = ("sees", "hears", "follows", "greets", "fears")


def tale(generator: np.random.Generator, sentences: int = 12) -> str:
    """A few sentences of a made-up language that a small network learns in seconds."""
    told = []
    for _ in range(sentences):
        who, whom = generator.choice(ANIMALS, 2, replace=False)
        told.append(f"The {who} {generator.choice(DOES)} the {whom}.")
    return " ".join(told) + "\n"


def tales(count: int, seed: int = 0) -> list[str]:
    """Documents of that language."""
    generator = np.random.default_rng(seed)
    return [tale(generator) for _ in range(count)]


def write_tales(folder: Path, count: int = 60, seed: int = 0) -> Path:
    """A folder of them, one file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, text in enumerate(tales(count, seed)):
        (folder / f"tale{i:03d}.txt").write_text(text)
    return folder


def library_files(package: str) -> Path:
    """A folder of Python's own library."""
    return Path(sysconfig.get_paths()["stdlib"]) / package
