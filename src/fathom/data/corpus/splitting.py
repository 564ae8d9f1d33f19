"""Splitting a corpus: train, validation, calibration and test text, so that nothing leaks.

Whole documents where there are enough of them, copies and near duplicates on one side. A few
documents, such as one book, and documents far larger than the others are cut by position instead:
the beginning trains, what follows is held out, the end is the test. Beside a test that was given
the middle is held out: often the test is what comes next, of which the end of the text tells most.
A split is a pure function of corpus, seed, and what a network that is gone on with has learned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.core.quantities import prefixed
from fathom.core.randomness import numpy_generator
from fathom.data.corpus.alike import Units, find_straddlers, find_units
from fathom.data.corpus.learned import Learned, nothing_learned
from fathom.data.corpus.splits import PARTS, CorpusSplits, Cut, Straddlers, whole
from fathom.data.corpus.survey import Survey

__all__ = ["PARTS", "CorpusSplits", "Cut", "Straddlers", "split_documents", "whole"]

# Validation chooses among a few, calibration sets one temperature: little text suffices for both.
SHARES = {"validation": 0.02, "calibration": 0.015, "test": 0.05}
LEAST = {"validation": 16_000, "calibration": 12_000, "test": 20_000}
"""Bytes below which nothing can be measured: of a short text its share is larger …"""
MOST_SHARES = {"validation": 0.08, "calibration": 0.06, "test": 0.10}
"""… but no larger than this."""
CAPS = {"validation": 2_000_000, "calibration": 1_000_000, "test": 4_000_000}
"""More bytes than these hardly narrow an interval, and are better spent on training."""
FEW = 20  # documents below which shares cannot be made of whole ones
LARGE = 2.0  # times the largest held-out part, above which a document is cut
LEAST_BYTES = 10_000
OVERFULL = 1.1  # times its share that a part may get by a whole document
ROOM = 0.8  # of what was not learned: cuts are made a little further on than they are planned

Targets = dict[str, int]
Cuts = dict[int, tuple[Cut, ...]]


def split_documents(
    survey: Survey,
    seed: int = 0,
    given_test: Survey | None = None,
    known: Learned | None = None,
) -> CorpusSplits:
    """The part of every document, or of its stretches. With `given_test` there is no test part.

    What is `known`, and what is alike to it, is not held out: a network that is gone on with has
    learned from it. Raises DataError where there is less text than it takes.
    """
    if survey.bytes < LEAST_BYTES:
        raise DataError(
            f"{survey.called} holds {survey.bytes:,} bytes of text, too few to learn language "
            f"from: give {LEAST_BYTES:,} or more, better some hundred thousand."
        )
    targets = _targets(survey.bytes, given=given_test is not None)
    units = find_units(survey)
    large = (units.counts == 1) & (units.sizes > LARGE * max(targets.values()))
    parting = _parting(survey, units, targets, known, given=given_test is not None)
    if (~large).sum() < FEW:
        part, cuts, way = _by_position(survey, units, parting)
    else:
        part, cuts, way = _by_documents(survey.sizes, units, large, parting, seed)
    splits = CorpusSplits(part, survey.sizes, cuts, way, survey.digest, units.repeated)
    if given_test is not None:
        straddlers = find_straddlers(survey, given_test, part == PARTS.index("train"))
        splits = replace(
            splits, given=given_test.sizes, given_digest=given_test.digest, straddlers=straddlers
        )
    _demand_all(survey, splits, targets, known=known is not None)
    return replace(splits, how=_sentence(splits))


def _targets(size: int, *, given: bool) -> Targets:
    """Bytes of each part that is to be cut off, the largest first."""
    names = ("validation", "calibration") if given else ("test", "validation", "calibration")
    return {name: _target(name, size) for name in names}


def _target(name: str, size: int) -> int:
    least = min(LEAST[name], MOST_SHARES[name] * size)
    return min(CAPS[name], round(max(SHARES[name] * size, least)))


@dataclass(frozen=True)
class _Parting:
    """How units (U,) are parted: `barred` ones train whole, of `unlearned` ones nothing is known.

    `kept` (U, 2) are the bytes within which what is held out of a unit has to lie.
    """

    targets: Targets
    given: bool
    barred: Array
    unlearned: Array
    kept: Array


def _parting(
    survey: Survey, units: Units, targets: Targets, known: Learned | None, *, given: bool
) -> _Parting:
    """Raises DataError where a network that is gone on with has learned from all units."""
    known = nothing_learned() if known is None else known
    places = known.find(survey.hashes)
    kept = np.stack([np.zeros_like(survey.sizes), survey.sizes], axis=1)
    kept[places >= 0] = known.kept[places[places >= 0]]
    learned = np.zeros(len(units.sizes), dtype=bool)
    learned[units.of[places >= 0]] = True
    own = kept[units.first]
    # Where several are alike, what was learned of one stands elsewhere in the others.
    barred = learned & ((units.different > 1) | (own[:, 0] >= own[:, 1]))
    if barred.all():
        raise DataError(
            f"The network that is gone on with has learned from every document of {survey.called}, "
            "or one alike: nothing is left to measure it on. Add other text."
        )
    return _Parting(targets, given, barred, ~learned, own)


def _by_documents(
    sizes: Array, units: Units, large: Array, parting: _Parting, seed: int
) -> tuple[Array, Cuts, str]:
    """Whole units at random, `large` (U,) ones cut by position; each kind gives its share.

    Only the end of a document is held out where that is larger than the part it was drawn for.
    """
    part, total = np.zeros(len(sizes), dtype=np.int8), int(sizes.sum())
    large = large & ~parting.barred
    cuts = {
        int(units.first[u]): _cuts(int(units.sizes[u]), total, parting, unit=int(u))
        for u in np.flatnonzero(large)
    }
    free = ~large & parting.unlearned
    share = int(units.sizes[~large].sum()) / total
    for name, target in parting.targets.items():
        code, wanted = PARTS.index(name), max(1, round(target * share))
        order = numpy_generator(seed, "corpus", name).permutation(np.flatnonzero(free))
        chosen = _filling(units, order, wanted)
        free[chosen] = False
        single = (units.counts[chosen] == 1) & (units.sizes[chosen] > OVERFULL * wanted)
        part[np.isin(units.of, chosen[~single])] = code
        for i in units.first[chosen[single]]:
            cuts[int(i)] = (Cut(int(sizes[i]) - wanted, code),)
    way = "whole documents at random"
    if not parting.unlearned.all():
        way += ", but none that the network gone on with has learned from"
    if cuts:
        one = len(cuts) == 1
        way += f", but of {len(cuts):,} large {'one' if one else 'ones'} only stretches"
    return part, cuts, way


def _filling(units: Units, order: Array, target: int) -> Array:
    """The first units in that order which make up about `target` bytes.

    A single document counts as no more than that, since its end may be enough; several that are
    alike are taken only where they fit, unless nothing else is there.
    """
    sizes = units.sizes[order]
    held = np.where(units.counts[order] == 1, np.minimum(sizes, target), sizes)
    chosen, total = [], 0
    for unit, size in zip(order, held, strict=True):
        if total + size <= OVERFULL * target:
            chosen.append(unit)
            total += int(size)
        if total >= target / OVERFULL:
            break
    fallback = [order[held.argmin()]] if len(order) else []
    return np.array(chosen or fallback, dtype=np.int64)


def _by_position(survey: Survey, units: Units, parting: _Parting) -> tuple[Array, Cuts, str]:
    """Every document is cut: training first, then validation, calibration and test.

    Copies are cut alike. Documents that nearly equal others cannot be, and train whole if the rest
    is at least half of the text; so do those that are short beside the others, and those that were
    learned from before.
    """
    sizes, barred = survey.sizes, parting.barred[units.of]
    alike = (units.different > 1)[units.of]
    kept_whole = bool(alike.any()) and 2 * int(sizes[alike].sum()) <= survey.bytes
    cuttable = ~barred & ~alike if kept_whole else ~barred
    cuttable &= 2 * sizes >= sizes[cuttable].sum() / max(1, cuttable.sum())
    total = int(sizes[cuttable].sum())
    cuts = {
        int(i): _cuts(int(sizes[i]), total, parting, unit=int(units.of[i]))
        for i in np.flatnonzero(cuttable)
    }
    if len(sizes) == 1:
        what = "the document was"
    else:
        what = f"{len(cuts):,} of the {len(sizes):,} documents, too few to keep whole, were"
    held = [name for name in PARTS if name == "train" or name in parting.targets]
    again = any(own[-1].part == PARTS.index("train") for own in cuts.values())
    way = f"{what} cut by position, at ends of paragraphs or lines: "
    way += ", ".join([*held, "train again"] if again else held)
    if alike.any():
        rest = "train whole" if kept_whole else "may straddle the parts"
        way += f"; {int(alike.sum()):,} that nearly equal others {rest}"
    if barred.any():
        way += f"; {int(barred.sum()):,} that were learned from before train whole"
    return np.zeros(len(sizes), dtype=np.int8), cuts, way


def _cuts(size: int, total: int, parting: _Parting, *, unit: int) -> tuple[Cut, ...]:
    """Where the held-out stretches of a document begin, which has its share of each.

    They lie at its end, or in the middle beside a given test, and always in what was not learned.
    """
    start, end = map(int, parting.kept[unit])
    middle = end < size or (parting.given and start == 0)
    names = [name for name in PARTS if name in parting.targets]
    spans = [parting.targets[name] * size // total for name in names]
    room = int(ROOM * (end - start)) if middle else end - start
    spans = [span * min(room, sum(spans)) // max(1, sum(spans)) for span in spans]
    first = (start + end - sum(spans)) // 2 if middle else end - sum(spans)
    codes = [PARTS.index(name) for name in names] + [PARTS.index("train")] * middle
    return tuple(map(Cut, list(accumulate(spans, initial=first)), codes))


def _demand_all(survey: Survey, splits: CorpusSplits, targets: Targets, *, known: bool) -> None:
    """Raises DataError where a part has no text."""
    found = splits.bytes
    empty = [name for name in PARTS if (name == "train" or name in targets) and not found[name]]
    if empty and known:
        raise DataError(
            f"The network that is gone on with has learned from nearly all of {survey.called}: too "
            f"little other text is left for {' and '.join(empty)}. Add text that it has not read."
        )
    if empty:
        raise DataError(
            f"{survey.called} cannot be split: of its {len(survey):,} documents "
            f"{len(np.unique(survey.hashes)):,} are different, and no text is left for "
            f"{' and '.join(empty)}; give more text, or longer documents."
        )


def _sentence(splits: CorpusSplits) -> str:
    """The sizes, the way, and what was kept together."""
    found, counts, repeated = splits.bytes, splits.documents, splits.repeated
    parts = ", ".join(f"{prefixed(found[name], 'B')} {name}" for name in PARTS)
    numbers = "/".join(f"{counts[name]:,}" for name in PARTS)
    said = [f"{parts} ({numbers} documents)" if len(splits) > 1 else parts, splits.how]
    if not splits.how.startswith("the document"):
        kept = [f"{repeated.copies:,} copies of others"] if repeated.copies else []
        if repeated.near and "nearly equal" not in splits.how:
            kept.append(f"{repeated.near:,} near duplicates")
        if kept:
            said.append(f"{' and '.join(kept)} kept together")
        if repeated.why_not:
            said.append(f"near duplicates not looked for, since {repeated.why_not}")
    if splits.given is not None:
        said.append("test as given")
    return "; ".join(said) + "."
