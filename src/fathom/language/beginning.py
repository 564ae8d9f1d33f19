"""Beginning: what a run goes on from, read and verified: a bundle, or a Hugging Face folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from fathom.core.errors import ArtefactError, PlanError
from fathom.data.corpus.tokenizing import Tokenizer
from fathom.deployment.bundle import find_bundle, writes
from fathom.deployment.language.bundle import (
    load_language_bundle,
    own_weights,
)
from fathom.networks.language.huggingface import read_folder
from fathom.planning.language.beginning import Beginning

CONFIG = "config.json"


def begin_from(source: str | None) -> Beginning | None:
    """The network in a run, a bundle or a folder in Hugging Face's format; None where none is said.

    Raises PlanError where it is no network of language, ArtefactError where it is damaged.
    """
    if source is None:
        return None
    folder = Path(source).expanduser()
    if (folder / CONFIG).is_file():
        return _of_huggingface(folder)
    bundle = _bundle(source)
    if not writes(bundle):
        raise PlanError(
            f"--from {source}: that run has learned no language; give one that has, or a folder "
            "with a model of the Llama or GPT-2 family."
        )
    loaded = load_language_bundle(bundle)
    model, provenance = loaded.network.model, loaded.manifest.provenance
    return Beginning(
        source=str(bundle.resolve()),
        digest=loaded.manifest.files["model.safetensors"].sha256,
        licence=str(provenance.get("licence", "")),
        spec=model.spec,
        tokenizer=model.tokenizer,
        tensors=own_weights(model.network),
        vocabulary=model.network.vocabulary,
        learned=loaded.learned,
    )


def _bundle(source: str) -> Path:
    try:
        return find_bundle(source)
    except ArtefactError as error:
        raise ArtefactError(
            f"{error} --from takes a run, or a folder with a model of the Llama or GPT-2 family as "
            "Hugging Face's save_pretrained writes it."
        ) from None


def _of_huggingface(folder: Path) -> Beginning:
    found = read_folder(folder)
    tokenizer = Tokenizer.from_huggingface(folder)
    if tokenizer.size > found.vocabulary:
        raise PlanError(
            f"The tokenizer in {folder} has {tokenizer.size:,} tokens, and its network only "
            f"{found.vocabulary:,}: they do not belong together."
        )
    return Beginning(
        source=str(folder.resolve()),
        digest=_digest(found.tensors),
        licence=found.licence,
        spec=found.spec,
        tokenizer=tokenizer,
        tensors=found.tensors,
        vocabulary=found.vocabulary,
    )


def _digest(tensors: Mapping[str, Tensor]) -> str:
    content = hashlib.sha256()
    for name in sorted(tensors):
        content.update(name.encode())
        content.update(safetensors.torch.save({"": tensors[name].contiguous()}))
    return content.hexdigest()
