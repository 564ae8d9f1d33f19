"""LanguageBundle: the folder that is shipped. The network, the n-grams, and the tokenizer of both.

    bundle.json   tokenizer.json   trust.json
    model.safetensors   baseline.safetensors   learned.safetensors

Arrays and JSON, nothing that runs. What is read back is verified before it is believed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.numpy
import safetensors.torch
from msgspec import Struct
from safetensors import SafetensorError
from torch import Tensor, nn

from fathom import __version__
from fathom.baselines.language import KneserNey
from fathom.core.errors import ArtefactError, PlanError
from fathom.core.files import replacing, to_json, write_atomic
from fathom.data.corpus.learned import Learned
from fathom.data.corpus.tokenizing import Tokenizer
from fathom.deployment.bundle import check_device, find_bundle, read_tensors, weights_of, writes
from fathom.deployment.manifest import (
    BASELINE,
    BUNDLE_FORMAT,
    MANIFEST,
    NETWORK,
    TRUST,
    WAY_OUT,
    BaselineEntry,
    FileEntry,
    ModelName,
    check_files,
    entry_of,
    parse,
    read_file,
)
from fathom.deployment.verify import (
    UNFIT,
    built,
    check_tensors,
)
from fathom.inference.language import LanguagePredictor, LoadedLanguage
from fathom.inference.model import Precision
from fathom.inference.sampler import Sampler
from fathom.inference.trust import Trust
from fathom.networks.language import LanguageNetwork, LanguageSpec, build

TOKENIZER, LEARNED = "tokenizer.json", "learned.safetensors"
FILES = (TOKENIZER, TRUST, NETWORK, BASELINE, LEARNED)


class LanguageManifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The file `bundle.json`.

    `default` is the model that was better on validation; `validation_scores` holds the bits per
    byte of each there, negative, as higher is better. The network says the chances of `vocabulary`
    tokens, at least as many as the tokenizer has. `files` lists every other file.
    """

    fathom: str
    task: Literal["language"]
    default: ModelName
    validation_scores: dict[ModelName, float | None]
    precision: Precision
    network: LanguageSpec
    vocabulary: int
    baseline: BaselineEntry
    provenance: dict[str, Any]
    files: dict[str, FileEntry]
    format_version: int = BUNDLE_FORMAT


@dataclass(frozen=True)
class LanguageBundle:
    """A bundle that was read and verified. `default` is the model that was better on validation.

    `learned` are the documents that something was learned or chosen from.
    """

    folder: Path
    network: LanguagePredictor
    baseline: KneserNey
    default: ModelName
    manifest: LanguageManifest
    learned: Learned

    @property
    def sampler(self) -> Sampler:
        """Writes with the network."""
        return Sampler(self.network.model)


def write_language_bundle(
    folder: Path,
    *,
    model: LoadedLanguage,
    baseline: KneserNey,
    learned: Learned,
    default: ModelName,
    validation_scores: Mapping[ModelName, float],
    provenance: Mapping[str, Any],
) -> None:
    """Write a bundle into `folder`, in the place of one that is there.

    It is written beside, flushed, read back and verified before it takes its place, so that what
    stands there is always whole. Raises StorageError or ArtefactError where it cannot be written.
    """
    arrays, config = baseline.state()
    contents = {
        TOKENIZER: model.tokenizer.to_json().encode(),
        TRUST: to_json(model.trust),
        NETWORK: weights_of(own_weights(model.network)),
        LEARNED: bytes(
            safetensors.numpy.save({"hashes": learned.hashes.view(np.int64), "kept": learned.kept})
        ),
        BASELINE: bytes(
            safetensors.numpy.save({k: np.ascontiguousarray(v) for k, v in arrays.items()})
        ),
    }
    manifest = LanguageManifest(
        fathom=__version__,
        task="language",
        default=default,
        validation_scores={
            n: v if math.isfinite(v) else None for n, v in validation_scores.items()
        },
        precision=model.precision,
        network=model.spec,
        vocabulary=model.network.vocabulary,
        baseline=BaselineEntry(baseline.name, config),
        provenance=dict(provenance),
        files={name: entry_of(content) for name, content in contents.items()},
    )
    try:
        with replacing(folder) as beside:
            for name, content in (contents | {MANIFEST: to_json(manifest)}).items():
                write_atomic(beside / name, content)
            load_language_bundle(beside)
    except OSError as error:
        raise ArtefactError(
            f"The bundle {folder} cannot be written ({error.strerror}): free space, or choose "
            "another folder."
        ) from None


