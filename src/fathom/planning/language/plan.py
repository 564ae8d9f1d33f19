"""LanguagePlan: everything that decides the result of a run on a corpus. `plan.yaml` on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct

from fathom.core.errors import PlanError
from fathom.core.files import write_atomic
from fathom.data.corpus.tokenizing import TokenizerKind
from fathom.networks.language import LanguageSpec
from fathom.planning.overrides import misfit
from fathom.planning.plan import PLAN_FORMAT
from fathom.tasks.language import LANGUAGE
from fathom.training.settings import TrainingSpec


class CorpusPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """What is read, and how it is cut into tokens. `digest` is the content's SHA-256.

    `text_field` names the field of JSON Lines that holds the text; None finds it. `vocabulary` is
    the number of tokens; of bpe it may be set. `near_duplicates`: whether near duplicates were
    looked for, to keep them on one side of splits. Of a text that is longer than the time suffices
    for, `most_bytes` train.
    """

    source: str
    test: str | None = None
    task: Literal["language"] = "language"
    text_field: str | None = None
    tokenizer: TokenizerKind = "bpe"
    vocabulary: int | None = None
    near_duplicates: bool | None = None
    documents: int = 0
    bytes: int = 0
    most_bytes: int | None = None
    train_tokens: int = 0
    digest: str = ""


class BeginPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """The run, or the folder in Hugging Face's format, that training goes on from, if any.

    `digest` is the SHA-256 of its weights, `licence` what they may be used under.
    """

    source: str = ""
    digest: str = ""
    licence: str = ""


class NgramPlan(Struct, frozen=True, forbid_unknown_fields=True):
    """The n-gram model: its order, and how many tokens it has counted (None: all)."""

    order: int
    limit: int | None = None


class LanguagePlan(Struct, frozen=True, forbid_unknown_fields=True):
    """A resolved plan. `ngrams` is None where they were not fitted yet.

    `evidence` maps splits to how many tokens of them are read; `seconds` says how the budget was
    shared out; `why` maps a dotted key to a sentence.
    """

    name: str
    seed: int
    data: CorpusPlan
    begin: BeginPlan
    network: LanguageSpec
    training: TrainingSpec
    ngrams: NgramPlan | None
    evidence: dict[str, int]
    budget_seconds: float | None
    seconds: dict[str, float]
    environment: dict[str, Any]
    why: dict[str, str]
    format_version: int = PLAN_FORMAT


def to_yaml(plan: LanguagePlan) -> str:
    """The plan as YAML text, in the order of its fields."""
    return yaml.safe_dump(msgspec.to_builtins(plan), sort_keys=False, allow_unicode=True, width=100)


def save_plan(plan: LanguagePlan, path: Path) -> None:
    """Write `plan.yaml` atomically."""
    write_atomic(path, to_yaml(plan).encode())


def is_language(content: Any) -> bool:
    """Whether what was read from a `plan.yaml` is the plan of a run on a corpus."""
    data = content.get("data") if isinstance(content, dict) else None
    return isinstance(data, dict) and data.get("task") == LANGUAGE


def plan_of(content: Any, path: Path) -> LanguagePlan:
    """The plan that was read from a file. Raises PlanError for a value that does not fit."""
    try:
        return msgspec.convert(content, LanguagePlan, strict=False)
    except msgspec.ValidationError as error:
        raise PlanError(f"{path} does not fit: {misfit(error, content)}") from None


def identity_of(plan: LanguagePlan, splits: str) -> str:
    """A SHA-256 of all that decides the weights; `splits` stand for who trains on what.

    What only tells of them (reasons, times, versions) does not count.
    """
    told = ("why", "seconds", "environment", "name", "evidence", "ngrams", "budget_seconds")
    decisive = {k: v for k, v in msgspec.to_builtins(plan).items() if k not in told}
    content = hashlib.sha256(msgspec.json.encode(decisive, order="sorted"))
    content.update(splits.encode())
    return content.hexdigest()
