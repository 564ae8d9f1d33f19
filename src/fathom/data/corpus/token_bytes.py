"""The bytes that each token of a tokenizer of the package tokenizers stands for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SPACE = "▁"  # how tokenizers of the Llama family write a blank


@cache
def letters() -> dict[int, str]:
    """The letter by which byte-level tokenizers write each byte, as GPT-2 began to."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + place) for place, byte in enumerate(others)
    }


def of_byte_level(vocabulary: Mapping[str, int], added: Mapping[int, bytes]) -> list[bytes]:
    """The bytes of each token whose letters are bytes; `added` has those of added tokens by code.

    Raises ValueError for a token of other letters.
    """
    byte_of = {letter: byte for byte, letter in letters().items()}
    found = [b""] * _size(vocabulary)
    for token, code in vocabulary.items():
        if code in added:
            found[code] = added[code]
            continue
        try:
            found[code] = bytes(byte_of[letter] for letter in token)
        except KeyError as error:
            raise ValueError(f"the token {token!r} has the letter {error}, no byte") from None
    return found


def of_fallback(vocabulary: Mapping[str, int], added: Mapping[int, bytes]) -> list[bytes]:
    """The bytes of each token that is text, blanks as ▁, or one byte such as <0x0A>."""
    found = [b""] * _size(vocabulary)
    for token, code in vocabulary.items():
        if code in added:
            found[code] = added[code]
        elif byte := _BYTE.fullmatch(token):
            found[code] = bytes([int(byte[1], 16)])
        else:
            found[code] = token.replace(SPACE, " ").encode("utf-8", "replace")
    return found


def of_characters(vocabulary: Mapping[str, int], added: Mapping[int, bytes]) -> list[bytes]:
    """The bytes of each token that is one character, or one byte such as <0x0A>."""
    found = of_fallback(vocabulary, added)
    if SPACE in vocabulary:
        found[vocabulary[SPACE]] = SPACE.encode()
    return found


def added_of(tokenizer: Mapping[str, Any]) -> dict[int, bytes]:
    """The text of added tokens, by code, of a tokenizer's JSON; special ones stand for nothing."""
    return {
        int(token["id"]): b"" if token.get("special") else str(token["content"]).encode()
        for token in tokenizer.get("added_tokens") or []
    }


def _size(vocabulary: Mapping[str, int]) -> int:
    return max(vocabulary.values(), default=-1) + 1