def own_weights(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network, each once: tied ones under the name that comes first."""
    seen: set[int] = set()
    own = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            own[name] = tensor
    return own


def load_language_bundle(folder: str | Path, *, device: str = "cpu") -> LanguageBundle:
    """Read a bundle, verify it, and put its network on `device`.

    Raises ArtefactError naming the file that is wrong and the way out, PlanError for a device that
    is not there.
    """
    folder = Path(folder)
    check_device(device)
    manifest = read_language_manifest(folder)
    contents = {name: read_file(folder, name, manifest.files[name]) for name in FILES}
    tokenizer = _tokenizer(contents[TOKENIZER], folder / TOKENIZER)
    trust = parse(contents[TRUST], folder / TRUST, Trust)
    if not 0 < trust.temperature < math.inf:
        raise ArtefactError(f"The temperature in {folder / TRUST} is not above 0; {WAY_OUT}.")
    tensors = read_tensors(contents[NETWORK], folder / NETWORK)
    if manifest.vocabulary < tokenizer.size:
        raise ArtefactError(
            f"{folder / MANIFEST} has a network of {manifest.vocabulary:,} tokens for a tokenizer "
            f"of {tokenizer.size:,}; {WAY_OUT}."
        )
    network = restore_language(manifest.network, manifest.vocabulary, tensors, folder / NETWORK)
    model = LoadedLanguage(
        network=network.to(device),
        spec=manifest.network,
        tokenizer=tokenizer,
        trust=trust,
        precision=manifest.precision,
        device=device,
    )
    predictor = LanguagePredictor(model)
    baseline = _baseline(manifest.baseline, contents[BASELINE], folder / BASELINE)
    for answering in (predictor, baseline):
        _check_answer(answering, tokenizer, folder)
    learned = _learned(contents[LEARNED], folder / LEARNED)
    return LanguageBundle(folder, predictor, baseline, manifest.default, manifest, learned)


def read_language_manifest(folder: Path) -> LanguageManifest:
    """The `bundle.json` of a folder. Raises ArtefactError where it is missing or not as written."""
    return check_files(folder, LanguageManifest, FILES)


def find_language_bundle(path: str | Path) -> Path:
    """The bundle of a run on a corpus, by the run's folder, its name, or the bundle's own folder.

    Raises ArtefactError where there is none, PlanError where it has learned something else.
    """
    folder = find_bundle(path)
    if not writes(folder):
        raise PlanError(
            f"{path} does not write: it predicts a column. Use fathom predict {path} DATA."
        )
    return folder


def restore_language(
    spec: LanguageSpec, vocabulary: int, tensors: Mapping[str, Tensor], path: Path
) -> LanguageNetwork:
    """The network with the weights that were read from `path`.

    Raises ArtefactError where a network of this spec would be larger than its weights, and where a
    tensor is missing, unknown, of another shape or type, or not finite.
    """
    network = built(lambda: build(spec, vocabulary, seed=0), spec, tensors, path)
    check_tensors(own_weights(network), tensors, path)
    network.load_state_dict(dict(tensors), strict=False)  # tied ones come with the first of them
    return network


def _tokenizer(content: bytes, path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_json(content.decode())
    except (*UNFIT, UnicodeDecodeError) as error:
        raise ArtefactError(f"{path} is no tokenizer of Fathom's: {error}; {WAY_OUT}.") from None


def _learned(content: bytes, path: Path) -> Learned:
    try:
        found = safetensors.numpy.load(content)
        hashes, kept = found["hashes"], found["kept"]
        whole = hashes.dtype == kept.dtype == np.int64
        if not whole or hashes.ndim != 1 or kept.shape != (len(hashes), 2):
            raise ValueError("a hash and two places in bytes for each document")
        return Learned.of(hashes.view(np.uint64), kept)
    except (SafetensorError, *UNFIT) as error:
        raise ArtefactError(f"{path} is not as Fathom writes it: {error}; {WAY_OUT}.") from None


def _baseline(entry: BaselineEntry, content: bytes, path: Path) -> KneserNey:
    try:
        arrays: dict[str, np.ndarray[Any, Any]] = safetensors.numpy.load(content)
        return KneserNey.from_state(arrays, entry.config)
    except (SafetensorError, *UNFIT) as error:
        raise ArtefactError(
            f"{path} is not the baseline {entry.name!r} of this Fathom "
            f"({type(error).__name__}: {error}); {WAY_OUT}."
        ) from None


def _check_answer(model: LanguagePredictor | KneserNey, tokenizer: Tokenizer, path: Path) -> None:
    """Ask what begins a text. Raises ArtefactError where no answer comes."""
    try:
        said = model.next_log_probs([np.array([tokenizer.end])])
    except UNFIT as error:
        raise ArtefactError(
            f"The {model.name} in {path} cannot answer ({type(error).__name__}: {error}); "
            f"{WAY_OUT}."
        ) from None
    sums = np.exp(said.astype(np.float64)).sum()
    if said.shape != (1, tokenizer.size) or not abs(sums - 1.0) < 0.02:
        raise ArtefactError(
            f"The {model.name} in {path} does not say how likely each of the {tokenizer.size:,} "
            f"tokens is; {WAY_OUT}."
        )
