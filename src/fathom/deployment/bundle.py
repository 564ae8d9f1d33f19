"""Bundle: the folder that is shipped. The network, the best baseline, and what both need.

    bundle.json   schema.json   trust.json   model.safetensors   baseline.safetensors

Arrays and JSON, nothing that runs. What is read back is verified before it is believed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from fathom import __version__
from fathom.baselines import Baseline, baseline_from_state
from fathom.core.errors import ArtefactError, PlanError, nearest
from fathom.core.files import replacing, to_json, write_atomic
from fathom.core.prediction import Array
from fathom.core.predictor import Predictor
from fathom.core.schema import Schema, TaskName
from fathom.core.task import SupervisedTask
from fathom.data.encode import input_spec, output_spec
from fathom.deployment.manifest import (
    BASELINE,
    FILES,
    MANIFEST,
    NETWORK,
    SCHEMA,
    TRUST,
    WAY_OUT,
    BaselineEntry,
    Manifest,
    ModelName,
    entry_of,
    parse,
    read_file,
    read_manifest,
)
from fathom.deployment.verify import UNFIT, check_answer, check_schema, restore_network
from fathom.inference import LoadedModel, NetworkPredictor, Precision, Trust, Views
from fathom.networks import NetworkSpec
from fathom.tasks import build_task

FOLDER, RUNS = "bundle", "runs"
MODELS = ("network", "baseline")


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read and verified. `default` is the model that was better on validation."""

    folder: Path
    schema: Schema
    network: NetworkPredictor
    baseline: Baseline
    default: ModelName
    manifest: Manifest

    def predictor(self, model: str | None = None) -> Predictor:
        """The network or the baseline; the default one where None is asked for.

        Raises PlanError for another name.
        """
        name = self.default if model is None else model
        if name not in MODELS:
            raise PlanError(
                f"There is no model {name!r} in a bundle; there are: {', '.join(MODELS)}."
                f"{nearest(name, MODELS)}"
            )
        return self.network if name == "network" else self.baseline


def write_bundle(
    folder: Path,
    *,
    schema: Schema,
    task_name: TaskName,
    network: nn.Module,
    network_spec: NetworkSpec,
    trust: Trust,
    precision: Precision,
    baseline: Baseline,
    default: ModelName,
    validation_scores: Mapping[ModelName, float],
    provenance: Mapping[str, Any],
    views: Views = "one",
) -> None:
    """Write a bundle into `folder`, in the place of one that is there.

    It is written beside, flushed, read back and verified before it takes its place, so that what
    stands there is always whole. Raises StorageError or ArtefactError where it cannot be written.
    """
    arrays, config = baseline.state()
    contents = {
        SCHEMA: to_json(schema),
        TRUST: to_json(trust),
        NETWORK: weights_of(network.state_dict()),
        BASELINE: _arrays(arrays),
    }
    manifest = Manifest(
        fathom=__version__,
        task=task_name,
        default=default,
        validation_scores={
            n: v if math.isfinite(v) else None for n, v in validation_scores.items()
        },
        precision=precision,
        network=network_spec,
        baseline=BaselineEntry(baseline.name, config),
        provenance=dict(provenance),
        files={name: entry_of(content) for name, content in contents.items()},
        views=views,
    )
    try:
        with replacing(folder) as beside:
            for name, content in (contents | {MANIFEST: to_json(manifest)}).items():
                write_atomic(beside / name, content)
            load_bundle(beside)
    except OSError as error:
        raise ArtefactError(
            f"The bundle {folder} cannot be written ({error.strerror}): free space, or choose "
            "another folder."
        ) from None


def weights_of(tensors: Mapping[str, Tensor]) -> bytes:
    """Tensors as the bytes of a safetensors file, each cloned, as the format knows no sharing."""
    copies = {n: t.detach().cpu().contiguous().clone() for n, t in tensors.items()}
    return bytes(safetensors.torch.save(copies))


def _arrays(arrays: Mapping[str, Array]) -> bytes:
    # safetensors takes memory as it lies: arrays of another order would come back scrambled.
    ordered = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return bytes(safetensors.numpy.save(ordered))


