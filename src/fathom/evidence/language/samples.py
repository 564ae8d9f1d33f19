"""What it writes: beginnings of unseen texts are gone on with, by the sampler that users have.

What the network writes is held against what really stands there, which is equally long: how much it
repeats itself, how varied it is (distinct runs of words, Li et al. 2016, arXiv 1510.03055), and how
much of it stands in the training text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate, normal
from fathom.evidence.language.estimates import (
    between_shares,
    interval_of,
    share_over_units,
)
from fathom.evidence.language.judging import cut, places_within
from fathom.evidence.language.runs import MOST_TOKENS, SECONDS_PER_TOKEN, Runs, run_of_letters
from fathom.evidence.language.subject import SPARED, LanguageSubject
from fathom.evidence.measure import evidence
from fathom.inference.sampler import Sampler, Sampling

SAMPLES, FEWEST, SHOWN = 16, 4, 3
PROMPT, WRITTEN, SHORTEST = 16, 200, 32  # tokens given, written at most, and at least
TEMPERATURE = 0.8  # that of `fathom sample` where none is given
REPEATED, DISTINCT = 4, 2  # words of a run
PIECES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|\w+|[^\w\s]")  # words, signs, letters of Chinese
FEW_PIECES = 0.1  # pieces a token: with fewer there are no words, and tokens serve instead
# More than in real text of the same length: five points are seen by nobody, twenty by everybody.
GOOD_MORE, FAIR_MORE = 0.05, 0.20
IDS = ("samples.repetition", "samples.distinct", "samples.copied")


def step_seconds(subject: LanguageSubject) -> float:
    """About how long one more token of all samples takes; timed over a few."""

    def written() -> float:
        begun = [np.array([subject.network.model.tokenizer.end])] * SAMPLES
        steps = Sampler(subject.network.model).steps(begun, Sampling(max_tokens=6))
        next(steps)
        started = perf_counter()
        count = sum(1 for _ in steps)
        return (perf_counter() - started) / max(count, 1)

    return subject.rate("written", written)


def _seconds(subject: LanguageSubject) -> float:
    known = min(subject.splits["train"].predicted, MOST_TOKENS)
    return 0.2 + step_seconds(subject) * SHORTEST + SECONDS_PER_TOKEN * known


@evidence("samples", "samples", IDS, _seconds)
def measure(subject: LanguageSubject, budget: Budget) -> list[Record]:
    """`samples.repetition`, `samples.distinct` and `samples.copied`."""
    written = _written(subject, budget)
    if written is None:
        reason = (
            f"There are fewer than {FEWEST} places within the unseen documents with "
            f"{PROMPT + SHORTEST} tokens in a row, by which to judge what the network writes."
        )
        return [not_applicable(id, "samples", reason) for id in IDS]
    return [
        _repetition(subject, written),
        _distinct(written),
        _copied(subject, written),
    ]


@dataclass(frozen=True)
class Samples:
    """S prompts, what the network writes behind them, and as much of what stands there really.

    `pieces` and `real_pieces` are both as words, or tokens where `called` says so.
    """

    prompts: list[Array]
    tokens: list[Array]
    real: list[Array]
    texts: list[tuple[str, str]]
    pieces: list[list[Any]]
    real_pieces: list[list[Any]]
    called: str

    def method(self, estimate: Estimate) -> str:
        """How it was written."""
        total = sum(map(len, self.tokens))
        return (
            f"{len(self.tokens)} beginnings of {PROMPT} tokens gone on with, {total:,} tokens in "
            f"all, drawn at a temperature of {TEMPERATURE:g}; {estimate.method}"
        )


def _written(subject: LanguageSubject, budget: Budget) -> Samples | None:
    """Samples behind beginnings from the unseen text; None where documents are too short."""
    documents, model = subject.documents("test"), subject.network.model
    count = subject.samples.get("samples", SAMPLES)
    affordable = int(SPARED * budget.remaining / step_seconds(subject))
    for length in (WRITTEN, WRITTEN // 2, SHORTEST):
        size = max(SHORTEST, min(length, affordable))
        begins = places_within(documents, PROMPT + size, count, subject.generator("samples"))
        if len(begins) >= count:
            break
    if len(begins) < FEWEST:
        return None
    rows = cut(documents.tokens, begins, PROMPT + size).astype(np.int64)
    prompts, real = [row[:PROMPT] for row in rows], [row[PROMPT:] for row in rows]
    sampling = Sampling(max_tokens=size, temperature=TEMPERATURE, seed=subject.seed)
    grown: list[list[int]] = [[] for _ in prompts]
    for step in Sampler(model).steps(prompts, sampling):
        for row, token in step.items():
            grown[row] += [token] if token != model.tokenizer.end else []
    tokens = [np.array(each, dtype=np.int64) for each in grown]
    return _samples(subject, prompts, tokens, real)


def _samples(
    subject: LanguageSubject, prompts: list[Array], tokens: list[Array], real: list[Array]
) -> Samples:
    decode = subject.network.model.tokenizer.decode
    equally = [there[: len(ours)] for there, ours in zip(real, tokens, strict=True)]
    texts = [(decode(p), decode(t)) for p, t in zip(prompts, tokens, strict=True)]
    pieces = [PIECES.findall(text) for _, text in texts]
    real_pieces = [PIECES.findall(decode(each)) for each in equally]
    called = "words"
    if sum(map(len, real_pieces)) < FEW_PIECES * sum(map(len, equally)):
        pieces, real_pieces = ([each.tolist() for each in rows] for rows in (tokens, equally))
        called = "tokens"
    return Samples(prompts, tokens, equally, texts, pieces, real_pieces, called)


def runs_of(pieces: Sequence[Any], length: int) -> list[tuple[Any, ...]]:
    """All runs of `length` pieces."""
    return [tuple(pieces[i : i + length]) for i in range(len(pieces) - length + 1)]


def again(pieces: Sequence[Any], length: int = REPEATED) -> tuple[int, int]:
    """How many runs have occurred before in the same text, of how many."""
    runs = runs_of(pieces, length)
    return len(runs) - len(set(runs)), len(runs)


def distinct(texts: Sequence[Sequence[Any]], length: int = DISTINCT) -> float:
    """The share of different ones among all runs of several texts; 1 where there is none."""
    runs = [run for pieces in texts for run in runs_of(pieces, length)]
    return len(set(runs)) / len(runs) if runs else 1.0


def jackknife(statistic: Callable[[list[Any]], float], items: list[Any]) -> Estimate:
    """A statistic of items with the interval of leaving each of them out in turn."""
    value, count = statistic(items), len(items)
    without = np.array([statistic(items[:i] + items[i + 1 :]) for i in range(count)])
    variance = (count - 1) / count * float(((without - without.mean()) ** 2).sum())
    return normal(value, variance, "jackknife over samples, normal interval")


def _grade(more: float) -> Grade:
    return "good" if more <= GOOD_MORE else "fair" if more <= FAIR_MORE else "poor"


def _repetition(subject: LanguageSubject, written: Samples) -> Record:
    ours, real = (
        np.array([again(pieces) for pieces in each])
        for each in (written.pieces, written.real_pieces)
    )
    there = ours[:, 1] > 0
    if not there.any():
        reason = f"No sample has {REPEATED} {written.called}, so that none could come again."
        return not_applicable(IDS[0], "samples", reason)
    generator = subject.generator(IDS[0])
    estimate = share_over_units(ours[there, 0], ours[there, 1], generator, "samples")
    of_real = float(real[:, 0].sum()) / max(1, int(real[:, 1].sum()))
    return Record(
        IDS[0],
        "samples",
        sentence=(
            f"Of the runs of {REPEATED} {written.called} that it writes, "
            f"{wording.percent(estimate.value)} have stood before in the same sample "
            f"({between_shares(estimate)}); of equally long real text {wording.percent(of_real)}."
        ),
        value=estimate.value,
        unit="share",
        interval=interval_of(estimate),
        n=int(ours[:, 1].sum()),
        split="test",
        method=written.method(estimate),
        higher_is_better=False,
        grade=_grade(estimate.value - of_real),
        figure=_figure(written),
    )


def _distinct(written: Samples) -> Record:
    found = jackknife(distinct, written.pieces)
    estimate = found._replace(low=max(0.0, found.low), high=min(1.0, found.high))
    real = distinct(written.real_pieces)
    return Record(
        IDS[1],
        "samples",
        sentence=(
            f"Of all runs of {DISTINCT} {written.called} in {len(written.tokens)} samples "
            f"{wording.percent(estimate.value)} are different ones ({between_shares(estimate)}); "
            f"of equally long real text {wording.percent(real)}."
        ),
        value=estimate.value,
        unit="share",
        interval=interval_of(estimate),
        n=len(written.tokens),
        split="test",
        method=written.method(estimate),
        higher_is_better=True,
        grade=_grade(real - estimate.value),
    )


def _copied(subject: LanguageSubject, written: Samples) -> Record:
    train, tokenizer = subject.splits["train"], subject.network.model.tokenizer
    runs = Runs.of(train, run_of_letters(train), tokenizer.end)
    known = [runs.known(tokens) for tokens in written.tokens]
    counts = np.array([len(each) for each in known])
    if not counts.sum():
        reason = f"No sample is as long as {runs.length} tokens, so that no run could be compared."
        return not_applicable(IDS[2], "samples", reason)
    there = np.array([each.sum() for each in known])
    estimate = share_over_units(there, counts, subject.generator(IDS[2]), "samples")
    of_real = [runs.known(tokens) for tokens in written.real]
    real = sum(int(each.sum()) for each in of_real) / max(1, sum(map(len, of_real)))
    part = "" if runs.whole else f", as far as its first {MOST_TOKENS:,} tokens go"
    return Record(
        IDS[2],
        "samples",
        sentence=(
            f"{wording.percent(estimate.value)} of the runs of {runs.length} tokens, some 50 "
            f"characters, that it writes stand word for word in its training text{part} "
            f"({between_shares(estimate)}); of equally long unseen text {wording.percent(real)}. "
            f"{_longest(subject, runs, written)}"
        ),
        value=estimate.value,
        unit="share",
        interval=interval_of(estimate),
        n=int(counts.sum()),
        split="train",
        method=written.method(estimate),
        higher_is_better=False,
        grade=_grade(estimate.value - real),
    )


def _longest(subject: LanguageSubject, runs: Runs, written: Samples) -> str:
    found = [(runs.longest(tokens), tokens) for tokens in written.tokens]
    (length, begin), tokens = max(found, key=lambda pair: pair[0][0])
    if not length:
        return "No run of this length was copied."
    text = subject.network.model.tokenizer.decode(tokens[begin : begin + length])
    return f"The longest run that was copied has {wording.plural(len(text), 'character')}."


def _figure(written: Samples) -> Figure:
    items = [{"prompt": prompt, "text": text} for prompt, text in written.texts[:SHOWN]]
    caption = (
        "What the network writes behind beginnings of unseen texts, drawn at random; the beginning "
        "is set in grey. It makes things up: nothing in it need be true."
    )
    return Figure("samples", {"items": items, "caption": caption})
