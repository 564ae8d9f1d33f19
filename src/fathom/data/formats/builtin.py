"""The data sets that scikit-learn brings along, by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn import datasets

from fathom.data.formats.memory import table_digest, tidy
from fathom.data.raw import Raw
from fathom.data.table import Table


def digits() -> Raw:
    """1797 handwritten digits of 8 × 8 pixels; their 17 grey values are spread over 0..255."""
    data = datasets.load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    labels = pd.Series(data.target).astype(str).astype("str")
    table = Table({"image": images, "target": labels})
    return _raw("digits", table, picture=True)


def wine() -> Raw:
    """178 wines of three growers, 13 chemical measurements."""
    return _raw("wine", _classes(datasets.load_wine(as_frame=True)))


def breast_cancer() -> Raw:
    """569 tumours, malignant or benign, 30 measurements of cell nuclei."""
    return _raw("breast-cancer", _classes(datasets.load_breast_cancer(as_frame=True)))


def diabetes() -> Raw:
    """442 patients, 10 measurements in their own units, progression after one year."""
    data = datasets.load_diabetes(as_frame=True, scaled=False)
    return _raw("diabetes", Table.from_frame(tidy(data.frame, "diabetes")))


BUILTIN: dict[str, Callable[[], Raw]] = {
    "digits": digits,
    "wine": wine,
    "breast-cancer": breast_cancer,
    "diabetes": diabetes,
}


def _classes(data: datasets.base.Bunch) -> Table:
    names = np.asarray(data.target_names, dtype=object)[data.target.to_numpy()]
    frame = data.frame.assign(target=pd.Series(names).astype("str"))
    return Table.from_frame(tidy(frame, "the data"))


def _raw(name: str, table: Table, *, picture: bool = False) -> Raw:
    return Raw(
        name=name,
        source=name,
        table=table,
        kinds={"image": "image"} if picture else {},
        target="target",
        digest=f"sha256:{table_digest(table)}",
        where=lambda row: f"{name} row {row + 1}",
    )
