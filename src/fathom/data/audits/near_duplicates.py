"""Near duplicates: rows or pictures that are nearly, not exactly, the same; some are shown."""

from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image

from fathom.core.errors import DataError
from fathom.core.record import Figure, Grade, Record, skipped
from fathom.core.schema import Schema
from fathom.data.audits.equal_rows import what_of
from fathom.data.audits.words import percent
from fathom.data.data_uri import data_uri
from fathom.data.near_texts import NEAR
from fathom.data.opening import open_picture
from fathom.data.raw import Raw
from fathom.data.repeats import Near, Repeats
from fathom.data.table import Column

SHOWN = 4  # pairs
_SIDE = 128
CHANGES = {
    "pictures": "saved anew, scaled, brighter or darker, cropped, mirrored or turned",
    "rows": "equal but for case and blanks, rounding, or one number by a hundredth of its spread",
}


def near_duplicate_record(raw: Raw, schema: Schema, repeats: Repeats) -> Record:
    """`data.near_duplicates`: the share of rows that are nearly the same as another."""
    near, what = repeats.near, what_of(schema)
    if not near.searched:
        reason = f"Nobody looked for {what} that are nearly the same: {near.why_not}."
        return skipped("data.near_duplicates", "data", reason)
    count, n = len(np.unique(near.pairs)), len(repeats.hashes)
    sentence = f"No two {what} are nearly, yet not exactly, the same."
    if count:
        first, second = near.pairs[0]
        sentence = (
            f"{count:,} of {n:,} {what} ({percent(count / n)}) are nearly the same as another "
            f"({CHANGES[what]}{_of_texts(schema)}), such as {raw.locate(first)} and "
            f"{raw.locate(second)}; "
            f"{_consequence(raw, schema, near)}."
        )
    share = count / n
    grade: Grade = "good" if share < 0.001 else "fair" if share < 0.2 else "poor"
    return Record(
        "data.near_duplicates",
        "data",
        sentence,
        value=share,
        unit="share",
        n=n,
        method=near.method,
        higher_is_better=False,
        grade=grade,
        figure=_figure(raw, schema, near),
    )


def _of_texts(schema: Schema) -> str:
    if not schema.of_kind("text") or schema.of_kind("image"):
        return ""
    return f"; or texts of which {percent(NEAR)} or more is the same"


def _consequence(raw: Raw, schema: Schema, near: Near) -> str:
    parted = _parted(raw, near)
    if parted:
        return f"{parted:,} of them have such a one on the other side of the split that is given"
    order = next((f.name for f in schema.fields if f.role == "order"), None)
    if order is not None:
        return f"a split along {order} may part them"
    if near.too_long:
        return (
            f"they stay on one side of a split that is made here, but for {near.too_long:,} in "
            "chains so long that they would join what differs: name what belongs together with "
            "--group"
        )
    return "they stay on one side of a split that is made here"


def _parted(raw: Raw, near: Near) -> int:
    """How many rows the split that the data gives parts from one that is nearly the same."""
    if raw.given_split is None:
        return 0
    given = raw.given_split[near.pairs]
    return len(np.unique(near.pairs[given[:, 0] != given[:, 1]]))


def _figure(raw: Raw, schema: Schema, near: Near) -> Figure | None:
    """Some pairs, spread over all that were found: pictures, or the values of rows."""
    places = np.unique(np.linspace(0, max(0, len(near.pairs) - 1), SHOWN).astype(np.int64))
    pictures = schema.of_kind("image")
    if not len(near.pairs) or not pictures:
        return None
    rows = near.pairs[places].ravel()
    drawn = [(_drawn(raw.table[pictures[0].name], int(row)), raw.locate(row)) for row in rows]
    return Figure("pictures", {"items": [{"image": i, "caption": c} for i, c in drawn if i]})


def _drawn(column: Column, row: int) -> str:
    """A picture as a data URI; empty where it cannot be read."""
    try:
        if isinstance(column, pd.Series):
            image = open_picture(column.iloc[row], at_least=_SIDE)
        else:
            image = Image.fromarray(np.asarray(column[row]).squeeze())
    except DataError:
        return ""
    image.thumbnail((_SIDE, _SIDE))
    pixels = np.asarray(image.convert("L" if image.mode == "L" else "RGB"))
    return data_uri(pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0))
