"""Beginning: the network that training goes on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fathom.data.corpus.learned import Learned
from fathom.data.corpus.tokenizing import Tokenizer
from fathom.networks.language import LanguageSpec


@dataclass(frozen=True)
class Beginning:
    """Weights of a network of language, with its spec and tokenizer.

    It says the chances of `vocabulary` tokens, at least as many as the tokenizer has. `source` is
    a folder, `digest` the SHA-256 of the weights, `licence` what they may be used
    under, as far as it is known. `learned` are the documents that it has learned from, None where
    nobody knows.
    """

    source: str
    digest: str
    licence: str
    spec: LanguageSpec
    tokenizer: Tokenizer
    tensors: Mapping[str, Tensor]
    vocabulary: int
    learned: Learned | None = None
