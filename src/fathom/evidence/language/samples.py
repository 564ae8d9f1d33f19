"""How good is what it writes? Beginnings of unseen texts are gone on with, as by `Sampler` itself.

What the network writes is held against what really stands there, which is equally long: how much it
repeats itself, how varied it is (distinct runs of words, Li et al. 2016, arXiv 1510.03055), and how
much of it stands in the training text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from fathom.core.budget import Budget
from fathom.core.prediction import Array
from fathom.core.record import Figure, Grade, Record, not_applicable
from fathom.evidence import wording
from fathom.evidence.intervals import Estimate
from fathom.evidence.language.estimates import between_shares, interval_of, mean_over_units
from fathom.evidence.language.judging import cut, places_within
from fathom.evidence.language.runs import MOST_TOKENS, SECONDS_PER_TOKEN, Runs, run_of_letters
from fathom.evidence.language.subject import LanguageSubject
from fathom.evidence.measure import evidence
from fathom.inference.sampler import Sampler, Sampling

SAMPLES, FEWEST, SHOWN = 16, 4, 3
PROMPT, WRITTEN = 16, 200  # tokens that are given, and that are written at most
SHORTEST = 32  # tokens of a text that is judged
REPEATED, DISTINCT = 4, 2  # words of a run
PIECES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|\w+|[^\w\s]")
# Over the repetition of real text: five points more are seen by nobody, twenty by everybody.
GOOD_MORE, FAIR_MORE = 0.05, 0.20
IDS = ("samples.repetition", "samples.distinct", "samples.copied")


def _seconds(subject: LanguageSubject) -> float:
    known = min(subject.splits["train"].predicted, MOST_TOKENS)
    return 0.2 + step_seconds(subject) * WRITTEN + SECONDS_PER_TOKEN * known


def step_seconds(subject: LanguageSubject) -> float:
    """About how long one more token of each of the samples takes; timed over a few, on validation."""
    if "step" not in subject._rates:
        end = subject.network.model.tokenizer.end
        begun = [np.array([end])] * SAMPLES
        for _ in Sampler(subject.network.model).steps(begun, Sampling(max_tokens=2)):
            started = perf_counter()
        subject._rates["step"] = perf_counter() - started
    return subject._rates["step"]
