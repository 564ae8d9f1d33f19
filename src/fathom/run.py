"""Run: a finished run folder, to be read, reported and used for predicting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fathom.core.files import read_json
from fathom.core.record import Evidence, Record
from fathom.folders import BUNDLE, EVIDENCE, STORY, find_run
from fathom.report import Story, write_report

if TYPE_CHECKING:
    import pandas as pd

    from fathom.deployment.bundle import Bundle
    from fathom.deployment.language.bundle import LanguageBundle


@dataclass(frozen=True, repr=False)
class Run:
    """What `fathom.fit` gives back and `fathom.load` opens.

    `evidence` are the records, `story` what the report tells beside them. Nothing heavy is loaded
    until something is predicted.
    """

    folder: Path
    evidence: tuple[Record, ...]
    story: Story

    def __repr__(self) -> str:
        """One line, for a prompt."""
        return f"<Run {str(self.folder)!r}: {self.verdict}, {len(self.evidence)} records>"

    def __getitem__(self, id: str) -> Record:
        """The record with this id, such as `performance.accuracy`."""
        for record in self.evidence:
            if record.id == id:
                return record
        raise KeyError(id)

    @property
    def verdict(self) -> Any:
        """`network`, `baseline` or `level`."""
        return self["verdict"].value

    @cached_property
    def bundle(self) -> Bundle:
        """The network and the baseline, verified and ready to predict."""
        from fathom.deployment.bundle import load_bundle

        return load_bundle(self.folder / BUNDLE)

    @cached_property
    def language(self) -> LanguageBundle:
        """The network of language and the n-grams of a run on a corpus, verified.

        `language.sampler` writes, `language.network` says how likely texts are. Raises PlanError
        where the run has learned something else.
        """
        from fathom.deployment.language.bundle import find_language_bundle, load_language_bundle

        return load_language_bundle(find_language_bundle(self.folder))

    def sample(self, prompt: str | Sequence[str] = "", **sampling: Any) -> Any:
        """What the network of language writes behind a prompt: its text, or one for each prompt.

        `sampling` are max_tokens, temperature, top_k, top_p and seed; see `inference.Sampling`.
        """
        from fathom.inference.sampler import Sampling

        sampler, how = self.language.sampler, Sampling(**sampling)
        if isinstance(prompt, str):
            return sampler.sample(prompt, how).text
        return [written.text for written in sampler.sample_several(prompt, how)]

    def predict(self, data: object, *, model: str | None = None) -> pd.DataFrame:
        """Predict a file, a folder, a DataFrame or an array: one row for each of its rows.

        `model` is 'network' or 'baseline'; by default the one that was better on validation.
        """
        from fathom.deployment.predict import predict

        return predict(self.bundle, data, model=model).frame

    def report(self) -> Path:
        """Write report.html and card.md anew from the evidence; return the report's path."""
        return write_report(self.folder, self.evidence, self.story)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from html import escape

        from fathom.report import summary_lines

        lines = summary_lines(self.evidence, self.story)
        return "<pre>" + escape("\n".join(lines)) + "</pre>"


def load(run: str | Path) -> Run:
    """Open a run folder, or a run's name under runs/. Raises ArtefactError naming what is wrong."""
    folder = find_run(run)
    evidence = read_json(folder / EVIDENCE, Evidence)
    return Run(folder, evidence.records, read_json(folder / STORY, Story))
