"""Sampler: writes on from a prompt, token by token, with a memory of what was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fathom.core.errors import PlanError
from fathom.core.prediction import Array
from fathom.core.randomness import numpy_generator
from fathom.core.threads import threads
from fathom.data.corpus.tokenizing import StreamDecoder
from fathom.inference.language import LoadedLanguage
from fathom.networks.language import Memory

COLDEST = 1e-4  # temperatures below which the likeliest token is all there is
WORTH_THREADS = 3e7  # products a token of all rows, from which more than one thread is faster


# Of each setting its type, its least and its most, and the same in words.
LIMITS = (
    ("max_tokens", int, 1, 10_000_000, "a whole number from 1 to 10,000,000"),
    ("temperature", (int, float), 0, 100, "a number from 0 to 100"),
    ("top_k", int, 0, 2**31, "a whole number, 0 for all tokens"),
    ("top_p", (int, float), 1e-9, 1, "a number above 0 and at most 1"),
    ("seed", int, 0, 2**63, "a whole number of at least 0"),
)


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn: each from softmax(logits / temperature), 0 takes the likeliest.

    `top_k` keeps that many of the likeliest, 0 all; `top_p` the fewest that hold this much
    probability (Holtzman et al. 2020, arXiv 1904.09751). Raises PlanError for what cannot be meant.
    """

    max_tokens: int = 200
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for key, kind, least, most, wanted in LIMITS:
            value = getattr(self, key)
            number = isinstance(value, kind) and not isinstance(value, bool)
            if not (number and least <= value <= most):
                raise PlanError(f"{key} is {value!r}: it must be {wanted}.")


@dataclass(frozen=True)
class Written:
    """What was written behind a prompt. `ended` tells whether the network ended the text itself."""

    prompt: str
    text: str
    tokens: Array
    ended: bool


class Sampler:
    """Writes with a network of language. `cached` off reads everything anew for each token, which
    is only good for comparing.
    """

    def __init__(self, model: LoadedLanguage, *, cached: bool = True) -> None:
        self.model, self.cached = model, cached

    def sample(self, prompt: str, sampling: Sampling = Sampling()) -> Written:
        """What follows a prompt; the same seed, prompt and settings give the same text."""
        return self.sample_several([prompt], sampling)[0]

    def sample_several(
        self, prompts: Sequence[str], sampling: Sampling = Sampling()
    ) -> list[Written]:
        """What follows each of several prompts, which are written side by side.

        Each draws by itself, so that neighbours do not matter but for rounding, as long as the
        texts fit into the context: beyond it all are read anew when the first of them must be.
        """
        if not len(prompts):
            return []
        begun = [self.begun(prompt) for prompt in prompts]
        rows: list[list[int]] = [[] for _ in prompts]
        for step in self.steps(begun, sampling):
            for row, token in step.items():
                rows[row].append(token)
        return [self._written(p, r) for p, r in zip(prompts, rows, strict=True)]

    def stream(self, prompt: str, sampling: Sampling = Sampling()) -> Iterator[str]:
        """Pieces of what follows a prompt, as soon as they are whole characters."""
        decoder = StreamDecoder(self.model.tokenizer, begins=not prompt)
        for step in self.steps([self.begun(prompt)], sampling):
            if step[0] != self.model.tokenizer.end:
                yield decoder.feed(step[0])
        yield decoder.finish()

    def begun(self, prompt: str) -> Array:
        """The tokens of a prompt behind the END that begins every text.

        Raises PlanError for a prompt that cannot be written down.
        """
        tokenizer = self.model.tokenizer
        try:
            prompt.encode()
        except UnicodeEncodeError:
            raise PlanError("The prompt holds bytes that are no text: give it in UTF-8.") from None
        found: Array = np.concatenate([[tokenizer.end], tokenizer.encode(prompt)]).astype(np.int64)
        return found

    def steps(self, begun: Sequence[Array], sampling: Sampling) -> Iterator[dict[int, int]]:
        """Tokens of each row (END ends it), one dictionary for each step.

        All rows go in step. While one is still in its prompt, its next token is the prompt's, so
        that texts of uneven length need neither padding nor masks.
        """
        draws = [_Draws(sampling.seed, row) for row in range(len(begun))]
        live = np.arange(len(begun))
        texts = [np.asarray(tokens) for tokens in begun]
        written = np.zeros(len(begun), dtype=np.int64)
        place, end = min(map(len, texts)), self.model.tokenizer.end
        room = max(map(len, texts)) + sampling.max_tokens
        reader = _Reader(self, [text[:place] for text in texts], room)
        while len(live):
            uniforms = [draws[row].at(int(written[row])) for row in live]
            chosen = reader.chosen(sampling, uniforms)
            given = np.array([place < len(texts[row]) for row in live])
            following = np.array(
                [
                    texts[row][place] if g else c
                    for row, g, c in zip(live, given, chosen, strict=True)
                ]
            )
            written[live[~given]] += 1
            step = dict(zip(live[~given].tolist(), following[~given].tolist(), strict=True))
            if step:
                yield step
            over = ~given & ((written[live] >= sampling.max_tokens) | (following == end))
            place += 1
            live = live[~over]
            if len(live):
                reader.go_on(None if not over.any() else np.flatnonzero(~over), following[~over])

    def _written(self, prompt: str, tokens: list[int]) -> Written:
        end = self.model.tokenizer.end
        ended = bool(tokens) and tokens[-1] == end
        kept = np.array(tokens[:-1] if ended else tokens, dtype=np.int64)
        # Behind a prompt a blank at the beginning belongs to the text.
        decoder = StreamDecoder(self.model.tokenizer, begins=not prompt)
        text = "".join([*(decoder.feed(int(token)) for token in kept), decoder.finish()])
        return Written(prompt, text, kept, ended)


