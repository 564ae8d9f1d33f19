"""Tables made of folders of files, so that Fathom reads them as a user's own."""

from __future__ import annotations

import csv
import random
from pathlib import Path

from field.spoken import split_of


def spoken_digits(folder: Path, out: Path) -> tuple[Path, Path]:
    """train.csv and test.csv in `out`: sound (a path), digit and speaker of each recording."""
    rows: dict[str, list[tuple[str, ...]]] = {"train": [], "test": []}
    for path in sorted(folder.rglob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        rows[split_of(path)].append((str(path.resolve()), digit, speaker))
    header = ("sound", "digit", "speaker")
    return _written(out / "train.csv", header, rows["train"]), _written(
        out / "test.csv", header, rows["test"]
    )


def clothes_with_columns(folder: Path, out: Path) -> tuple[Path, Path]:
    """train.csv and test.csv in `out`: photo (a path), a shop, a weight and a note; kind to learn.

    The weight in grams is drawn around what such clothes weigh, the note now and then names a
    material; the shop says nothing.
    """
    grams = {"dress": 350, "hat": 100, "longsleeve": 280, "outwear": 900, "pants": 500,
             "shirt": 220, "shoes": 800, "shorts": 260, "skirt": 300, "t-shirt": 180}  # fmt: skip
    notes = {"shoes": "leather sole", "hat": "warm wool", "pants": "denim, worn", "shorts": "denim"}
    draw = random.Random(0)
    paths = []
    for split in ("train", "test"):
        rows = []
        for path in sorted((folder / split).rglob("*.jpg")):
            kind = path.parent.name
            weight = f"{draw.gauss(1.0, 0.35) * grams[kind]:.0f}"
            said = notes.get(kind, "cotton, as new") if draw.random() < 0.5 else "no remarks made"
            rows.append((str(path.resolve()), draw.choice("ABCD"), weight, said, kind))
        draw.shuffle(rows)
        header = ("photo", "shop", "weight", "note", "kind")
        paths.append(_written(out / f"{split}.csv", header, rows))
    return paths[0], paths[1]


def _written(path: Path, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Path:
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])
    return path
