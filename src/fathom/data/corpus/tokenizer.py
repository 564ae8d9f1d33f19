"""The tokenizer: text as codes and back. The work is done by the package tokenizers.

Three kinds are trained here (`tokenizing.train_tokenizer`), all of them lossless: whatever text is
encoded, decoding gives it back. A fourth is that of a pretrained network.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct

from fathom.core.errors import ArtefactError
from fathom.core.prediction import Array
from fathom.data.corpus import token_bytes
from fathom.data.corpus.pieces import pieces

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

TokenizerKind = Literal["bpe", "char", "byte", "pretrained"]

TOKENIZER_FORMAT = 1
END = "<|end|>"  # the text of token 0; it is never made of text that says so
MOST_JSON = 64 * 2**20  # bytes of a tokenizer's JSON
PIECE = 64 * 2**10  # characters that are encoded at a time: what takes memory are their tokens
AT_ONCE = 2**20  # characters that are handed to the library together, which uses all processors


class Stored(Struct, frozen=True, forbid_unknown_fields=True):
    """A tokenizer as JSON: `tokenizer` is that of the package tokenizers."""

    kind: TokenizerKind
    end: int
    tokenizer: msgspec.Raw
    format_version: int = TOKENIZER_FORMAT


class Tokenizer:
    """Text to codes 0 .. size - 1, and back.

    `kind` says what tokens are; `end` is the code of END, which ends every document and stands for
    no text. `lengths` (size,) int32 are the bytes of UTF-8 that each token stands for.

    Tokenizers of the Llama family put a blank before a text: `prefix` says that this one does.
    """

    def __init__(
        self,
        kind: TokenizerKind,
        end: int,
        library: Library,
        written: Sequence[bytes],
        *,
        continuing: Library | None = None,
    ) -> None:
        # What text is never turned into: "<|end|>" in a text are letters like any others.
        for each in (library, continuing):
            if each is not None:
                each.encode_special_tokens = True
        self.kind, self.end = kind, end
        self._library = library
        self._continuing = continuing or library  # for text that begins no document
        self._written = list(written)
        self.lengths: Array = np.array([len(text) for text in written], dtype=np.int32)

    @property
    def size(self) -> int:
        """How many tokens there are."""
        return len(self._written)

    @property
    def prefix(self) -> bool:
        """Whether a blank is put before every text, which decoding takes away again."""
        return self._continuing is not self._library

    @property
    def dtype(self) -> type[np.uint16 | np.uint32]:
        """The type of codes: uint16 where it holds all of them."""
        return np.uint16 if self.size <= 2**16 else np.uint32

    def encode(self, text: str) -> Array:
        """The codes of a text (n,), without END. Raises UnicodeEncodeError for half a surrogate."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str], continued: Sequence[bool] = ()) -> list[Array]:
        """The codes of each text, without END.

        Texts marked in `continued` are not the beginning of a document: they get no prefix.
        """
        begins = [not (i < len(continued) and continued[i]) for i in range(len(texts))]
        parts = [
            (i, piece, begins[i] and place == 0)
            for i, text in enumerate(texts)
            for place, piece in enumerate(pieces(text, PIECE))
        ]
        found: list[list[Array]] = [[] for _ in texts]
        for some in _batches(parts):
            for (i, _, _), codes in zip(some, self._codes(some), strict=True):
                found[i].append(codes)
        return [np.concatenate([np.empty(0, self.dtype), *codes]) for codes in found]

    def decode(self, codes: Iterable[int]) -> str:
        """The text of codes; bytes that are no whole letter become �. END stands for nothing."""
        return self.decode_bytes(codes).decode("utf-8", "replace")

    def decode_bytes(self, codes: Iterable[int]) -> bytes:
        """The bytes of codes. Raises ValueError for a code that is no token's."""
        try:
            text = b"".join([self._written[code] for code in _plain(codes)])
        except IndexError:
            raise ValueError(f"a code is not one of the {self.size:,} tokens") from None
        return text.removeprefix(b" ") if self.prefix else text

    def written(self, code: int) -> bytes:
        """The bytes of one token as they stand within a text."""
        return self._written[code]

    def to_json(self) -> str:
        """All of it as JSON, for `from_json`."""
        raw = msgspec.Raw(self._library.to_str().encode())
        return msgspec.json.encode(Stored(self.kind, self.end, raw)).decode()

    @classmethod
    def from_json(cls, text: str) -> Tokenizer:
        """The tokenizer of `to_json`. Raises ArtefactError for other or damaged JSON."""
        if len(text) > MOST_JSON:
            raise ArtefactError(f"The tokenizer is larger than {MOST_JSON // 2**20} MB.")
        try:
            stored = msgspec.json.decode(text.encode("utf-8", "replace"), type=Stored)
            if stored.format_version != TOKENIZER_FORMAT:
                raise ValueError(f"its format is {stored.format_version}, not {TOKENIZER_FORMAT}")
            return build(stored.kind, stored.end, bytes(stored.tokenizer).decode())
        except (ValueError, msgspec.DecodeError) as error:
            raise ArtefactError(
                f"The tokenizer is damaged or of another version: {str(error).rstrip('.')}."
            ) from None

    @classmethod
    def from_huggingface(cls, path: str | Path) -> Tokenizer:
        """The tokenizer in the folder of a pretrained network of the GPT-2 or Llama family.

        It is lossless as far as its authors made it: some compose accents, those of Llama 2 take
        the sign ▁ for a blank. Raises PlanError where there is none, or one of another family.
        """
        from fathom.data.corpus.pretrained import load

        return build("pretrained", *load(Path(path)))

    def _codes(self, parts: list[tuple[int, str, bool]]) -> list[Array]:
        """The codes of pieces of text, some of which begin a document."""
        if not self.prefix:
            return self._encoded(self._library, [piece for _, piece, _ in parts])
        codes: list[Array] = [np.empty(0, self.dtype)] * len(parts)
        for library, begins in ((self._library, True), (self._continuing, False)):
            places = [place for place, part in enumerate(parts) if part[2] is begins]
            found = self._encoded(library, [parts[place][1] for place in places])
            for place, one in zip(places, found, strict=True):
                codes[place] = one
        return codes

    def _encoded(self, library: Library, texts: list[str]) -> list[Array]:
        try:
            found = library.encode_batch_fast(texts, add_special_tokens=False)
        except TypeError:  # which the library says of half a surrogate, too
            "".join(texts).encode()
            raise
        return [np.array(one.ids, dtype=self.dtype) for one in found]


