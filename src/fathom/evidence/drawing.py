"""Real examples as a person sees them: pictures, drawings of series and sound, rows as text."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from fathom.core.blocks import PADDING_SAMPLE
from fathom.core.examples import Examples
from fathom.core.prediction import Array
from fathom.core.ragged import Ragged
from fathom.core.schema import Kind
from fathom.data.data_uri import data_uri
from fathom.evidence.subject import Subject

__all__ = ["DRAWINGS", "data_uri", "picture_of", "row_of", "text_of"]

COLUMNS = 12  # of a row that is shown: more does not fit a page
LENGTH, TEXT_LENGTH = 80, 300  # characters of one cell, and of a text
SIZE, FINER = (288, 192), 3  # pixels of a drawing, which is made finer and brought down
PAPER, INK, OTHERS = (251, 250, 247), (11, 100, 120), (150, 158, 158)
MOST_LINES = 6  # channels of a series


def line_drawing(series: Array) -> str:
    """A series (L, channels), the first channel in front, as a PNG data URI; gaps stay empty."""
    values = np.asarray(series, dtype=np.float64)
    values = (values if values.ndim == 2 else values[:, None])[:, :MOST_LINES]
    low, high = (f(values[np.isfinite(values)], initial=0.0) for f in (np.min, np.max))
    span = high - low or 1.0
    canvas, pen, width, height = _canvas()
    for channel in reversed(range(values.shape[1])):
        x = np.linspace(0.03, 0.97, len(values)) * width
        y = (0.95 - 0.9 * (values[:, channel] - low) / span) * height
        for run in _runs(np.isfinite(y)):
            points = list(zip(x[run].tolist(), y[run].tolist(), strict=True))
            colour = INK if channel == 0 else OTHERS
            if len(points) == 1:
                pen.circle(points[0], FINER, fill=colour)
            else:
                pen.line(points, fill=colour, width=FINER, joint="curve")
    return _png(canvas)


def envelope(samples: Array) -> str:
    """Sound (L,) int16 as the range of its samples over time, as a PNG data URI."""
    heard = np.asarray(samples).reshape(-1)
    heard = heard[heard != PADDING_SAMPLE].astype(np.float64)
    canvas, pen, _, height = _canvas()
    loudest = float(np.abs(heard).max(initial=0.0)) or 1.0
    edges = np.linspace(0, len(heard), SIZE[0] + 1).astype(int)
    for place, (start, end) in enumerate(pairwise(edges)):
        part = heard[start : max(end, start + 1)]
        ends = part.max(initial=0.0), part.min(initial=0.0)
        top, bottom = ((0.5 - 0.47 * float(end_of) / loudest) * height for end_of in ends)
        x = place * FINER
        pen.rectangle((x, min(top, bottom - FINER), x + FINER - 1, bottom), fill=INK)
    return _png(canvas)


def spectrogram(energies: Array) -> str:
    """Energies (moments, bands), time to the right and pitch upwards, as a PNG data URI."""
    values = np.asarray(energies, dtype=np.float64).T[::-1]
    low, high = np.quantile(values, (0.02, 0.995))
    loud = np.clip((values - low) / max(high - low, 1e-9), 0.0, 1.0)[..., None]
    shades = np.array(PAPER) * (1 - loud) + np.array(INK) * loud
    picture = Image.fromarray(np.rint(shades).astype(np.uint8))
    return _png(picture.resize(SIZE, Image.Resampling.NEAREST))


DRAWINGS: dict[Kind, Callable[[Array], str]] = {
    "image": data_uri,
    "series": line_drawing,
    "audio": envelope,
}
"""Kind of a field to what draws one encoded example of it as a data URI."""


def picture_of(subject: Subject, examples: Examples, position: int) -> str | None:
    """The first picture, series or sound of an example, drawn; None where it has none."""
    for field in subject.schema.inputs:
        if field.kind in DRAWINGS and field.name in examples.inputs:
            block: Any = examples.inputs[field.name]
            one = block.row(position) if isinstance(block, Ragged) else block[position]
            return DRAWINGS[field.kind](one)
    return None


def row_of(subject: Subject, examples: Examples, position: int) -> dict[str, str] | None:
    """The raw values of an example's inputs that are not drawn; None where it has none.

    Texts come first: they tell most.
    """
    row = int(examples.rows[position])
    fields = [field for field in subject.schema.inputs if field.kind not in DRAWINGS]
    fields = sorted(fields, key=lambda field: field.kind != "text")[:COLUMNS]
    return {
        field.name: text_of(
            subject.table[field.name], row, TEXT_LENGTH if field.kind == "text" else LENGTH
        )
        for field in fields
    } or None


def text_of(column: Any, row: int, longest: int = LENGTH) -> str:
    """A cell in few characters, on one line."""
    if isinstance(column, Ragged):
        steps = column.row(row)
        first = ", ".join(f"{number:.3g}" for number in steps[:5, 0]) if len(steps) else "nothing"
        return f"{len(steps)} steps: {first}{' …' if len(steps) > 5 else ''}"
    value: Any = column.iloc[row] if isinstance(column, pd.Series) else column[row]
    if np.ndim(value) == 0 and pd.isna(value):
        return "missing"
    text = f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
    text = " ".join(text.split()) if longest > LENGTH else text
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _canvas() -> tuple[Image.Image, Any, int, int]:
    width, height = (FINER * side for side in SIZE)
    canvas = Image.new("RGB", (width, height), PAPER)
    return canvas, ImageDraw.Draw(canvas), width, height


def _runs(there: Array) -> list[slice]:
    """The stretches of True in (L,) Boolean."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(int)))
    return [slice(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _png(canvas: Image.Image) -> str:
    file = io.BytesIO()
    small = canvas.resize(SIZE, Image.Resampling.LANCZOS).quantize(32)
    small.save(file, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
