"""Folders as transformers' `save_pretrained` writes them: what is in them, read as data."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from torch import Tensor

from fathom.core.backbone import Backbone
from fathom.core.errors import PlanError

PICKLED = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "tf_model.h5", "flax_model.msgpack")
INDEX = "model.safetensors.index.json"


def read(source: str, root: Path) -> tuple[Backbone, str]:
    """The backbone in a folder, and its tokenizer's JSON (empty where it reads no texts).

    Raises PlanError where the folder is no model, or one that cannot be used.
    """
    from fathom.networks.backbones import huggingface
    from fathom.networks.backbones.sources import digest_of

    config = _json(root / "config.json", source)
    files = weight_files(root, source)
    return huggingface.described(source, root, config, digest_of(files), licence(root))


def weights(backbone: Backbone, root: Path) -> dict[str, Tensor]:
    """The weights in a folder, under the names of the stages."""
    from fathom.networks.backbones import huggingface

    return huggingface.weights(backbone, root)


def weight_files(root: Path, source: str) -> list[Path]:
    """The safetensors of a folder, in order. Raises PlanError where there are none."""
    if (root / INDEX).is_file():
        names = sorted(set(_json(root / INDEX, source).get("weight_map", {}).values()))
    else:
        names = ["model.safetensors"]
    files = [root / Path(str(name)).name for name in names]
    if files and all(file.is_file() for file in files):
        return files
    pickled = next((f.name for pattern in PICKLED for f in sorted(root.glob(pattern))), "")
    if pickled:
        raise PlanError(
            f"{source} has its weights in {pickled} alone, a format that can run code when it is "
            "read: convert it to safetensors (load it with transformers where you trust it, and "
            "save_pretrained it anew)."
        )
    raise PlanError(
        f"{source} has no weights: there is no model.safetensors beside its config.json."
    )


def licence(root: Path) -> str:
    """What the weights may be used under, as their README or a licence file says."""
    readme = root / "README.md"
    if readme.is_file():
        head = readme.read_text(encoding="utf-8", errors="replace")[:20_000]
        named = re.search(r"\A---\n.*?^licen[sc]e:\s*['\"]?([^\n'\"]+)", head, re.S | re.M)
        if named:
            return _proper(named[1].strip())
    for file in sorted(root.glob("LICEN[SC]E*")):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        first = next((line.strip() for line in lines if line.strip()), "")
        if first:
            return first[:80]
    return "unknown: the folder names none"


def _proper(name: str) -> str:
    return {"apache-2.0": "Apache-2.0", "mit": "MIT"}.get(name.lower(), name)


def _json(path: Path, source: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PlanError(
            f"{source} is no model: there is no {path.name} in it. Give a folder that a model was "
            "saved to with transformers' save_pretrained."
        ) from None
    except (OSError, ValueError) as error:
        raise PlanError(f"{path} cannot be read: {error}.") from None
    if not isinstance(content, dict):
        raise PlanError(f"{path} is not the JSON of a model.")
    return content
