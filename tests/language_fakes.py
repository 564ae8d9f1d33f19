"""Networks of language whose every probability is known, as subjects of evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fathom.baselines.language import KneserNey
from fathom.core.language import Documents
from fathom.data.corpus.tokenizing import Tokenizer, train_tokenizer
from fathom.evidence.language import LanguageSubject
from fathom.inference.language import LanguagePredictor, LoadedLanguage
from fathom.inference.trust import Trust
from fathom.networks.language import LanguageNetwork, LstmSpec, Memory
from language_subjects import documents_of

BYTES: Tokenizer = train_tokenizer("byte", [])
SURE = 30.0  # a logit that leaves nothing to the others
SPLITS = ("train", "validation", "calibration", "test")

Rule = Callable[[Tensor], Tensor]
"""Tokens (B, T) to logits (B, T, V)."""


class Read(Memory):
    """All tokens that were read."""

    room: int | None = None

    def __init__(self, tokens: Tensor) -> None:
        self.tokens = tokens

    @property
    def length(self) -> int:  # type: ignore[override]
        return self.tokens.shape[1]

    def take(self, rows: Tensor) -> Read:
        return Read(self.tokens[rows])


class Fake(LanguageNetwork):
    """Says what a rule says; it reads everything anew."""

    def __init__(self, rule: Rule, context: int = 64, vocabulary: int = BYTES.size) -> None:
        super().__init__()
        self.rule, self.context, self.vocabulary = rule, context, vocabulary
        self.head = nn.Linear(1, 1)

    def forward(self, tokens: Tensor, memory: Memory | None = None) -> Tensor:
        if not isinstance(memory, Read):
            return self.rule(tokens)
        memory.tokens = torch.cat([memory.tokens, tokens], dim=1)
        return self.rule(memory.tokens)[:, -tokens.shape[1] :]

    def remember(self, rows: int, room: int) -> Read:
        return Read(torch.zeros((rows, 0), dtype=torch.int64))


def subject_of(
    rule: Rule,
    texts: dict[str, Sequence[str]],
    *,
    context: int = 64,
    temperature: float = 1.0,
    order: int = 3,
    documents: dict[str, Documents] | None = None,
    **changes: Any,
) -> LanguageSubject:
    """A subject whose network follows a rule; n-grams are fitted on its training texts."""
    named = {split: list(texts.get(split, texts["train"][:4])) for split in SPLITS}
    splits = documents or {split: documents_of(named[split], BYTES) for split in SPLITS}
    trust = Trust(temperature=temperature)
    model = LoadedLanguage(Fake(rule, context), LstmSpec(), BYTES, trust)
    n_grams = KneserNey.fit(splits["train"], vocabulary=BYTES.size, order=order)
    settings = {
        "network": LanguagePredictor(model),
        "baselines": {"kneser_ney": n_grams},
        "best_baseline": "kneser_ney",
        "splits": splits,
    }
    return LanguageSubject(**(settings | changes))


def uniform(tokens: Tensor) -> Tensor:
    """Every token alike."""
    return torch.zeros((*tokens.shape, BYTES.size))


def markov(log_probs: np.ndarray) -> Rule:
    """What comes next depends on the last token alone; log_probs (V, V)."""
    table = torch.from_numpy(log_probs).float()
    return lambda tokens: table[tokens]


def reciter(documents: Documents, length: int = 8) -> Rule:
    """Goes on as the documents do where the last tokens stand in them; else it knows nothing."""
    known: dict[tuple[int, ...], int] = {}
    stream = [int(token) for token in documents.tokens]
    for i in range(len(stream) - length):
        known[tuple(stream[i : i + length])] = stream[i + length]

    def rule(tokens: Tensor) -> Tensor:
        logits = torch.zeros((*tokens.shape, BYTES.size))
        for b, row in enumerate(tokens.tolist()):
            for t in range(length - 1, len(row)):
                following = known.get(tuple(row[t - length + 1 : t + 1]))
                if following is not None:
                    logits[b, t, following] = SURE
        return logits

    return rule


def copier(longest: int = 12, shortest: int = 2, sure: float = SURE) -> Rule:
    """Goes on as the text did where its last tokens have stood in it before, the longest match."""

    def following(row: list[int]) -> list[int | None]:
        seen: dict[tuple[int, ...], int] = {}
        found: list[int | None] = []
        for t in range(len(row)):
            runs = [
                tuple(row[t - k + 1 : t + 1]) for k in range(shortest, longest + 1) if k <= t + 1
            ]
            if t:
                for k in range(shortest, min(longest, t) + 1):
                    seen[tuple(row[t - k : t])] = row[t]
            found.append(next((seen[run] for run in reversed(runs) if run in seen), None))
        return found

    def rule(tokens: Tensor) -> Tensor:
        logits = torch.zeros((*tokens.shape, BYTES.size))
        for b, row in enumerate(tokens.tolist()):
            for t, token in enumerate(following(row)):
                if token is not None:
                    logits[b, t, token] = sure
        return logits

    return rule


class Chain:
    """A Markov chain of letters, whose texts end at random: all of its probabilities are known."""

    LETTERS = "abcdefgh"

    def __init__(self, seed: int = 0, ends: float = 0.005) -> None:
        self.generator = np.random.default_rng(seed)
        codes = np.array([1 + ord(letter) for letter in self.LETTERS])
        steps = self.generator.dirichlet(np.full(len(codes), 0.3), size=len(codes))
        probs = np.full((BYTES.size, BYTES.size), 1e-9)
        probs[np.ix_(codes, codes)] = (1 - ends) * steps
        probs[codes, BYTES.end] = ends
        probs[BYTES.end, codes] = 1 / len(codes)
        self.probs = probs / probs.sum(axis=1, keepdims=True)
        self.log_probs = np.log(self.probs)

    def text(self) -> str:
        """One text."""
        token, written = BYTES.end, bytearray()
        while True:
            token = int(self.generator.choice(BYTES.size, p=self.probs[token]))
            if token == BYTES.end:
                return written.decode()
            written.append(token - 1)

    def texts(self, count: int) -> list[str]:
        """Some texts, none of them empty."""
        return [text for text in (self.text() for _ in range(2 * count)) if text][:count]
