"""What can be believed of a network of language: one file for each kind of evidence."""

from __future__ import annotations

from fathom.core.registry import Registry
from fathom.evidence.language import (
    anatomy,
    calibration,
    comparison,
    context,
    cost,
    gap,
    heads,
    in_context,
    memorisation,
    overlap,
    performance,
    samples,
    training,
)
from fathom.evidence.language.subject import LanguageSubject
from fathom.evidence.measure import Measure

# The order of registration is the order in which evidence is gathered: what decides comes first.
KINDS = (
    performance,
    comparison,
    overlap,
    gap,
    context,
    in_context,
    calibration,
    memorisation,
    samples,
    training,
    anatomy,
    heads,
    cost,
)

LANGUAGE_EVIDENCE: Registry[Measure] = Registry("kind of evidence of language")
for _kind in KINDS:
    LANGUAGE_EVIDENCE.register(_kind.measure.name)(_kind.measure)

__all__ = ["KINDS", "LANGUAGE_EVIDENCE", "LanguageSubject"]
