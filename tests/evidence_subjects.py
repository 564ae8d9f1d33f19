"""Small trained networks with everything that evidence looks at, from real data; made once."""

from __future__ import annotations

import dataclasses
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import make_multilabel_classification

from fathom.baselines import fit_baseline
from fathom.core.budget import Budget
from fathom.core.files import read_lines
from fathom.data.augment import AugmentSpec
from fathom.data.encode import encode, input_spec, output_spec
from fathom.data.infer import infer_schema
from fathom.data.labels import fold_labels
from fathom.data.learn import learn
from fathom.data.prepare import drop_unusable
from fathom.data.read import read
from fathom.data.split import split
from fathom.evidence import Subject
from fathom.inference.model import LoadedModel, NetworkPredictor
from fathom.inference.trust import Trust, fit_trust
from fathom.networks import ConvnetSpec, MlpSpec, NetworkSpec, TabmSpec, VitSpec
from fathom.networks.mixed import MixedSpec
from fathom.networks.recurrent import RecurrentSpec
from fathom.networks.text_convnet import TextConvnetSpec
from fathom.networks.transformer import TransformerSpec
from fathom.tasks import build_task
from fathom.training.settings import OptimizerSpec, TrainingSpec
from fathom.training.supervised import Supervised

torch.set_num_threads(1)
SPECS: dict[str, NetworkSpec] = {
    "breast-cancer": MlpSpec(width=32, embed_dim=4),
    "diabetes": MlpSpec(width=32, embed_dim=4, activation="tanh"),
    "labels": MlpSpec(width=32, embed_dim=4),
    "wine": TabmSpec(members=4, width=32, embed_dim=4),
    "digits": ConvnetSpec(widths=(8, 16), stem=1),
    "digits-vit": VitSpec(patch=2, width=16, depth=2, num_heads=2),
    "texts-lstm": RecurrentSpec(width=16, depth=2, embed_dim=8),
    "texts-simple": RecurrentSpec(cell="simple", width=16, embed_dim=8, bidirectional=False),
    "texts-transformer": TransformerSpec(width=16, depth=2, num_heads=2),
    "texts-convnet": TextConvnetSpec(width=16, depth=2, buckets=64),
    "texts-bag": TextConvnetSpec(width=16, buckets=64),
    "texts-mlp": MlpSpec(width=16, embed_dim=2),
    "texts+number-mixed": MixedSpec(
        fields={"judgement": TextConvnetSpec(width=16, depth=1, buckets=64)},
        scalars=MlpSpec(width=8, embed_dim=2),
        width=16,
    ),
}
BASELINES = {"digits": "pictures", "texts": "texts"}
STEPS = 40


def fresh(name: str, **changes: Any) -> Subject:
    """The subject `name` with nothing computed yet, and some of its fields changed."""
    made = _made(name)
    fields = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    kept = {key: value for key, value in fields.items() if not key.startswith("_")}
    return Subject(**{**kept, **changes})


def _labelled() -> tuple[Any, Any]:
    """Inputs (n, 6), and four labels of 0 and 1."""
    inputs, labels = make_multilabel_classification(500, 6, n_classes=4, n_labels=2, random_state=0)
    return inputs, labels


GOOD = ("a joy", "lovely", "well made", "warm", "a delight to read", "funny")
BAD = ("a bore", "dreadful", "badly made", "cold", "a pain to read", "dull")
THINGS = ("the film", "the long novel", "their second album", "this play", "her speech", "it")


def _texts() -> pd.DataFrame:
    """400 short judgements of one to five clauses, in two classes."""
    generator = np.random.default_rng(0)
    verdicts = generator.integers(0, 2, 400)

    def clause(good: int) -> str:
        opinion = generator.choice(GOOD if good else BAD)
        return f"{generator.choice(THINGS)} was {opinion}, {generator.choice(('no less', 'so'))}"

    texts = [
        ". ".join(clause(int(good)) for _ in range(generator.integers(1, 6))) for good in verdicts
    ]
    return pd.DataFrame({"judgement": texts, "verdict": np.where(verdicts, "good", "bad")})


def _texts_with_a_number() -> pd.DataFrame:
    """The same with a number that tells a little, too."""
    frame = _texts()
    noise = np.random.default_rng(1).normal(size=len(frame))
    return frame.assign(stars=noise + (frame["verdict"] == "good"))


def _data(name: str) -> Any:
    """What is read for a subject: the part of its name before the hyphen says what."""
    kinds = {"labels": _labelled, "texts": _texts, "texts+number": _texts_with_a_number}
    made = kinds.get(name.partition("-")[0])
    return made() if made else name.removesuffix("-vit")


@cache
def _made(name: str) -> Subject:
    target = "verdict" if name.startswith("texts") else None
    folded = fold_labels(read(_data(name), target=target), target, None)
    raw = folded.raw
    schema = infer_schema(raw, target=target, task=folded.task, labels=folded.reading)
    raw = drop_unusable(raw, schema)
    parts = split(raw, schema, seed=0)
    schema = learn(schema, raw.table, parts.train)
    encoded = encode(raw.table, schema).examples
    names = ("train", "validation", "calibration", "test")
    splits = {part: encoded.take(getattr(parts, part)) for part in names}
    inputs, output = input_spec(schema), output_spec(schema)
    task = build_task(schema.task, output)
    training = TrainingSpec(
        steps=STEPS,
        batch_size=64,
        optimizer=OptimizerSpec(learning_rate=5e-3),
        log_every=2,
        validate_every=10,
        save_every=STEPS,
    )
    fit = Supervised(
        splits["train"], splits["validation"], inputs, output, task, SPECS[name], training,
        AugmentSpec(), seed=0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        network, _ = fit.fit(Path(folder))
        log = read_lines(next(Path(folder).rglob("log.jsonl")))
    model = LoadedModel(schema, inputs, network, SPECS[name], task, Trust())
    if schema.is_named:
        calibration = splits["calibration"]
        trust = fit_trust(NetworkPredictor(model).logits(calibration), calibration.targets)
        model = dataclasses.replace(model, trust=trust)
    baselines = {
        kind: fit_baseline(
            kind,
            splits["train"],
            schema,
            schema.task,
            seed=0,
            budget=Budget(5),
            limit=(20,) * output.size if schema.task == "multilabel" else 20,
        )
        for kind in ("constant", BASELINES.get(name.partition("-")[0], "linear"))
    }
    return Subject(
        model=model,
        network=NetworkPredictor(model),
        baselines=dict(baselines),
        best_baseline=list(baselines)[-1],
        splits=splits,
        table=raw.table,
        locate=raw.locate,
        schema=schema,
        task=task,
        log=log,
        costs={"train_seconds": 1.0, "total_seconds_so_far": 2.0, "peak_memory_bytes": 1e8},
    )
