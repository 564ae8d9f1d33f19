"""Prepare: from a request to a corpus in splits, as tokens; the same for `fit` and `inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np

from fathom import folders
from fathom.core.budget import Budget
from fathom.core.errors import ArtefactError, DataError, PlanError
from fathom.core.files import write_atomic
from fathom.core.language import Documents
from fathom.core.progress import Progress
from fathom.core.randomness import numpy_generator
from fathom.core.record import Record
from fathom.data.corpus.documents import Corpus
from fathom.data.corpus.encode import encode_corpus
from fathom.data.corpus.facts import facts, seen_before
from fathom.data.corpus.learned import Learned
from fathom.data.corpus.reading import Source, open_corpus
from fathom.data.corpus.splitting import CorpusSplits, split_documents
from fathom.data.corpus.survey import Survey, survey
from fathom.data.corpus.token_files import token_folder
from fathom.data.corpus.tokenizing import (
    Tokenizer,
    TokenizerKind,
    choose_vocabulary,
    train_tokenizer,
    training_texts,
)
from fathom.planning.language.beginning import Beginning
from fathom.planning.language.request import LanguageRequest
from fathom.planning.overrides import convert

# On a processor every token of the vocabulary costs time in the head of each step, which only a
# longer run gets back: below so many seconds a vocabulary has at most so many tokens.
SMALL_VOCABULARY, SMALL_BUDGET = 2048, 1800.0
USEFUL_RATE = {"cpu": 400e3, "cuda": 20e6}  # bytes of text for each second of the budget


@dataclass(frozen=True)
class Prepared:
    """A corpus, ready to be learned from. `splits` has the four documents' sets by name.

    `why` says how the tokens were chosen; of a long text `most_bytes` train; `beginning` is what
    training goes on from, if anything.
    """

    corpus: Corpus
    survey: Survey
    parted: CorpusSplits
    tokenizer: Tokenizer
    splits: dict[str, Documents]
    records: tuple[Record, ...]
    beginning: Beginning | None
    why: dict[str, str]
    most_bytes: int | None

    @property
    def vocabulary(self) -> int:
        """How many tokens a network says the chances of.

        That of a beginning may have more than its tokenizer, which are then never read.
        """
        known = self.tokenizer.size
        return known if self.beginning is None else max(known, self.beginning.vocabulary)

    @property
    def learned(self) -> Learned:
        """The documents that something is learned or chosen from, also by a beginning."""
        own = self.parted.learned(self.survey.hashes)
        before = None if self.beginning is None else self.beginning.learned
        return own if before is None else before.joined(own)

    def texts(self, split: str, most_bytes: int) -> list[bytes]:
        """The first documents of a split as they were written, at most so many bytes of them.

        Of training documents, which stand in the order of the corpus, some are drawn.
        """
        documents = self.splits[split]
        order = np.arange(len(documents))
        if split == "train":
            order = numpy_generator(0, "training texts").permutation(order)
        found, left = [], most_bytes
        for i in order:
            if left <= 0:
                break
            found.append(self.tokenizer.decode_bytes(documents.document(int(i))[:-1])[:left])
            left -= len(found[-1])
        return found


def prepare_corpus(
    request: LanguageRequest, beginning: Beginning | None, budget: Budget, progress: Progress
) -> Prepared:
    """All that comes before a plan. Raises DataError for a text that cannot be learned from."""
    if beginning is not None:
        _refuse_settings(request)
    progress.stage("reading the corpus")
    asked = _setting(request, "text_field")
    field = None if asked is None else str(asked)
    corpus = open_corpus(source_of(request.source), text_field=field, progress=progress)
    near = _near(request)
    surveyed = survey(corpus, near=near, progress=progress, budget=budget)
    test = (
        None
        if request.test is None
        else open_corpus(source_of(request.test), text_field=field, progress=progress)
    )
    given = None if test is None else survey(test, near=surveyed.near, progress=progress)
    known = None if beginning is None else beginning.learned
    parted = split_documents(surveyed, request.seed, given, known)
    most = _most_bytes(request, budget)
    parted = parted if most is None else parted.thinned(most, request.seed)
    progress.stage("cutting into tokens")
    tokenizer, why = _tokenizer(request, corpus, parted, beginning, budget)
    if request.folder is not None:
        write_atomic(request.folder / folders.TOKENIZER, tokenizer.to_json().encode())
    splits = encode_corpus(
        corpus, parted, tokenizer, test=test, progress=progress, folder=token_folder()
    )
    for problem in parted.problems:
        progress.say(f"{problem.where}: {problem.reason}.")
    return Prepared(
        corpus=corpus,
        survey=surveyed,
        parted=parted,
        tokenizer=tokenizer,
        splits={name: _mingled(name, part, request.seed) for name, part in splits.items()},
        records=(
            *facts(surveyed, parted, splits, tokenizer, corpus.left_out),
            *(() if beginning is None else (seen_before(given, known),)),
        ),
        beginning=beginning,
        why=why,
        most_bytes=most,
    )


def _mingled(split: str, documents: Documents, seed: int) -> Documents:
    """Held-out documents in an order of chance, so that the first of them stand for all."""
    if split == "train" or len(documents) < 2:
        return documents
    order = numpy_generator(seed, "order of documents", split).permutation(len(documents))
    return documents.take(order)


def _near(request: LanguageRequest) -> bool | None:
    """Whether near duplicates are looked for; None where the time for it decides.

    With a number of steps nothing may depend on a clock: they always are.
    """
    asked = _setting(request, "near_duplicates")
    if asked is not None:
        return bool(asked)
    return True if request.steps is not None else None


def source_of(source: object) -> Source:
    """A source as one of those that a corpus can be. Raises DataError for anything else."""
    if isinstance(source, str | PathLike):
        return source
    if isinstance(source, Sequence):
        return source
    raise DataError(
        f"A corpus cannot be read from a {type(source).__name__}: give a path, a list of paths, or "
        "a list of texts."
    )


def _most_bytes(request: LanguageRequest, budget: Budget) -> int | None:
    """How much training text can be read once at all in the time, roughly, and with some to spare.

    Without a clock all of it is read.
    """
    asked = _setting(request, "most_bytes")
    if isinstance(asked, int):
        return asked
    if request.plan is not None or request.steps is not None:
        return None
    rate = USEFUL_RATE.get(request.device.partition(":")[0], USEFUL_RATE["cpu"])
    return int(rate * budget.seconds)


def _setting(request: LanguageRequest, key: str) -> object:
    """What the plan that is repeated, or the user, says of the data."""
    return getattr(request.plan.data, key) if request.plan else request.data_setting(key)


def _tokenizer(
    request: LanguageRequest,
    corpus: Corpus,
    parted: CorpusSplits,
    beginning: Beginning | None,
    budget: Budget,
) -> tuple[Tokenizer, dict[str, str]]:
    """The tokenizer, and why: that of a beginning, of an interrupted run, or one trained now."""
    if beginning is not None:
        return beginning.tokenizer, {"data.tokenizer": "It is that of the network gone on with."}
    kept = _kept(request.folder) if request.folder is not None and request.plan else None
    if kept is not None:
        return kept, {}
    kind = convert(_setting(request, "tokenizer") or "bpe", TokenizerKind, "data.tokenizer")
    size = _setting(request, "vocabulary")
    why = {
        "data.tokenizer": "Byte pairs that are frequent here become tokens, and no text is lost."
        if kind == "bpe"
        else "was set by the user."
    }
    if kind == "bpe" and size is None:
        size, why["data.vocabulary"] = choose_vocabulary(parted.bytes["train"])
        if request.device == "cpu" and budget.seconds < SMALL_BUDGET and size > SMALL_VOCABULARY:
            size = SMALL_VOCABULARY
            why["data.vocabulary"] = (
                f"{size:,} tokens: more would shorten the text, but a processor would not make "
                "good in this time what each costs in every step."
            )
    if kind != "bpe" and size is not None and request.plan is None:
        raise PlanError(f"data.vocabulary can be set of the tokenizer bpe alone, not of {kind}.")
    texts = training_texts(corpus, parted)
    wanted = int(size) if isinstance(size, int) and kind == "bpe" else None
    return train_tokenizer(kind, texts, vocabulary=wanted), why


def _kept(folder: Path) -> Tokenizer | None:
    """The tokenizer that an interrupted run has left in its folder."""
    path = folder / folders.TOKENIZER
    if not path.exists():
        return None
    try:
        return Tokenizer.from_json(path.read_bytes().decode())
    except (ArtefactError, UnicodeDecodeError) as error:
        raise ArtefactError(
            f"{path} is damaged ({error}): restore it, or leave --resume out to begin anew."
        ) from None


def _refuse_settings(request: LanguageRequest) -> None:
    for key in ("tokenizer", "vocabulary"):
        if request.plan is None and request.data_setting(key) is not None:
            raise PlanError(
                f"data.{key} cannot be set with --from: the network goes on with its own tokens."
            )
