"""Confusion: which class was taken for which. A table of numbers, or a map where it is large."""

from __future__ import annotations

import math
from typing import Any

import msgspec
from msgspec import Struct

from fathom.report import words
from fathom.report.figures.drawing import FIGURES, Drawing, require
from fathom.report.templating import render

MOST_IN_TABLE = 20
_WORST = 12
_FAINTEST = 0.3  # of a mistake: one in a thousand should still be seen


class Confusion(Struct):
    """`counts[truth][said]`."""

    labels: list[str]
    counts: list[list[int]]

    def __post_init__(self) -> None:
        size = len(self.labels)
        square = len(self.counts) == size and all(len(row) == size for row in self.counts)
        require(square, "counts are not a square of labels")

    @property
    def mistakes(self) -> list[tuple[int, int, int]]:
        """(count, truth, said) of what was taken for something else, most frequent first."""
        cells = [
            (count, truth, said)
            for truth, row in enumerate(self.counts)
            for said, count in enumerate(row)
            if count and truth != said
        ]
        return sorted(cells, key=lambda cell: (-cell[0], cell[1], cell[2]))


@FIGURES.register("confusion")
def draw(data: dict[str, Any]) -> Drawing:
    """Every number up to 20 classes; beyond that a map and the most frequent mistakes."""
    confusion = msgspec.convert(data, Confusion)
    large = len(confusion.labels) > MOST_IN_TABLE
    markup = render(
        "confusion_map.html" if large else "confusion.html",
        labels=[words.shorten(label, 40) for label in confusion.labels],
        rows=[_row(row, truth) for truth, row in enumerate(confusion.counts)],
        mistakes=[
            (confusion.labels[truth], confusion.labels[said], count, sum(confusion.counts[truth]))
            for count, truth, said in confusion.mistakes[:_WORST]
        ],
    )
    return Drawing(markup, _caption(confusion), wide=True)


def _row(row: list[int], truth: int) -> list[dict[str, Any]]:
    """Cells with `shade` 0 to 1: the share of the row, mistakes deepened so that they are seen."""
    total = max(1, sum(row))
    return [
        {"count": count, "right": said == truth, "shade": _shade(count / total, said == truth)}
        for said, count in enumerate(row)
    ]


def _shade(share: float, right: bool) -> float:
    if right or not share:
        return round(share, 3)
    return round(max(_FAINTEST, math.sqrt(share)), 3)


def _caption(confusion: Confusion) -> str:
    caption = "Rows are the true class, columns what the network said; the diagonal is right."
    if not confusion.mistakes:
        return f"{caption} There is no mistake."
    count, truth, said = confusion.mistakes[0]
    times = {1: "once", 2: "twice"}.get(count, f"{count:,} times")
    names = words.shorten(confusion.labels[truth], 60), words.shorten(confusion.labels[said], 60)
    return f"{caption} The most frequent mistake: “{names[0]}” taken for “{names[1]}”, {times}."
