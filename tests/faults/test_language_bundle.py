"""Bundles of language that are damaged, cut, foreign or malicious: one sentence, no traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import fathom
import language_corpora
from fathom.core.errors import ArtefactError, PlanError
from fathom.deployment.bundle import load_bundle
from fathom.deployment.language.bundle import FILES, load_language_bundle
from fathom.deployment.manifest import entry_of

JSON = ("bundle.json", "tokenizer.json", "trust.json")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = fathom.fit(
        language_corpora.tales(40),
        task="language",
        steps=2,
        out=tmp_path_factory.mktemp("runs"),
        settings={"training.threads": 1, "network.width": 32, "network.depth": 1, "vocabulary": 300,
                  "network.num_heads": 1},
    )  # fmt: skip
    return run.folder / "bundle"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "bundle")
    return tmp_path / "bundle"


def seal(folder: Path) -> None:
    """Write sizes and digests anew, as whoever forges a bundle would."""
    manifest = json.loads((folder / "bundle.json").read_bytes())
    for name in FILES:
        entry = entry_of((folder / name).read_bytes())
        manifest["files"][name] = {"size": entry.size, "sha256": entry.sha256}
    (folder / "bundle.json").write_text(json.dumps(manifest))


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps(change(content) or content))


def refusal(folder: Path, *named: str) -> None:
    with pytest.raises((ArtefactError, PlanError)) as error:
        load_language_bundle(folder)
    sentence = str(error.value)
    assert all(name in sentence for name in named), sentence
    assert "\n" not in sentence.strip()


def test_it_is_whole(folder: Path) -> None:
    bundle = load_language_bundle(folder)
    assert bundle.sampler.sample("The").prompt == "The"


@pytest.mark.parametrize("name", [*FILES, "bundle.json"])
def test_missing_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refusal(folder, name)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_and_a_cut(folder: Path, name: str) -> None:
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    refusal(folder, name)
    (folder / name).write_bytes(bytes(content[: len(content) // 2]))
    refusal(folder, name)


@pytest.mark.parametrize("name", JSON)
def test_json_that_is_none(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b'{"format_version": 1, "a": [')
    if name != "bundle.json":
        seal(folder)
    refusal(folder, name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("width", 10**9),
        ("depth", 10**6),
        ("context", 10**12),
        ("num_heads", 7),
        ("width", 64),
        ("softcap", -1.0),
        ("activation", "magic"),
    ],
)
def test_a_spec_that_does_not_fit_its_weights(folder: Path, key: str, value: Any) -> None:
    edit(folder / "bundle.json", lambda m: m["network"].__setitem__(key, value))
    refusal(folder)


def test_a_vocabulary_that_does_not_fit(folder: Path) -> None:
    edit(folder / "bundle.json", lambda m: m.__setitem__("vocabulary", 10))
    refusal(folder, "tokenizer")
    edit(folder / "bundle.json", lambda m: m.__setitem__("vocabulary", 10**9))
    refusal(folder)


def test_weights_that_are_not_finite(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = safetensors.numpy.load(path.read_bytes())
    tensors["head.weight"] = np.full_like(tensors["head.weight"], np.nan)
    path.write_bytes(safetensors.numpy.save(tensors))
    seal(folder)
    refusal(folder, "head.weight")


def test_a_baseline_that_lacks_an_array(folder: Path) -> None:
    path = folder / "baseline.safetensors"
    tensors = safetensors.numpy.load(path.read_bytes())
    tensors.pop("unigrams")
    path.write_bytes(safetensors.numpy.save(tensors))
    seal(folder)
    refusal(folder, "baseline.safetensors")


def test_a_tokenizer_of_another_size(folder: Path) -> None:
    from fathom.data.corpus.tokenizing import train_tokenizer

    other = train_tokenizer("byte", [])
    (folder / "tokenizer.json").write_text(other.to_json())
    seal(folder)
    refusal(folder)


def test_a_newer_format_is_told_as_such(folder: Path) -> None:
    edit(folder / "bundle.json", lambda m: m.__setitem__("format_version", 99))
    refusal(folder, "newer Fathom")


def test_the_readers_of_both_kinds_tell_each_other_apart(folder: Path) -> None:
    with pytest.raises(PlanError, match="fathom sample"):
        load_bundle(folder)
