"""Small trained networks of language with everything that evidence looks at; made once."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fathom.baselines.language import Compressor, KneserNey, joined
from fathom.core.files import read_lines
from fathom.core.language import Documents
from fathom.data.corpus.tokenizing import Tokenizer, TokenizerKind, train_tokenizer
from fathom.evidence.language import LanguageSubject
from fathom.inference.language import LanguagePredictor, LoadedLanguage
from fathom.inference.trust import Trust, fit_trust
from fathom.networks.language import GptSpec, LanguageSpec, LstmSpec
from fathom.training.language import LanguageFit
from fathom.training.settings import OptimizerSpec, TrainingSpec
from language_corpora import library_files, tales

torch.set_num_threads(1)
STEPS = 60
SPECS: dict[str, LanguageSpec] = {
    "tales-gpt": GptSpec(depth=2, width=32, num_heads=4, context=64),
    "tales-lstm": LstmSpec(width=32, context=32),
    "novel-gpt": GptSpec(depth=1, width=16, num_heads=2, context=32, activation="swiglu"),
    "code-gpt": GptSpec(depth=1, width=16, num_heads=2, context=64, tied=True, activation="gelu"),
}
KINDS: dict[str, tuple[TokenizerKind, int | None]] = {
    "tales": ("bpe", 320),
    "novel": ("char", None),
    "code": ("byte", None),
}
COSTS = {
    "train_seconds": 1.0,
    "total_seconds_so_far": 2.0,
    "peak_memory_bytes": 1e8,
    "tokens_per_second": 5_000.0,
}


def fresh(name: str, **changes: Any) -> LanguageSubject:
    """The subject `name` with nothing computed yet, and some of its fields changed."""
    made = _made(name)
    fields = {f.name: getattr(made, f.name) for f in dataclasses.fields(made)}
    kept = {key: value for key, value in fields.items() if not key.startswith("_")}
    return LanguageSubject(**{**kept, **changes})


def documents_of(texts: Sequence[str], tokenizer: Tokenizer) -> Documents:
    """Texts as documents in memory."""
    end = np.array([tokenizer.end], dtype=tokenizer.dtype)
    parts = [np.concatenate([codes, end]) for codes in tokenizer.encode_batch(texts)]
    starts = np.concatenate([[1], 1 + np.cumsum([len(part) for part in parts])]).astype(np.int64)
    sizes = np.array([len(text.encode()) for text in texts], dtype=np.int64)
    names = [f"text {i}" for i in range(len(texts))]
    return Documents(np.concatenate([end, *parts]), starts, sizes, names)


def _corpus(name: str) -> dict[str, list[str]]:
    """Texts of each split."""
    if name == "code":
        files = sorted(library_files("json").glob("*.py")) + sorted(
            library_files("email").glob("*.py")
        )
        texts = [path.read_text() for path in files]
        return {"train": texts[6:], "validation": texts[:2], "calibration": texts[2:3],
                "test": texts[3:6]}  # fmt: skip
    sizes = {"train": 120, "validation": 24, "calibration": 16, "test": 40}
    parts = {split: tales(size, seed=i) for i, (split, size) in enumerate(sizes.items())}
    if name == "novel":  # one document of each
        return {split: ["".join(texts)] for split, texts in parts.items()}
    # A name that training does not know comes several times in most unseen documents.
    for i in range(0, 28):
        name = f"S{'aeiou'[i % 5]}e{'hrf'[i % 3]}s"
        parts["test"][i] = parts["test"][i].replace("wolf", name)
    return parts


@cache
def _made(name: str) -> LanguageSubject:
    corpus = name.partition("-")[0]
    texts, (kind, vocabulary) = _corpus(corpus), KINDS[corpus]
    tokenizer = train_tokenizer(kind, texts["train"], vocabulary=vocabulary)
    splits = {split: documents_of(part, tokenizer) for split, part in texts.items()}
    training = TrainingSpec(
        steps=STEPS,
        batch_size=16,
        optimizer=OptimizerSpec(learning_rate=5e-3),
        log_every=2,
        validate_every=10,
        save_every=STEPS,
    )
    fit = LanguageFit(
        splits["train"], splits["validation"], tokenizer.size, SPECS[name], training, seed=0
    )
    with tempfile.TemporaryDirectory() as folder:
        network, _ = fit.fit(Path(folder))
        log = read_lines(next(Path(folder).rglob("log.jsonl")))
    model = LoadedLanguage(network, SPECS[name], tokenizer)
    if corpus == "tales":
        model = dataclasses.replace(model, trust=_trust(model, splits["calibration"]))
    n_grams = KneserNey.fit(splits["train"], vocabulary=tokenizer.size, order=3)
    primed = joined(text.encode() for text in texts["train"])
    xz = Compressor()
    several = corpus != "novel"
    return LanguageSubject(
        network=LanguagePredictor(model),
        baselines={"kneser_ney": n_grams},
        best_baseline="kneser_ney",
        splits=splits,
        compressed=(
            (lambda split: xz.compressed([t.encode() for t in texts[split]], primed))
            if several
            else None
        ),
        log=log,
        costs=COSTS | {"tokens_trained": float(STEPS * 16 * SPECS[name].context)},
        stages={"reading the corpus": 1.0, "training": 2.0},
    )


def _trust(model: LoadedLanguage, documents: Documents) -> Trust:
    found = LanguagePredictor(model).logits(documents, 2_000, np.random.default_rng(0))
    return fit_trust(found[:, :-1], found[:, -1].numpy().astype(np.int64))