def load_bundle(folder: str | Path, *, device: str = "cpu") -> Bundle:
    """Read a bundle, verify it, and put its network on `device`.

    Checked are the format versions, sizes and digests of the files, the types of every value, the
    names, shapes and finiteness of the weights, and that both models answer. Raises ArtefactError
    naming the file that is wrong and the way out, PlanError for a device that is not there.
    """
    folder = Path(folder)
    check_device(device)
    if writes(folder):
        raise PlanError(
            f"{folder} holds a network of language, which has no column to predict: use fathom "
            f"sample {folder}, or run.sample in Python."
        )
    manifest = read_manifest(folder)
    contents = {name: read_file(folder, name, manifest.files[name]) for name in FILES}
    schema = parse(contents[SCHEMA], folder / SCHEMA, Schema)
    check_schema(schema, folder / SCHEMA)
    if manifest.task != schema.task:
        raise ArtefactError(f"{folder / MANIFEST} and {SCHEMA} name different tasks; {WAY_OUT}.")
    trust = parse(contents[TRUST], folder / TRUST, Trust)
    if not 0 < trust.temperature < math.inf:
        raise ArtefactError(f"The temperature in {folder / TRUST} is not above 0; {WAY_OUT}.")
    tensors = read_tensors(contents[NETWORK], folder / NETWORK)
    model = LoadedModel(
        schema=schema,
        inputs=input_spec(schema),
        network=restore_network(manifest.network, schema, tensors, folder / NETWORK).to(device),
        network_spec=manifest.network,
        task=_task(schema, folder / SCHEMA),
        trust=trust,
        precision=manifest.precision,
        device=device,
        views=manifest.views,
    )
    network = NetworkPredictor(model)
    baseline = _baseline(manifest.baseline, contents[BASELINE], folder / BASELINE)
    check_answer(network, schema, folder)
    check_answer(baseline, schema, folder)
    return Bundle(folder, schema, network, baseline, manifest.default, manifest)


def writes(folder: Path) -> bool:
    """Whether a bundle is that of a network of language, by its own word."""
    try:
        content = msgspec.json.decode((folder / MANIFEST).read_bytes())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("task") == "language"


def read_tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, which was read from `path`. Raises ArtefactError."""
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except (SafetensorError, *UNFIT) as error:
        raise ArtefactError(f"{path} is no readable safetensors: {error}; {WAY_OUT}.") from None
    return tensors


def _task(schema: Schema, path: Path) -> SupervisedTask:
    try:
        return build_task(schema.task, output_spec(schema))
    except PlanError as error:
        raise ArtefactError(f"{path} makes no task: {error}") from None


def _baseline(entry: BaselineEntry, content: bytes, path: Path) -> Baseline:
    try:
        arrays: dict[str, Array] = safetensors.numpy.load(content)
        return baseline_from_state(entry.name, arrays, entry.config)
    except (SafetensorError, *UNFIT) as error:
        raise ArtefactError(
            f"{path} is not the baseline {entry.name!r} of this Fathom "
            f"({type(error).__name__}: {error}); {WAY_OUT}."
        ) from None


def check_device(device: str) -> None:
    """Raise PlanError for a device that is not there."""
    kind = device.split(":", maxsplit=1)[0]
    if kind not in ("cpu", "cuda"):
        raise PlanError(f"There is no device {device!r}; known: cpu, cuda.")
    if kind == "cuda" and not torch.cuda.is_available():
        raise PlanError("PyTorch sees no CUDA device on this machine: use the device cpu.")


def find_bundle(path: str | Path) -> Path:
    """The bundle of a run folder, of a run's name under runs/, or the bundle folder itself.

    Raises ArtefactError, naming runs of similar names, where there is none.
    """
    given = Path(path).expanduser()
    for folder in (given, given / FOLDER, Path(RUNS) / given, Path(RUNS) / given / FOLDER):
        if (folder / MANIFEST).is_file():
            return folder
    for folder in (given, Path(RUNS) / given):
        if (folder / "plan.yaml").is_file():
            raise ArtefactError(
                f"The run {folder} is not finished, it has no bundle yet: go on with "
                "fathom fit … --resume."
            )
    names = sorted(found.parent.parent.name for found in Path(RUNS).glob(f"*/{FOLDER}/{MANIFEST}"))
    hint = nearest(given.name, names)
    if names and not hint:
        hint = f" Runs here: {', '.join(names[:10])}{' …' if len(names) > 10 else ''}."
    raise ArtefactError(
        f"{path} is neither a run nor a bundle: there is no {MANIFEST} in it.{hint}"
    )