class StreamDecoder:
    """Text of codes that come one by one, given out as soon as its letters are whole.

    `begins` says that the first code begins a text, before which some tokenizers put a blank.
    """

    def __init__(self, tokenizer: Tokenizer, *, begins: bool = False) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._blank = begins and tokenizer.prefix

    def feed(self, code: int) -> str:
        """The text that is whole now; often none, sometimes what waited before."""
        text = self._tokenizer.written(int(code))
        if self._blank and text:
            text, self._blank = text.removeprefix(b" "), False
        return self._decoder.decode(text)

    def finish(self) -> str:
        """What is left; � where the last letter never became whole."""
        return self._decoder.decode(b"", final=True)


def build(kind: TokenizerKind, end: int, library_json: str) -> Tokenizer:
    """The tokenizer of a kind from the JSON of the package. Raises ValueError for what is none."""
    library = _library(library_json)
    described: dict[str, Any] = msgspec.json.decode(library_json)
    vocabulary = library.get_vocab(with_added_tokens=True)
    added = token_bytes.added_of(described)
    if kind == "pretrained":
        from fathom.data.corpus.pretrained import continuing, is_byte_level

        level = is_byte_level(described)
        read = token_bytes.of_byte_level if level else token_bytes.of_fallback
        changed = continuing(described)
        other = None if changed is None else _library(changed)
        written = read(vocabulary, added)
        if not 0 <= end < len(written):
            raise ValueError(f"{end} is no token")
        written[end] = b""
        return Tokenizer(kind, end, library, written, continuing=other)
    written = (token_bytes.of_characters if kind == "char" else token_bytes.of_byte_level)(
        vocabulary, added
    )
    _check_own(end, vocabulary, written, described)
    return Tokenizer(kind, end, library, written)


def _library(library_json: str) -> Library:
    from tokenizers import Tokenizer as Library

    try:
        library = Library.from_str(library_json)
    except Exception as error:  # the library raises nothing more exact
        raise ValueError(str(error)) from None
    library.no_padding()
    library.no_truncation()
    return library


def _check_own(
    end: int, vocabulary: dict[str, int], written: list[bytes], described: dict[str, Any]
) -> None:
    """Raises ValueError where a tokenizer of ours would lose text, or write END by mistake."""
    merges = described["model"].get("merges") or []
    made = {"".join(pair) if isinstance(pair, list) else pair.replace(" ", "") for pair in merges}
    if end != 0 or vocabulary.get(END) != 0 or END in made:
        raise ValueError(f"its token 0 is not {END}")
    if sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise ValueError("its codes have gaps")
    if not {bytes([byte]) for byte in range(256)} <= set(written):
        raise ValueError("it does not have a token for each byte")


def _batches(parts: list[tuple[int, str, bool]]) -> Iterable[list[tuple[int, str, bool]]]:
    """Pieces of text in groups of some AT_ONCE characters."""
    some: list[tuple[int, str, bool]] = []
    waiting = 0
    for part in parts:
        some.append(part)
        waiting += len(part[1])
        if waiting >= AT_ONCE:
            yield some
            some, waiting = [], 0
    if some:
        yield some


def _plain(codes: Iterable[int]) -> list[int]:
    """Codes as integers of Python. Raises ValueError below zero."""
    found: list[int] = (
        np.asarray(codes).tolist()
        if isinstance(codes, np.ndarray)
        else [int(code) for code in codes]
    )
    if found and min(found) < 0:
        raise ValueError("a code is below zero")
    return found
