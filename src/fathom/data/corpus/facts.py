"""Facts: what the report says of a corpus before anything is learned from it."""

from __future__ import annotations

from collections.abc import Mapping

from fathom.core.language import Documents
from fathom.core.quantities import prefixed
from fathom.core.record import Record
from fathom.data.corpus.learned import Learned
from fathom.data.corpus.splits import CorpusSplits
from fathom.data.corpus.survey import METHOD, Survey
from fathom.data.corpus.tokenizing import Tokenizer, TokenizerKind

KINDS: dict[TokenizerKind, str] = {
    "bpe": "frequent runs of bytes",
    "char": "characters",
    "byte": "bytes",
    "pretrained": "as the network that is gone on with has them",
}
LITTLE = 1_000_000  # bytes of training text, below which a network learns spelling before anything


def facts(
    survey: Survey,
    parted: CorpusSplits,
    splits: Mapping[str, Documents],
    tokenizer: Tokenizer,
    left_out: str = "",
) -> list[Record]:
    """`data.size`, `data.duplicates`, `data.tokens`, and `data.straddlers` of a given test."""
    records = [_size(survey, parted, left_out), _duplicates(survey, parted)]
    if parted.straddlers is not None:
        records.append(_straddlers(parted))
    return [*records, _tokens(splits["train"], tokenizer)]


def _size(survey: Survey, parted: CorpusSplits, left_out: str) -> Record:
    little = parted.bytes["train"] < LITTLE
    hint = " That is little: a network learns spelling and words before it learns what they mean."
    return Record(
        "data.size",
        "data",
        sentence=(
            f"{survey.called} holds {_plural(survey.documents, 'document')} with "
            f"{prefixed(survey.bytes, 'B')} of text.{hint if little else ''} {left_out}"
        ).strip(),
        value=float(survey.bytes),
        unit="bytes",
        n=survey.documents,
        method="bytes of UTF-8",
        grade="fair" if little else "good",
    )


def _duplicates(survey: Survey, parted: CorpusSplits) -> Record:
    found = parted.repeated
    share = (found.copies + found.near) / max(survey.documents, 1)
    near = (
        f"Near duplicates were not looked for: {found.why_not}."
        if found.why_not
        else f"{found.near:,} are nearly equal to others."
    )
    return Record(
        "data.duplicates",
        "data",
        sentence=(
            f"{_plural(found.copies, 'document')} of {survey.documents:,} "
            f"{'is a copy' if found.copies == 1 else 'are copies'} of others. {near} Documents "
            "that are alike as a whole stand on one side of the splits."
        ),
        value=share,
        unit="share",
        n=survey.documents,
        method=METHOD,
        higher_is_better=False,
        grade="good" if share < 0.05 else "fair",
    )


def _straddlers(parted: CorpusSplits) -> Record:
    assert parted.straddlers is not None
    assert parted.given is not None
    count, total = len(parted.straddlers.test), len(parted.given)
    return Record(
        "data.straddlers",
        "data",
        sentence=(
            f"{count:,} of {total:,} documents of the given test also stand in the training text, "
            f"{len(parted.straddlers.test_exact):,} of them exactly."
            + (" What is measured on test is too good by that." if count else "")
        ),
        value=count / max(total, 1),
        unit="share",
        n=total,
        split="test",
        method=METHOD,
        higher_is_better=False,
        grade="poor" if count > 0.01 * total else "fair" if count else "good",
    )


def seen_before(given: Survey | None, known: Learned | None) -> Record:
    """`data.seen`: whether a network that is gone on with has learned from the test before."""
    if known is None:
        return Record(
            "data.seen",
            "data",
            sentence=(
                "What the network that is gone on with was trained on is not known: if it has read "
                "the test text before, what is measured here is too good."
            ),
            split="test",
            value="not known",
            grade="fair",
        )
    count = 0 if given is None else int((known.find(given.hashes) >= 0).sum())
    total = 0 if given is None else given.documents
    return Record(
        "data.seen",
        "data",
        sentence=(
            "No document that the network gone on with has learned from is held out; parts of one "
            "that stand in another are not looked for."
            if given is None
            else f"{count:,} of {total:,} documents of the given test were learned from, "
            "whole or in part, by the network that is gone on with."
        ),
        value=float(count),
        n=total or None,
        split="test",
        method="hashes of whole documents, which the bundle keeps",
        higher_is_better=False,
        grade="poor" if count else "good",
    )


def _tokens(train: Documents, tokenizer: Tokenizer) -> Record:
    each = float(train.sizes.sum()) / max(train.predicted, 1)
    return Record(
        "data.tokens",
        "data",
        sentence=(
            f"The text is read as {tokenizer.size:,} kinds of tokens, {KINDS[tokenizer.kind]}: "
            f"{train.predicted:,} tokens to train on, {each:.2f} bytes each."
        ),
        value=each,
        unit="bytes a token",
        n=train.predicted,
        split="train",
        method="counted, the ends of documents included",
    )


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
