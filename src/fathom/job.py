"""Job: one run under way. Where it lies, what was asked for, what happens when it stops."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from glob import has_magic
from pathlib import Path
from typing import Any

from fathom import folders
from fathom.core.budget import Budget
from fathom.core.errors import (
    BudgetError,
    DataError,
    FathomError,
    InterruptedRunError,
    PlanError,
)
from fathom.core.files import read_json, write_json
from fathom.data.corpus.reading import CORPORA
from fathom.data.formats.memory import run_name
from fathom.planning.language.plan import is_language
from fathom.planning.language.plan import plan_of as language_plan_of
from fathom.planning.language.request import (
    LanguageRequest,
    language_asked,
    make_language_request,
    repeat_language_request,
)
from fathom.planning.plan import plan_of, read_plan
from fathom.planning.request import Asked, Request, asked_of, make_request, repeat_request
from fathom.planning.study import check_storage
from fathom.tasks.language import LANGUAGE
from fathom.tracking import check_tracker

LONGEST_PATH = 4_096  # characters


@dataclass(frozen=True, kw_only=True)
class Work:
    """The folder that a run works in, and the time that it has.

    `resumed` tells whether an interrupted run is gone on with; `replans` is the file of changes in
    mid-run that a repeated or resumed plan replays. `track` names the tracker, if any.
    """

    folder: Path
    budget: Budget
    command: str
    resumed: bool
    replans: Path
    track: str | None = None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return folders.is_finished(self.folder)


@dataclass(frozen=True, kw_only=True)
class Job(Work):
    """A run on examples, and what was asked for."""

    request: Request


@dataclass(frozen=True, kw_only=True)
class LanguageJob(Work):
    """A run on a corpus, and what was asked for."""

    request: LanguageRequest


def open_job(
    source: object,
    *,
    settings: Mapping[str, Any],
    budget: Budget,
    budget_given: bool,
    name: str | None,
    out: str | Path,
    device: str,
    resume: bool,
    track: str | None,
    command: str,
    plan: str | Path | None,
    test: object | None,
    **options: Any,
) -> Job | LanguageJob:
    """The run that a command means: a new one, a plan repeated, or an interrupted one resumed.

    Raises UserError where the folder cannot be written, the plan does not fit, or the interrupted
    run was begun with other options.
    """
    check_tracker(track)
    _refuse_text(source)
    plan_file = Path(plan) if plan is not None else _plan_file(source)
    if plan_file is not None:
        _refuse_changes(plan_file, settings=settings, budget=budget_given, **options)
        request = _repeated(plan_file, device, source, test)
        name = name or _plan_name(request)
    else:
        request = _asked_for(
            source, settings, test=test, budget_seconds=budget.seconds, device=device, **options
        )
    root = folders.make_root(out)
    request = replace(request, name=folders.safe_name(name or _default_name(source)))
    asked = _words_of(request, plan_file)
    found = _interrupted(root, request.name, asked) if resume else None
    planned = found is not None and (found / folders.PLAN).exists()
    storage = request.tune_storage if isinstance(request, Request) else None
    if storage is not None and not planned:
        check_storage(storage)
    folder = found or folders.new_folder(root, request.name)
    if found is None:
        write_json(folder / folders.REQUEST, asked)
    elif planned:
        # The plan of the interrupted run decides; data that lay in memory is handed in again.
        plan_file = folder / folders.PLAN
        request = replace(_repeated(plan_file, device, source, test), name=request.name)
    work: dict[str, Any] = {
        "folder": folder,
        "budget": budget,
        "command": command,
        "resumed": found is not None,
        "replans": (plan_file or folder / folders.PLAN).parent / folders.REPLANS,
        "track": track,
    }
    if isinstance(request, LanguageRequest):
        return LanguageJob(request=replace(request, folder=folder), **work)
    return Job(request=replace(request, folder=folder), **work)


def _words_of(request: Request | LanguageRequest, plan_file: Path | None) -> Asked:
    if isinstance(request, LanguageRequest):
        return language_asked(request, plan_file)
    return asked_of(request, plan_file)


def _refuse_text(source: object) -> None:
    """Raise DataError where a text itself is handed in as the path of one."""
    if isinstance(source, str) and (len(source) > LONGEST_PATH or "\n" in source):
        raise DataError(
            "The source is a text itself, not the path of one: hand it in as a list, [text], with "
            f"task={LANGUAGE!r}."
        )


def _asked_for(
    source: object, settings: Mapping[str, Any], *, begin: str | None, **options: Any
) -> Request | LanguageRequest:
    """What a new run is asked for, of examples or of a corpus."""
    if is_corpus(source, options.get("task")):
        del options["task"]
        return make_language_request(source, settings, begin=begin, **options)
    if begin is not None:
        raise PlanError(
            f"--from {begin} goes on with a network of language: give --task {LANGUAGE} too. What "
            "other data begin with is --set pretrained=FOLDER."
        )
    return make_request(source, settings, **options)


def is_corpus(source: object, task: object) -> bool:
    """Whether a source is read as a corpus: because that is asked for, or by its built-in name."""
    return task == LANGUAGE or (task is None and isinstance(source, str) and source in CORPORA)


def _repeated(
    plan_file: Path, device: str, source: object, test: object | None
) -> Request | LanguageRequest:
    content = read_plan(plan_file)
    if is_language(content):
        return repeat_language_request(language_plan_of(content, plan_file), device, source, test)
    return repeat_request(plan_of(content, plan_file), device, source, test)


def _plan_name(request: Request | LanguageRequest) -> str:
    assert request.plan is not None
    return request.plan.name


@contextmanager
def accounting(job: Work) -> Iterator[None]:
    """Whatever goes wrong is told in a way that the user can act on, and nothing is lost."""
    try:
        yield
    except (KeyboardInterrupt, InterruptedRunError):
        raise InterruptedRunError(
            f"Stopped. What was done is saved in {job.folder}: "
            "give the same command with --resume to go on."
        ) from None
    except BudgetError as error:
        _remove_unbegun(job.folder)
        if not (job.folder / folders.TUNING_DATABASE).exists():
            raise
        raise BudgetError(f"{error} With --resume the trials so far are kept.") from None
    except FathomError:
        _remove_unbegun(job.folder)
        raise
    except Exception as error:
        fault = job.folder / folders.FAULT
        with suppress(OSError):  # a full disk must not hide what went wrong first
            fault.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        error.add_note(f"The details are in {fault}; what was done is saved beside it.")
        raise


def _default_name(source: object) -> str:
    """What a run is called when nobody says: after its file, folder or built-in set."""
    if not isinstance(source, str | Path):
        return "data"
    known = Path(source).expanduser().exists() or has_magic(str(source))
    return run_name(Path(source)) if known else str(source)


def _interrupted(root: Path, name: str, asked: Asked) -> Path | None:
    """The newest run of this name on this source; None where there is none.

    Raises PlanError where it was begun with other options: to go on would answer another question.
    """
    for folder in reversed(folders.siblings(root, name)):
        if not (folder / folders.REQUEST).exists():
            continue
        before = read_json(folder / folders.REQUEST, Asked)
        if before.source != asked.source:
            continue
        changes = before.differences(asked)
        if changes:
            raise PlanError(
                f"{folder} was begun otherwise: {'; '.join(changes)}. Give the command as it was "
                "with --resume, or leave --resume out to begin anew."
            )
        return folder
    return None


def _plan_file(source: object) -> Path | None:
    if not isinstance(source, str | Path):
        return None
    path = Path(source)
    if folders.is_run(path) and (path / folders.PLAN).exists():
        return path / folders.PLAN
    return path if path.suffix in {".yaml", ".yml"} and path.is_file() else None


def _refuse_changes(plan_file: Path, **options: object) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise PlanError(
            f"{plan_file} is a resolved plan and is repeated as it is: edit the file, or leave out "
            f"{', '.join(given)}."
        )


def _remove_unbegun(folder: Path) -> None:
    """A run that was refused before it began leaves no folder behind."""
    if (folder / folders.PLAN).exists() or (folder / folders.TUNING_DATABASE).exists():
        return
    for name in (folders.SCHEMA, folders.TOKENIZER, folders.REQUEST):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
