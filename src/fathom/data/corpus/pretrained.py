"""Tokenizers that come with pretrained networks: tokenizer.json of the GPT-2 and Llama families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from fathom.core.errors import PlanError

MOST_JSON = 64 * 2**20  # bytes
_PREFIXES = ("first", "always")


def load(folder: Path) -> tuple[int, str]:
    """The code of the token that ends a text, and the tokenizer's JSON.

    Raises PlanError where the folder has no tokenizer, one of another family, or no such token.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise PlanError(
            f"{folder} has no tokenizer.json: save its tokenizer anew with a recent transformers "
            "(AutoTokenizer, save_pretrained)."
        )
    text, described = _read(path)
    model = described.get("model") or {}
    if model.get("type") != "BPE" or not (is_byte_level(described) or model.get("byte_fallback")):
        raise PlanError(
            f"{path} is a tokenizer of the kind {model.get('type')}: only byte-level BPE, as of "
            "GPT-2 and Llama 3, and BPE that falls back to bytes, as of Llama 2, can be used."
        )
    return _end(folder, described), text


def is_byte_level(described: dict[str, Any]) -> bool:
    """Whether the letters of a tokenizer's tokens are bytes."""
    return any(_of_type(described.get(part), "ByteLevel") for part in ("decoder", "pre_tokenizer"))


def continuing(described: dict[str, Any]) -> str | None:
    """The JSON of the same tokenizer without a blank before the text; None where there is none."""
    changed = msgspec.json.decode(msgspec.json.encode(described))
    for part in ("normalizer", "pre_tokenizer"):
        changed[part] = _without_prefix(changed.get(part))
    return None if changed == described else msgspec.json.encode(changed).decode()


def _without_prefix(part: Any) -> Any:
    """A step of a tokenizer, or a sequence of them, that puts nothing before a text."""
    if not isinstance(part, dict):
        return part
    for steps in ("normalizers", "pretokenizers"):
        if steps in part:
            kept = [_without_prefix(step) for step in part[steps]]
            return part | {steps: [step for step in kept if step is not None]}
    if part.get("type") == "Prepend":
        return None
    if part.get("type") == "Metaspace" and part.get("prepend_scheme", "always") in _PREFIXES:
        return part | {"prepend_scheme": "never"}
    if part.get("type") == "ByteLevel" and part.get("add_prefix_space"):
        return part | {"add_prefix_space": False}
    return part


def _of_type(part: Any, kind: str) -> bool:
    """Whether a step, or one of a sequence, is of a type."""
    if not isinstance(part, dict):
        return False
    inner = part.get("decoders") or part.get("pretokenizers") or []
    return part.get("type") == kind or any(_of_type(step, kind) for step in inner)


def _end(folder: Path, described: dict[str, Any]) -> int:
    """The code of the token that ends a text."""
    codes = {token["content"]: token["id"] for token in described.get("added_tokens") or []}
    codes = {**((described.get("model") or {}).get("vocab") or {}), **codes}
    named = _json(folder / "tokenizer_config.json").get("eos_token")
    name = named.get("content") if isinstance(named, dict) else named
    if isinstance(name, str) and name in codes:
        return int(codes[name])
    for file in ("generation_config.json", "config.json"):
        said = _json(folder / file).get("eos_token_id")
        said = said[0] if isinstance(said, list) and said else said
        if isinstance(said, int) and said in codes.values():
            return said
    raise PlanError(
        f"{folder} does not say which token ends a text: eos_token in tokenizer_config.json, or "
        "eos_token_id in config.json."
    )


def _json(path: Path) -> dict[str, Any]:
    """An object in a file; empty where there is none."""
    if not path.is_file():
        return {}
    _, value = _read(path)
    return value


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    if path.stat().st_size > MOST_JSON:
        raise PlanError(f"{path} is larger than {MOST_JSON // 2**20} MB.")
    try:
        text = path.read_bytes().decode()
        return text, msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} is damaged: {error}.") from None
