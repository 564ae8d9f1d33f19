"""Small sounds made for tests: tones whose pitch is their class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

PITCHES = {"low": 250.0, "high": 1_250.0}


def tone(label: str, seed: int, rate: int = 4_000, channels: int = 1) -> np.ndarray:
    """A tone (samples, channels) of 0.1 to 0.2 seconds, never twice the same."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(rate * generator.uniform(0.1, 0.2))) / rate
    pitch = PITCHES[label] * generator.uniform(0.9, 1.1)
    sound = 0.3 * np.sin(2 * np.pi * pitch * time) + generator.normal(0, 0.02, len(time))
    return np.repeat(sound[:, None], channels, axis=1)


def write(path: Path, sound: np.ndarray, rate: int = 4_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate)
    return path


def tone_folder(root: Path, count: int = 60, suffix: str = ".wav") -> Path:
    """A folder per class, `count` sounds in all."""
    for i in range(count):
        label = ("low", "high")[i % 2]
        write(root / label / f"{i}{suffix}", tone(label, i))
    return root
