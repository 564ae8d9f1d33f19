"""Small bundles built by hand, without any training; for several suites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fathom.baselines import Baseline, fit_baseline
from fathom.core.budget import Budget
from fathom.core.examples import Examples
from fathom.core.schema import Kind, Schema
from fathom.data.encode import encode, input_spec, output_spec
from fathom.data.infer import infer_schema
from fathom.data.labels import fold_labels
from fathom.data.learn import learn
from fathom.data.read import read
from fathom.deployment.bundle import Bundle, load_bundle, write_bundle
from fathom.inference import LoadedModel, NetworkPredictor, Trust
from fathom.networks import ConvnetSpec, MlpSpec, build
from fathom.tasks import build_task


@dataclass(frozen=True)
class Made:
    """A network with random weights and a fitted baseline, before they are bundled."""

    schema: Schema
    examples: Examples
    network: NetworkPredictor
    baseline: Baseline

    def write(self, folder: Path, **changes: object) -> Bundle:
        model = self.network.model
        arguments = {
            "schema": self.schema,
            "task_name": self.schema.task,
            "network": model.network,
            "network_spec": model.network_spec,
            "trust": model.trust,
            "precision": model.precision,
            "baseline": self.baseline,
            "default": "baseline",
            "validation_scores": {"network": 0.5, "baseline": 0.75},
            "provenance": {"data_digest": "sha256:0", "seed": 0},
        }
        write_bundle(folder, **(arguments | changes))
        return load_bundle(folder)


def people(rows: int = 120, seed: int = 0) -> pd.DataFrame:
    """Numbers with gaps, a category, a Boolean and a time."""
    draw = np.random.default_rng(seed)
    height = draw.normal(170, 10, rows).round(1)
    height[::17] = np.nan
    return pd.DataFrame(
        {
            "height": height,
            "weight": draw.normal(70, 9, rows),
            "town": draw.choice(["Ulm", "Bonn", "Trier"], rows),
            "member": draw.choice([True, False], rows),
            "since": pd.date_range("2020-01-01", periods=rows, freq="36h"),
            "fast": draw.choice(["yes", "no", "perhaps"], rows),
        }
    )


def labelled(rows: int = 120) -> pd.DataFrame:
    """Numbers and a category, and tags of which a row may have none or several."""
    frame = people(rows).drop(columns=["fast", "since"])
    tags = [["tall"] * (i % 2) + ["old", "far"] * (i % 3 == 0) for i in range(rows)]
    return frame.assign(tags=tags)


def pictures(rows: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    return draw.integers(0, 256, (rows, 16, 16), dtype=np.uint8), np.arange(rows) % 2


def make(
    source: object,
    target: str | tuple[str, ...] | None = None,
    precision: str = "float32",
    temperature: float = 2.0,
    kinds: Mapping[str, Kind] | None = None,
) -> Made:
    """Everything that a bundle needs, from a small source."""
    torch.set_num_threads(1)
    folded = fold_labels(read(source, target=target), target, None)
    raw = folded.raw
    schema = infer_schema(
        raw, target=folded.target, task=folded.task, labels=folded.reading, kinds=kinds or {}
    )
    schema = learn(schema, raw.table, np.arange(len(raw)))
    inputs, output = input_spec(schema), output_spec(schema)
    spec = ConvnetSpec(widths=(8, 16)) if inputs.images else MlpSpec(width=16, embed_dim=4)
    network = build(spec, inputs, output, seed=3)
    with torch.no_grad():  # a fresh head says next to nothing
        network.head.linear.weight.mul_(30)
    examples = encode(raw.table, schema).examples
    baseline = fit_baseline(
        "pictures" if inputs.images else "boosting" if inputs.scalars else "constant",
        examples,
        schema,
        schema.task,
        seed=0,
        budget=Budget(20),
        limit=(5,) * output.size if schema.task == "multilabel" else 5,
    )
    model = LoadedModel(
        schema,
        inputs,
        network,
        spec,
        build_task(schema.task, output),
        Trust(temperature=temperature),
        precision,
    )
    return Made(schema, examples, NetworkPredictor(model), baseline)
