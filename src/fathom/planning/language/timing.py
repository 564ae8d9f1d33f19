"""Timing: the fastest way to train a network of language on this machine, found by trying."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fathom.core.progress import Progress
from fathom.networks.language import LstmSpec
from fathom.planning.environment import cores
from fathom.planning.language.draft import Draft
from fathom.planning.probe import CLEARLY, COMPILE_BUDGET, compiling_pays
from fathom.training.language import LanguageFit
from fathom.training.speed import StepTiming, measure_speed

TIMINGS = 4  # of a network: as it is, with other threads, precision, compiled


@dataclass(frozen=True)
class Timed:
    """A draft and what a step of it takes."""

    draft: Draft
    step: StepTiming


@dataclass(frozen=True)
class Timer:
    """Times drafts, each for about `seconds`. `fit` makes of a draft what can be timed."""

    fit: Callable[[Draft], LanguageFit]
    seconds: float
    device: str
    progress: Progress

    def time(self, draft: Draft) -> Timed:
        """What a step of the draft takes, as it is."""
        return Timed(draft, measure_speed(self.fit(draft), seconds=self.seconds))

    def fastest(self, timed: Timed, left: float) -> Timed:
        """The fastest of threads and precisions, compiled where that pays in `left` seconds."""
        told = [_told(timed)]
        for key, value in self._choices(timed.draft):
            self.progress.advance(len(told), TIMINGS, "timing the network")
            other = self.time(timed.draft.trained(**{key: value}))
            told.append(_told(other))
            if other.step.median < CLEARLY * timed.step.median:
                timed = other
        said = f"Milliseconds a step: {'; '.join(told)}."
        timed = Timed(timed.draft.because(precision=said), timed.step)
        kind = self.device.partition(":")[0]
        return self._compiled(timed, left) if left >= COMPILE_BUDGET.get(kind, left + 1) else timed

    def _choices(self, draft: Draft) -> list[tuple[str, Any]]:
        """What else is worth timing: a key of the training section, and its other value."""
        choices: list[tuple[str, Any]] = []
        if self.device == "cpu" and cores() > 1:
            choices.append(("threads", 1))
        if draft.training.precision == "bfloat16":
            choices.append(("precision", "float32"))
        return [(key, value) for key, value in choices if f"training.{key}" not in draft.fixed]

    def _compiled(self, plain: Timed, left: float) -> Timed:
        draft = plain.draft
        if "training.compile" in draft.fixed or isinstance(draft.network, LstmSpec):
            return plain  # what is compiled of an LSTM is its kernel, which is fast already
        self.progress.advance(TIMINGS - 1, TIMINGS, "timing the compiled network")
        try:
            compiled = self.time(draft.trained(compile=True))
        except RuntimeError as error:  # no compiler, or a network that it cannot take
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            said = f"The network could not be compiled here ({reason[:120]})."
            return Timed(draft.because(compile=said), plain.step)
        pays = compiling_pays(plain.step, compiled.step, left - compiled.step.first)
        chosen = compiled if pays else plain
        said = (
            f"Compiled, a step takes {1000 * compiled.step.median:.1f} ms for "
            f"{1000 * plain.step.median:.1f} ms, and the first one {compiled.step.first:.0f} s: it "
            f"{'pays' if pays else 'does not pay'} in the time that there is."
        )
        return Timed(chosen.draft.because(compile=said), chosen.step)


def _told(timed: Timed) -> str:
    spec = timed.draft.training
    plural = "s" if spec.threads > 1 else ""
    return f"{spec.precision}, {spec.threads} thread{plural}: {1000 * timed.step.median:.1f}"
