"""Overrides: `--set key=value`, checked against the typed plan."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, get_args

import msgspec
import yaml

from fathom.core.errors import PlanError, nearest
from fathom.core.tree import leaves

# Short words for the keys that people set most.
ALIASES = {
    "network": "network.family",
    "optimizer": "training.optimizer.name",
    "learning_rate": "training.optimizer.learning_rate",
    "weight_decay": "training.optimizer.weight_decay",
    "momentum": "training.optimizer.momentum",
    "image_size": "data.image_size",
    "series_id": "data.series_id",
    "series_time": "data.series_time",
    "pretrained": "data.pretrained",
}

# msgspec's words for types, in a user's.
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "a list",
    "object": "keys with values",
    "null": "null",
}


def parse_settings(pairs: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """Turn `['network.depth=4', 'optimizer=sgd']` into a dictionary; values are YAML scalars."""
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise PlanError(f"--set {pair!r} is not KEY=VALUE, for example --set network.depth=4.")
        try:
            settings[key.strip()] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise PlanError(f"The value in --set {pair!r} cannot be read.") from None
    return settings


def keys_of(tree: Mapping[str, Any]) -> list[str]:
    """The dotted keys of all values in nested dictionaries."""
    return [key for key, _ in leaves(tree)]


def full_key(key: str, known: list[str]) -> str:
    """The dotted key that `key` means: itself, an alias, or the one key that ends in it."""
    if key in known:
        return key
    if key in ALIASES:
        return ALIASES[key]
    ending = [k for k in known if k.endswith("." + key)]
    if len(ending) == 1:
        return ending[0]
    if ending:
        raise PlanError(f"The plan key {key!r} could mean {' or '.join(ending)}: write it out.")
    known = [*known, "data.image_size", "data.pretrained"]
    short = {k.rsplit(".", 1)[-1]: k for k in known}
    guess = nearest(key, [*known, *ALIASES]) or nearest(key, short)
    raise PlanError(
        f"There is no plan key {key!r}.{guess or ' All keys: ' + ', '.join(sorted(known)) + '.'}"
    )


def apply_settings(tree: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` (nested dictionaries) with the settings put in; `tree` itself stays as it is."""
    changed: dict[str, Any] = msgspec.to_builtins(tree)
    known = keys_of(changed)
    for key, value in settings.items():
        *path, last = full_key(key, known).split(".")
        node = changed
        for part in path:
            node = node[part]
        node[last] = value
    return changed


def convert(tree: Any, kind: Any, section: str) -> Any:
    """Check a section against its type; the error names the key and what it must be."""
    try:
        return msgspec.convert(tree, kind, strict=False)
    except msgspec.ValidationError as error:
        raise PlanError(misfit(error, tree, section, kind)) from None


def misfit(error: msgspec.ValidationError, tree: Any, section: str = "", kind: Any = None) -> str:
    """What msgspec refused, as a sentence: the key, its value and what it must be.

    `section` is the key of `tree` itself; `kind` is its type, of which words are listed.
    """
    message = str(error)
    place = re.search(r" - at `\$(.*)`$", message)
    path = place[1] if place else ""
    key = (section + path).lstrip(".")
    expected = re.match(r"Expected `([^`]*)`, got", message)
    words = [repr(word) for word in get_args(kind)] if not path else []
    if expected:
        wanted = " or ".join(_WORDS.get(word, word) for word in expected[1].split(" | "))
    elif message.startswith("Invalid enum value") and words and all(map(_is_text, get_args(kind))):
        wanted = " or ".join(words)
    else:
        plain = re.sub(r" - at `.*`$", "", message)
        return f"{key} does not fit: {plain}." if key else f"{plain}."
    return f"{key} is {_value_at(tree, path)}: it must be {wanted}."


def _is_text(word: Any) -> bool:
    return isinstance(word, str)


def _value_at(tree: Any, path: str) -> str:
    """The value at a path of msgspec's such as `.optimizer.betas[0]`."""
    try:
        for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
            tree = tree[name] if name else tree[int(index)]
    except (KeyError, IndexError, TypeError):
        return "of another kind"  # a name with a dot in it
    return repr(tree)
