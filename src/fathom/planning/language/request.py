"""LanguageRequest: what the user asked for of a corpus, before anything is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec import Struct

from fathom.core.errors import PlanError, nearest
from fathom.data.corpus.splitting import LEAST_BYTES
from fathom.networks.language import LANGUAGE_FAMILIES
from fathom.planning.early import check_setting, kinds_of
from fathom.planning.language.plan import CorpusPlan, LanguagePlan
from fathom.planning.overrides import ALIASES, convert
from fathom.planning.request import Asked, lasting
from fathom.tasks.language import LANGUAGE
from fathom.training.settings import TrainingSpec

FAMILY_KEYS = ("network", "network.family")
# Keys of a corpus that may be set; the rest of its section is found out.
# Sections, and short names of keys, that plans of tables have and those of a corpus have not.
OF_OTHERS = ("data", "task", "augmentation", "inference", "image_size", "series_id", "series_time",
             "pretrained")  # fmt: skip
DATA_KEYS = ("tokenizer", "vocabulary", "text_field", "near_duplicates", "most_bytes")
TRAINED = ("bpe", "char", "byte")  # tokenizers that are learned from the text
# What a table is asked, in the words of the command.
OF_TABLES = {
    "target": "--target",
    "group": "--group",
    "time": "--time",
    "drop": "--drop",
    "allow_leaks": "--allow-leaks",
    "tune": "--tune",
    "tune_storage": "--tune-storage",
}


@dataclass(frozen=True)
class LanguageRequest:
    """`plan` is set where a plan is repeated: then nothing is decided anew.

    `begin` is a run, or a folder in Hugging Face's format, to go on from.
    """

    source: object
    name: str = "run"
    test: object | None = None
    begin: str | None = None
    seed: int = 0
    budget_seconds: float | None = None
    steps: int | None = None
    device: str = "cpu"
    settings: Mapping[str, Any] = field(default_factory=dict)
    plan: LanguagePlan | None = None
    folder: Path | None = None

    @property
    def family(self) -> str:
        """The family of networks that was asked for."""
        chosen = (str(self.settings[key]) for key in FAMILY_KEYS if key in self.settings)
        return next(chosen, "gpt")

    def data_setting(self, key: str) -> Any:
        """What was set of the data, under its short name or its full one; None where nothing."""
        return self.settings.get(key, self.settings.get(f"data.{key}"))


class _DataSettings(Struct, frozen=True):
    tokenizer: str
    vocabulary: int | None
    text_field: str | None
    near_duplicates: bool
    most_bytes: int


def make_language_request(
    source: object,
    settings: Mapping[str, Any],
    *,
    test: object | None = None,
    begin: str | None = None,
    seed: int = 0,
    budget_seconds: float | None = None,
    steps: int | None = None,
    device: str = "cpu",
    **others: Any,
) -> LanguageRequest:
    """A request. Raises PlanError for what cannot be meant, as far as that shows without data."""
    for key, option in OF_TABLES.items():
        if others.get(key):
            raise PlanError(
                f"{option} says something about tables; with --task {LANGUAGE} a corpus is read, "
                "which has none: leave it out."
            )
    if not isinstance(settings, Mapping):
        raise PlanError(
            f"settings is {settings!r}: it must map plan keys to values, such as "
            '{"network.depth": 4}.'
        )
    rest = dict(settings)
    asked = rest.pop("steps", rest.pop("training.steps", None))
    steps = convert(asked, int, "training.steps") if asked is not None else steps
    check_language_settings(rest)
    return LanguageRequest(
        source,
        test=test,
        begin=begin,
        seed=seed,
        budget_seconds=budget_seconds,
        steps=steps,
        device=device,
        settings=rest,
    )


def check_language_settings(settings: Mapping[str, Any]) -> None:
    """Raise PlanError for a key that no plan of language has, or a value of another type."""
    chosen = next((str(settings[key]) for key in FAMILY_KEYS if key in settings), None)
    specs = [LANGUAGE_FAMILIES[name] for name in ([chosen] if chosen else LANGUAGE_FAMILIES)]
    plans = [
        {"network.family": str}
        | kinds_of({"network": family.spec, "training": TrainingSpec, "data": _DataSettings})
        for family in specs
    ]
    known = list(dict.fromkeys(name for kinds in plans for name in kinds))
    for key, value in settings.items():
        if key in FAMILY_KEYS:
            continue
        if ALIASES.get(str(key), key) not in known and str(key).partition(".")[0] in OF_OTHERS:
            raise PlanError(
                f"The plan key {key!r} is not one of a corpus.{nearest(str(key), known)} All keys: "
                f"{', '.join(sorted(known))}."
            )
        check_setting(str(key), value, plans)
    found = {key: settings.get(key, settings.get(f"data.{key}")) for key in DATA_KEYS}
    if found["tokenizer"] not in (None, *TRAINED):
        raise PlanError(
            f"data.tokenizer is {found['tokenizer']!r}: it must be {', '.join(TRAINED[:-1])} or "
            f"{TRAINED[-1]}."
        )
    most = convert(found["most_bytes"], int | None, "data.most_bytes")
    if most is not None and most < LEAST_BYTES:
        raise PlanError(f"data.most_bytes is {most:,}: it must be at least {LEAST_BYTES:,}.")
    for key, value in found.items():
        if value is not None:
            convert({"source": "", key: value}, CorpusPlan, "data")


def repeat_language_request(
    plan: LanguagePlan, device: str, source: object | None = None, test: object | None = None
) -> LanguageRequest:
    """The request that a plan answers; `source` and `test` stand in for what lay in memory.

    Raises PlanError where such data is not handed in.
    """
    if not plan.data.source and (source is None or isinstance(source, str | Path)):
        raise PlanError(
            "This plan's data lay in memory: repeat it from Python, fathom.fit(texts, plan=FILE)."
        )
    return LanguageRequest(
        source=plan.data.source or source,
        test=plan.data.test or test,
        begin=plan.begin.source or None,
        seed=plan.seed,
        budget_seconds=plan.budget_seconds,
        device=device,
        plan=plan,
    )


def language_asked(request: LanguageRequest, plan_file: Path | None) -> Asked:
    """The words of a request; where a plan is repeated its file stands for the source."""
    return Asked(
        source=lasting(plan_file or request.source),
        test=lasting(request.test),
        target=None,
        task=LANGUAGE,
        group=None,
        time=None,
        drop=(),
        kinds={},
        allow_leaks=False,
        image_size=None,
        seed=request.seed,
        steps=request.steps,
        settings=dict(request.settings),
        begin=lasting(request.begin),
    )
