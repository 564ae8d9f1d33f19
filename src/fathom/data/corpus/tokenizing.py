"""Training tokenizers: byte pairs, characters or bytes. The package tokenizers does the work.

Byte-level BPE: Sennrich et al. 2016, arXiv 1508.07909; Radford et al. 2019. A text is first cut
into words, letters with what stands before them, one or two digits, signs, blanks; tokens never
reach over the end of one. Words are as GPT-2 and its followers cut them, but of 48 letters at most,
so that a text without blanks costs no more than another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from math import log2, sqrt
from typing import TYPE_CHECKING

from fathom.core.errors import PlanError
from fathom.core.quantities import prefixed
from fathom.data.corpus import token_bytes
from fathom.data.corpus.pieces import utf8_size
from fathom.data.corpus.stretches import TRAINING_BYTES, spread, training_texts
from fathom.data.corpus.tokenizer import END, StreamDecoder, Tokenizer, TokenizerKind, build

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Library

__all__ = [
    "END",
    "StreamDecoder",
    "Tokenizer",
    "TokenizerKind",
    "choose_vocabulary",
    "train_tokenizer",
    "training_texts",
]

LEAST_VOCABULARY, MOST_VOCABULARY = 512, 32_768
BYTES = 256
ENOUGH_BYTES, BYTES_PER_TOKEN = 4_000_000, 2_000
# Digits in pairs: longer numbers would each want tokens of their own. Marks belong to their letter.
WORDS = (
    r"'(?i:[sdmt]|ll|ve|re)"
    r"|[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]{1,48}"
    r"|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{M}\p{N}]{1,48}[\r\n]{0,16}"
    r"|\s{0,48}[\r\n]{1,16}"
    r"|\s{1,48}(?!\S)"
    r"|\s{1,48}"
)


def choose_vocabulary(train_bytes: int) -> tuple[int, str]:
    """How many tokens of byte pairs suit so much training text, and why in a sentence.

    The power of two nearest to the square root of the bytes: then each token is seen often enough
    to be learned, about as often as there are tokens.
    """
    wanted = 2 ** round(log2(sqrt(max(1, train_bytes))))
    size = min(MOST_VOCABULARY, max(LEAST_VOCABULARY, wanted))
    bound = "" if size == wanted else f", within {LEAST_VOCABULARY} and {MOST_VOCABULARY:,}"
    return size, (
        f"{size:,} tokens: about the square root of the {prefixed(train_bytes, 'B')} of training "
        f"text{bound}, so that each token is seen often."
    )


def train_tokenizer(
    kind: TokenizerKind, texts: Iterable[str], *, vocabulary: int | None = None
) -> Tokenizer:
    """A tokenizer whose token 0 is END, learned from the training texts, 50 MB of them at most.

    'bpe' has `vocabulary` tokens, by default as many as `choose_vocabulary` says, fewer where the
    texts have no more frequent pairs. 'char' has a token for each character of the texts, the most
    frequent ones where `vocabulary` is given, and spells others as bytes. 'byte' has 256 and learns
    nothing. Raises PlanError for a vocabulary that is too small for all bytes.
    """
    least = 1 + BYTES + (kind == "char")
    if vocabulary is not None and vocabulary < least and kind != "byte":
        raise PlanError(f"A vocabulary of {vocabulary} is too small: {least} tokens are needed.")
    if kind == "byte":
        library = _bytes()
    elif kind == "char":
        library = _characters(texts, vocabulary)
    elif kind == "bpe":
        library = _pairs(texts, vocabulary)
    else:
        raise PlanError(f"A tokenizer of the kind {kind!r} cannot be trained: bpe, char or byte.")
    return build(kind, 0, library.to_str())


def _pairs(texts: Iterable[str], vocabulary: int | None) -> Library:
    """Byte-level BPE."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    held = list(_bounded(texts))
    size = sum(map(utf8_size, held))
    vocabulary = vocabulary or choose_vocabulary(size)[0]
    # More text than this hardly changes which pairs are frequent, and takes longer in proportion.
    enough = max(ENOUGH_BYTES, BYTES_PER_TOKEN * vocabulary)
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(spread(held, enough / max(1, size)), trainer)
    return library


def _bytes() -> Library:
    """A token for each byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = token_bytes.letters()
    vocabulary = {END: 0} | {letters[byte]: 1 + byte for byte in range(BYTES)}
    library = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.decoder = decoders.ByteLevel()
    library.add_special_tokens([END])
    return library


def _characters(texts: Iterable[str], vocabulary: int | None) -> Library:
    """A token for each byte, and for each character of the texts."""
    from tokenizers import Tokenizer, decoders, models

    counts: Counter[str] = Counter()
    for text in _bounded(texts):
        counts.update(text)
    most = None if vocabulary is None else vocabulary - 1 - BYTES
    # Of equally frequent ones the first by code, whatever the order of the texts.
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]
    tokens = [END, *(f"<0x{byte:02X}>" for byte in range(BYTES)), *sorted(c for c, _ in ranked)]
    codes = {token: code for code, token in enumerate(tokens)}
    library = Tokenizer(models.BPE(vocab=codes, merges=[], byte_fallback=True))
    library.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    library.add_special_tokens([END])
    return library


def _bounded(texts: Iterable[str]) -> Iterator[str]:
    """The first texts, of TRAINING_BYTES bytes at most."""
    left = TRAINING_BYTES
    for text in texts:
        yield text
        left -= utf8_size(text)
        if left <= 0:
            return
