"""Texts and their classes from CSV files, as padded word codes. Standard library and NumPy."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np

WORDS, LENGTH = 20_000, 64


def load(folder: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Word codes (n, 64) and classes (n,) of train.csv, then of test.csv (text, category).

    0 is padding and 1 a word beyond the 20,000 most frequent ones of training.
    """
    (train, labels), (test, test_labels) = (
        _read(Path(folder) / f"{n}.csv") for n in ("train", "test")
    )
    counts = Counter(word for text in train for word in text)
    codes = {word: code for code, (word, _) in enumerate(counts.most_common(WORDS - 2), 2)}
    classes = {label: code for code, label in enumerate(sorted(set(labels)))}
    return (
        _coded(train, codes),
        np.array([classes[label] for label in labels]),
        _coded(test, codes),
        np.array([classes[label] for label in test_labels]),
    )


def _read(path: Path) -> tuple[list[list[str]], list[str]]:
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    return [re.findall(r"\w+", row["text"].lower()) for row in rows], [r["category"] for r in rows]


def _coded(texts: list[list[str]], codes: dict[str, int]) -> np.ndarray:
    found = np.zeros((len(texts), LENGTH), dtype=np.int64)
    for row, words in enumerate(texts):
        some = [codes.get(word, 1) for word in words[:LENGTH]]
        found[row, : len(some)] = some
    return found
