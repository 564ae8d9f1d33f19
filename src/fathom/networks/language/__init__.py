"""What learns language: networks that say what comes next, one file each."""

from __future__ import annotations

import torch

from fathom.core.randomness import derive_seed
from fathom.networks.language.family import (
    LANGUAGE_FAMILIES,
    LanguageFamily,
    LanguageNetwork,
    Memory,
)
from fathom.networks.language.gpt import Gpt
from fathom.networks.language.gpt_spec import GptSpec
from fathom.networks.language.lstm import Lstm, LstmSpec

LanguageSpec = GptSpec | LstmSpec
"""Everything that the `network` section of a language plan can be; `family` tells which."""


def family_of(spec: LanguageSpec) -> LanguageFamily:
    """The family that a spec is of."""
    return LANGUAGE_FAMILIES[spec.__struct_config__.tag]  # type: ignore[index]


def build(spec: LanguageSpec, vocabulary: int, *, seed: int) -> LanguageNetwork:
    """A network with fresh weights, which depend on `seed` and the spec alone.

    Raises PlanError where this machine has no room for it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "network"))
        return family_of(spec).build(spec, vocabulary)


__all__ = [
    "LANGUAGE_FAMILIES",
    "Gpt",
    "GptSpec",
    "LanguageFamily",
    "LanguageNetwork",
    "LanguageSpec",
    "Lstm",
    "LstmSpec",
    "Memory",
    "build",
    "family_of",
]
