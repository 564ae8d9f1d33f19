"""Pairs of words in the prompt, one of which is asked for by the other.

The words are those of the unseen text, the pairs are drawn at random, so that nothing but the
prompt tells the answer. Which of the values in the prompt is the likeliest is asked, not whether
the right one is the likeliest of all words: chance is one in the number of pairs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fathom.core.budget import Budget
from fathom.core.language import LanguageModel
from fathom.core.prediction import Array
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate, wilson
from fathom.evidence.language.estimates import between_shares
from fathom.evidence.language.subject import NETWORK, LanguageSubject
from fathom.evidence.rivals import short_title, title

if TYPE_CHECKING:
    from fathom.data.corpus.tokenizer import Tokenizer

ID = "in_context.recall"
PAIRS = (2, 4, 8, 16)
VALUED = 4  # pairs whose accuracy is the record's value, or as many as fit
PROMPTS, FEWEST = 200, 30  # for each number of pairs
TOKENS_OF_A_PAIR = 10  # about
WORDS, MOST_BYTES = 400, 300_000  # that are used, of how much text
WORD = re.compile(r"[^\W\d_]{3,12}")
GOOD_ACCURACY = 0.9


@dataclass(frozen=True)
class Asked:
    """A prompt's tokens up to where the values differ, (T,); the tokens that the values go on with
    there, (k,), and which of them is right.
    """

    context: Array
    candidates: Array
    right: int


def record(subject: LanguageSubject, budget: Budget) -> Record:
    """`in_context.recall`: how often the value that belongs to a word is found."""
    found = _found(subject, budget)
    if not found:
        reason = (
            "The unseen text has too few different words, or the network's context is too short, "
            "to ask for words that stand in the prompt."
        )
        return not_applicable(ID, "in_context", reason)
    pairs = VALUED if VALUED in found else min(found)
    ours = found[pairs][NETWORK]
    return Record(
        ID,
        "in_context",
        sentence=_sentence(found, pairs),
        value=ours.value,
        unit="share",
        interval=ours.interval,
        n=_count(subject, budget),
        split="test",
        method=(
            f"{pairs} lines of 'word: value' and a word again, all drawn from the unseen text; "
            f"which of the values is the likeliest; {ours.method}"
        ),
        higher_is_better=True,
        grade=_grade(ours, pairs),
        figure=_figure(found),
    )


def _count(subject: LanguageSubject, budget: Budget) -> int:
    each = tokens(subject.network.model.network.context)
    return subject.affordable(ID, PROMPTS, FEWEST, each, budget)


def tokens(context: int) -> int:
    """About how many tokens a prompt of each number of pairs has, all together."""
    return sum(min(context, TOKENS_OF_A_PAIR * pairs) for pairs in PAIRS)


def _found(subject: LanguageSubject, budget: Budget) -> dict[int, dict[str, Estimate]]:
    """How often each model finds the value, by the number of pairs; those that can be asked."""
    tokenizer = subject.network.model.tokenizer
    texts = subject.written(subject.documents("test"), MOST_BYTES)
    generator = subject.generator(ID, "words")
    words = begun(tokenizer, words_of(texts, generator))
    count, context = _count(subject, budget), subject.network.model.network.context
    found: dict[int, dict[str, Estimate]] = {}
    for pairs in PAIRS:
        generator = subject.generator(ID, pairs)
        made = (asked(tokenizer, words, pairs, generator) for _ in range(count))
        prompts = [p for p in made if p is not None and len(p.context) <= context]
        if len(prompts) < count:
            break  # more pairs need still more words and room
        found[pairs] = {
            name: wilson(_hits(model, prompts), len(prompts))
            for name, model in subject.models.items()
        }
    return found


def words_of(texts: Sequence[bytes], generator: np.random.Generator) -> list[str]:
    """Up to WORDS different words of texts, drawn at random."""
    text = b" ".join(texts)[:MOST_BYTES].decode("utf-8", errors="ignore")
    words = sorted(set(WORD.findall(text)))
    return [words[i] for i in generator.permutation(len(words))[:WORDS]]


def begun(tokenizer: Tokenizer, words: Sequence[str]) -> dict[str, int]:
    """Words with the token by which they differ from others behind a colon."""
    if len(words) < 2:
        return {}
    wholes = tokenizer.encode_batch([f"a: {word}" for word in words])
    same = _shared(wholes)
    return {
        w: int(codes[same]) for w, codes in zip(words, wholes, strict=True) if len(codes) > same
    }


def asked(
    tokenizer: Tokenizer, words: dict[str, int], pairs: int, generator: np.random.Generator
) -> Asked | None:
    """A prompt of so many pairs; None where these words, or the tokenizer, do not make one."""
    if len(words) < 4 * pairs:
        return None
    known = list(words)
    drawn = [known[i] for i in generator.permutation(len(known))]
    keys, rest = drawn[:pairs], drawn[pairs:]
    values = list({words[word]: word for word in reversed(rest)}.values())[-pairs:]
    if len(values) < pairs:
        return None
    right = int(generator.integers(pairs))
    lines = "".join(f"{key}: {value}\n" for key, value in zip(keys, values, strict=True))
    wholes = tokenizer.encode_batch([f"{lines}{keys[right]}: {value}" for value in values])
    same = _shared(wholes)
    if min(map(len, wholes)) <= same:
        return None
    candidates = np.array([int(whole[same]) for whole in wholes])
    if len(np.unique(candidates)) < pairs:
        return None
    context = np.concatenate([[tokenizer.end], wholes[0][:same]]).astype(np.int64)
    return Asked(context, candidates, right)


def _shared(wholes: Sequence[Array]) -> int:
    """How many tokens all have in common at their beginning."""
    shortest = min(map(len, wholes))
    rows = np.stack([whole[:shortest] for whole in wholes])
    differ = np.flatnonzero((rows != rows[0]).any(axis=0))
    return int(differ[0]) if len(differ) else shortest


def _hits(model: LanguageModel, prompts: Sequence[Asked]) -> int:
    """How often the right value is the likeliest of the candidates."""
    said = model.next_log_probs([prompt.context for prompt in prompts])
    chosen = [int(row[p.candidates].argmax()) for row, p in zip(said, prompts, strict=True)]
    return sum(c == p.right for c, p in zip(chosen, prompts, strict=True))


def _grade(ours: Estimate, pairs: int) -> Grade:
    if ours.low <= 1 / pairs:
        return "poor"
    return "good" if ours.value >= GOOD_ACCURACY else "fair"


def _sentence(found: dict[int, dict[str, Estimate]], pairs: int) -> str:
    ours, chance = found[pairs][NETWORK], 1 / pairs
    meaning = "it does find what it was told"
    if ours.low <= chance:
        meaning = "nothing shows that it finds what it was told"
    elif ours.value < GOOD_ACCURACY:
        meaning = "it finds what it was told more often than chance, and not reliably"
    most = max(found)
    more = ""
    if most > pairs:
        value = wording.percent(found[most][NETWORK].value)
        more = f" Of {most} pairs it is {value}, by chance {wording.percent(1 / most)}."
    rivals = ", ".join(
        f"{title(name)} in {wording.percent(estimate.value)}"
        for name, estimate in found[pairs].items()
        if name != NETWORK
    )
    return (
        f"Told {pairs} pairs of words that it cannot know and asked for one of them, the network "
        f"finds the right one of the {pairs} in {wording.percent(ours.value)} of cases "
        f"({between_shares(ours)}; chance is {wording.percent(chance)}"
        f"{', ' + rivals if rivals else ''}): {meaning}.{more}"
    )


def _figure(found: dict[int, dict[str, Estimate]]) -> Figure:
    places = list(found)
    series: list[dict[str, object]] = []
    for name in found[places[0]]:
        ends = [found[pairs][name] for pairs in places]
        line: dict[str, object] = {"name": short_title(name), "x": places}
        line["y"] = [end.value for end in ends]
        if name == NETWORK:
            line |= {"low": [end.low for end in ends], "high": [end.high for end in ends]}
        series.append(line)
    series.append({"name": "chance", "x": places, "y": [1 / pairs for pairs in places]})
    data = {"series": series, "x_label": "pairs in the prompt", "y_label": "share found"}
    return Figure("curves", data | {"log_x": False, "log_y": False})