class _Reader:
    """Rows of equal length; `logits` (rows, V) float32 are what the network says behind each.

    Whoever consumes the steps of a sampler is left out of inference mode, and of the number of
    threads: both hold within its methods alone.
    """

    logits: Tensor

    def __init__(self, sampler: Sampler, texts: Sequence[Array], room: int) -> None:
        self.sampler, self.model = sampler, sampler.model
        self.network, self.device = sampler.model.network, sampler.model.device
        self.room = min(room, self.network.context)
        self.threads = self._threads(len(texts))
        self.texts = torch.from_numpy(np.stack(texts)).to(self.device)
        self.memory: Memory | None = None
        with torch.inference_mode():
            self._read(self.texts[:, -self.network.context :])

    def chosen(self, sampling: Sampling, uniforms: Sequence[float]) -> Array:
        """A token for each row."""
        with torch.inference_mode(), threads(self.threads):
            logits = self.model.known(self.logits)
            return _chosen(logits, self.model.trust.temperature, sampling, uniforms)

    def go_on(self, rows: Array | None, tokens: Array) -> None:
        """Keep some rows (all where None), and read one more token of each."""
        new = torch.from_numpy(tokens).to(self.device)[:, None]
        with torch.inference_mode(), threads(self.threads):
            if rows is not None:
                kept = torch.from_numpy(rows).to(self.device)
                self.texts = self.texts[kept]
                self.memory = None if self.memory is None else self.memory.take(kept)
            self.texts = torch.cat([self.texts, new], dim=1)
            if self.memory is not None and not self._full(self.memory):
                self.logits = self.network(new, self.memory)[:, -1]
                return
        with torch.inference_mode():
            # Where the context is full its later half is read anew, so that there is room again.
            half = max(1, self.network.context // 2)
            most = self.network.context if self.memory is None else half
            self._read(self.texts[:, -most:])

    def _full(self, memory: Memory) -> bool:
        return memory.room is not None and memory.length >= memory.room

    def _threads(self, rows: int) -> int:
        """Threads for one token of each row: of small products, waiting for others is most."""
        weights = sum(parameter.numel() for parameter in self.network.parameters())
        return 1 if weights * rows < WORTH_THREADS else torch.get_num_threads()

    def _read(self, tokens: Tensor) -> None:
        if not self.sampler.cached:
            self.logits = self.network(tokens)[:, -1]
            return
        self.memory = self.network.remember(len(tokens), self.room)
        self.logits = self.network(tokens, self.memory)[:, -1]


class _Draws:
    """The uniform numbers of a row, in blocks as they are needed."""

    BLOCK = 1024

    def __init__(self, seed: int, row: int) -> None:
        self._seed, self._row, self._block, self._drawn = seed, row, -1, np.empty(0)

    def at(self, place: int) -> float:
        """The number for the token at a place."""
        block, inside = divmod(place, self.BLOCK)
        if block != self._block:
            generator = numpy_generator(self._seed, "sample", self._row, block)
            self._block, self._drawn = block, generator.random(self.BLOCK)
        return float(self._drawn[inside])


def _chosen(logits: Tensor, trusted: float, sampling: Sampling, uniforms: Sequence[float]) -> Array:
    """A token of each row (rows, V), where its uniform number falls among the probabilities.

    These are softmax(logits / (trusted · temperature)).
    """
    if sampling.temperature < COLDEST:
        likeliest: Array = logits.argmax(dim=1).cpu().numpy()
        return likeliest
    probs = (logits / (trusted * sampling.temperature)).softmax(dim=1)
    if not sampling.top_k and sampling.top_p == 1:
        plain: Array = _drawn(probs, uniforms)[:, 0].cpu().numpy()
        return plain
    ranked, tokens = probs.sort(dim=1, descending=True)
    if sampling.top_k:
        ranked[:, sampling.top_k :] = 0.0
    sums = ranked.cumsum(dim=1)
    if sampling.top_p < 1:
        ranked[sums - ranked > sampling.top_p * sums[:, -1:]] = 0.0
    found: Array = tokens.gather(1, _drawn(ranked, uniforms))[:, 0].cpu().numpy()
    return found


def _drawn(shares: Tensor, uniforms: Sequence[float]) -> Tensor:
    """Where the uniform number of each row (rows, n) falls, (rows, 1).

    In float64, where only one draw in 10^16 could be rounded up to the sum of all.
    """
    sums = shares.cumsum(dim=1, dtype=torch.float64)
    drawn = torch.tensor(uniforms, dtype=torch.float64, device=sums.device)[:, None]
    places = torch.searchsorted(sums, drawn * sums[:, -1:], right=True)
    return places.clamp_(max=sums.shape[1] - 1)
