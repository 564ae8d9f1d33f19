"""Inspection of a corpus: what `fathom inspect` says of it, and the plan that would run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fathom.core.budget import Budget
from fathom.core.progress import Progress
from fathom.core.record import MARKS, Record
from fathom.language.beginning import begin_from
from fathom.planning.language.plan import LanguagePlan, to_yaml
from fathom.planning.language.prepare import prepare_corpus
from fathom.planning.language.request import make_language_request
from fathom.planning.language.resolve import resolve_language
from fathom.planning.language.rivals import NGRAM_SHARE


@dataclass(frozen=True)
class CorpusInspection:
    """What was found of the text, and the plan; `text()` is for a terminal."""

    records: tuple[Record, ...]
    split: str
    plan: LanguagePlan

    def text(self) -> str:
        """All of it as plain text."""
        return "\n".join(
            [
                "Task: language. What comes next in the text is to be learned.",
                "",
                "Text",
                *(f"  {MARKS[r.grade]} {r.sentence}" for r in self.records),
                "",
                "Split",
                f"  {self.split}",
                "",
                "The plan that would run (--set KEY=VALUE fixes a key of network and training, and",
                "data.tokenizer, .vocabulary, .text_field, .near_duplicates and .most_bytes)",
                *("  " + line for line in to_yaml(self.plan).splitlines()),
            ]
        )


def inspect_corpus(
    source: object,
    settings: Mapping[str, Any],
    *,
    clock: Budget,
    seed: int,
    device: str,
    progress: Progress,
    begin: str | None = None,
    **options: Any,
) -> CorpusInspection:
    """Look at a corpus without training: the network is timed, and nothing is written."""
    request = make_language_request(
        source,
        settings,
        begin=begin,
        budget_seconds=clock.seconds,
        seed=seed,
        device=device,
        **options,
    )
    prepared = prepare_corpus(request, begin_from(request.begin), clock, progress)
    left = Budget(clock.seconds, clock.started, already=NGRAM_SHARE * clock.seconds)
    plan = resolve_language(request, prepared, None, left, progress)
    return CorpusInspection(prepared.records, prepared.parted.how, plan)
