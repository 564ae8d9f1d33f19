"""Sizes: how large a network of language should be for a corpus and a number of operations.

A network that is too small cannot hold what the text has to say, one that is too large sees too
little of it in the time: for a given amount of computing C one size is best, and grows with the
root of C, as does the number of tokens to read (Hoffmann et al. 2022, arXiv 2203.15556). A corpus
that is smaller than that is read several times, which gains less each time (Muennighoff et al.
2023, arXiv 2305.16264), so that there the network is the smaller one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2, sqrt

from fathom.networks.language import GptSpec, LanguageSpec, LstmSpec, family_of

TOKENS_PER_WEIGHT = 20.0
"""Tokens to read for each weight that a token is multiplied with, from about 1e18 operations on."""

# Below that fewer are best: what a run of seconds or minutes learns are first of all the most
# frequent patterns, for which few tokens suffice. Measured, see LOG.md.
FEWEST_TOKENS_PER_WEIGHT, FEW_OPERATIONS, MANY_OPERATIONS = 0.6, 3e12, 1e18
EPOCHS = 8.0  # passes over the text that still teach nearly as much as new text would
HEAD_WIDTH = 64  # numbers of a head of attention; half of it where the width is no multiple
# Depth and width of a network.
GPT_SIZES = (
    *((2, 64), (3, 96), (4, 128), (4, 192), (5, 256), (6, 384), (8, 512), (10, 640), (12, 768)),
    *((16, 1024), (20, 1280), (24, 1536)),
)
LSTM_SIZES = ((1, 96), (1, 128), (1, 192), (1, 256), (1, 384), (1, 512), (2, 512), (2, 768))


@dataclass(frozen=True)
class Work:
    """What a network would do with `operations`: its weights a token, and how many it reads."""

    spec: LanguageSpec
    per_token: int
    tokens: float

    @property
    def ratio(self) -> float:
        """Tokens read for each weight."""
        return self.tokens / self.per_token


def operations_per_token(spec: LanguageSpec, vocabulary: int) -> float:
    """Of a step of training, for one token: forwards, and twice as many back.

    Two for each weight, and for attention those of the scores and of what they weigh, over half of
    the context on average.
    """
    weights = 2.0 * family_of(spec).per_token(spec, vocabulary)
    if isinstance(spec, GptSpec):
        weights += 2.0 * spec.depth * spec.num_heads * spec.per_head * spec.context
    return 3.0 * weights


def wanted_ratio(operations: float) -> float:
    """How many tokens a weight should see within so many operations of training."""
    share = (log2(max(operations, FEW_OPERATIONS)) - log2(FEW_OPERATIONS)) / (
        log2(MANY_OPERATIONS) - log2(FEW_OPERATIONS)
    )
    few, many = log2(FEWEST_TOKENS_PER_WEIGHT), log2(TOKENS_PER_WEIGHT)
    return float(2 ** (few + min(share, 1.0) * (many - few)))


def choose_size(
    operations: float, *, family: str, vocabulary: int, context: int, text_tokens: int
) -> tuple[LanguageSpec, str]:
    """The size for so many operations of training on a text of `text_tokens`, and why.

    The first of the sizes, from the smallest on, of which the next would see too few tokens.
    """
    wanted = wanted_ratio(operations)
    fitting: Work | None = None
    for spec in sizes(family, context):
        work = _work(spec, vocabulary, operations, text_tokens)
        if fitting is not None and work.ratio < wanted:
            break
        fitting = work
    assert fitting is not None
    epochs = operations / operations_per_token(fitting.spec, vocabulary) / max(text_tokens, 1)
    why = (
        f"About {operations:.2g} operations fit into the time, and the best size grows with their "
        f"root: {fitting.per_token:,} weights then see {_count(epochs * text_tokens)} tokens, "
        f"{fitting.ratio:.1f} each (at least {wanted:.1f} are aimed at), in {epochs:.2g} passes "
        "over the text."
    )
    return fitting.spec, why


def sizes(family: str, context: int) -> Iterator[LanguageSpec]:
    """The sizes of a family, the smallest first."""
    if family == "lstm":
        for depth, width in LSTM_SIZES:
            yield LstmSpec(depth=depth, width=width, context=context)
        return
    for depth, width in GPT_SIZES:
        per_head = HEAD_WIDTH if width % HEAD_WIDTH == 0 else HEAD_WIDTH // 2
        yield GptSpec(depth=depth, width=width, num_heads=width // per_head, context=context)


def _work(spec: LanguageSpec, vocabulary: int, operations: float, text_tokens: int) -> Work:
    tokens = operations / operations_per_token(spec, vocabulary)
    # What is read again beyond a few passes counts for little.
    return Work(
        spec,
        family_of(spec).per_token(spec, vocabulary),
        min(tokens, EPOCHS * text_tokens),
    )


# Tokens of context by how many are read: what stands far back helps little at first.
CONTEXTS = {
    "cpu": ((5_000_000.0, 128), (float("inf"), 256)),
    "cuda": ((200_000_000.0, 512), (float("inf"), 1024)),
}
LEAST_CONTEXT, WINDOWS = 16, 8


def choose_context(tokens: float, kind: str, text_tokens: int) -> int:
    """Tokens of context where the smallest network could read `tokens` on a `kind` of device.

    A short text makes at least eight windows of it.
    """
    of_kind = CONTEXTS.get(kind, CONTEXTS["cpu"])
    context = next(length for most, length in of_kind if tokens <= most)
    return min(context, max(LEAST_CONTEXT, text_tokens // WINDOWS))


def choose_batch(tokens: float, context: int) -> int:
    """Sequences of a step, where `tokens` are read in all: 2 · sqrt(tokens) tokens, a power of two.

    Small batches make many steps of few operations, of which the first ones learn most; longer runs
    gain from steadier gradients (McCandlish et al. 2018, arXiv 1812.06162).
    """
    wanted = 2.0 * sqrt(max(tokens, 1.0)) / context
    return max(4, int(2 ** round(log2(max(wanted, 1.0)))))


def _count(tokens: float) -> str:
    if tokens >= 1e6:
        return f"{tokens / 1e6:.3g} million"
    return f"{tokens:,.0f}"
