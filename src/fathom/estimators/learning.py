"""How an estimator learns: the rooms that `fathom.fit` goes through, without a clock."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import torch

from fathom.core.budget import Budget
from fathom.core.errors import DataError, InterruptedRunError, PlanError, UserError
from fathom.core.examples import Examples
from fathom.core.files import read_lines
from fathom.core.prediction import Array
from fathom.core.progress import Progress, Silent
from fathom.core.schema import Kind, TaskName
from fathom.data.audit import Audit
from fathom.data.encode import Encoded, encode, input_spec, output_spec
from fathom.data.file_columns import find_files
from fathom.data.infer import infer_schema
from fathom.data.raw import Raw
from fathom.data.repeats import find_repeats
from fathom.display import Display
from fathom.estimators.holdout import set_aside
from fathom.estimators.inputs import target_name
from fathom.inference import LoadedModel, NetworkPredictor, Trust, fit_trust
from fathom.planning.backbones import choose_start
from fathom.planning.draft import make_draft
from fathom.planning.plan import Plan
from fathom.planning.prepare import SPLIT_NAMES, Prepared
from fathom.planning.request import Request, make_request
from fathom.planning.resolve import resolve, supervised
from fathom.planning.rivals import NO_RIVALS

# Training in one thread: the weights then depend on no number of cores, and n_jobs shares the
# cores out. (Pictures are decoded by all of them, which changes nothing in what comes out.)
DEFAULTS = {"training.threads": 1}


@dataclass(frozen=True)
class Fitted:
    """A calibrated model, how many steps it took, and what was logged on the way."""

    model: LoadedModel
    steps: int
    history: list[dict[str, Any]]


@contextmanager
def in_python() -> Iterator[None]:
    """What a user can mend is a ValueError, and Ctrl-C a KeyboardInterrupt, as in scikit-learn."""
    try:
        yield
    except UserError as error:
        raise ValueError(str(error)) from error
    except InterruptedRunError:
        raise KeyboardInterrupt from None


@contextmanager
def told(verbose: int) -> Iterator[Progress]:
    """Bars where they are wanted; else silence, in which a warning is still a warning."""
    if verbose:
        with Display() as display:
            yield display
        return
    silent = Silent()
    yield silent
    for sentence in silent.sentences:
        warnings.warn(sentence, RuntimeWarning, stacklevel=3)


def learn_network(
    raw: Raw,
    targets: Array,
    *,
    held_out: float,
    calibrate: bool,
    task: TaskName,
    kinds: Mapping[str, Kind],
    settings: Mapping[str, Any],
    steps: int | None,
    seed: int,
    device: str,
    progress: Progress,
) -> Fitted:
    """A network for `targets` (n,): class codes or numbers. The same call, the same weights.

    `raw` are the inputs as they were read, `kinds` what is known of their columns; `held_out` is
    the share of rows set aside, `calibrate` whether some calibrate; `settings` are plan keys;
    without `steps` training is as long as this many rows are good for.
    """
    name = target_name(raw.table)
    request = make_request(
        None,
        {**DEFAULTS, **{f"data.kinds.{k}": v for k, v in kinds.items()}, **settings},
        target=name,
        task=task,
        seed=seed,
        device=device,
        **({} if steps is None else {"steps": steps}),
    )
    if request.series is not None:
        raise PlanError(
            "data.series_id folds tables that have a row for each step, which fathom.fit does: "
            "give arrays n × channels × time, a list of arrays, or columns of lists."
        )
    raw = replace(raw, table=raw.table.replace(name, pd.Series(targets)), target=name)
    prepared = _prepare(raw, request, progress, held_out=held_out, calibrate=calibrate)
    plan = _plan(request, prepared, progress)
    progress.stage("training")
    what = supervised(plan, prepared, device)
    with TemporaryDirectory(prefix="fathom-") as folder, torch.random.fork_rng(devices=[]):
        network, result = what.fit(Path(folder), progress=progress)
        history = [
            line
            for line in read_lines(Path(folder) / "log.jsonl")
            if line["kind"] in ("step", "validation")
        ]
    model = LoadedModel(
        schema=prepared.schema,
        inputs=prepared.inputs,
        network=network,
        network_spec=plan.network,
        task=what.task,
        trust=Trust(),
        precision=plan.training.precision,
        device=device,
    )
    return Fitted(_calibrated(model, prepared.examples["calibration"]), result.steps, history)


def readable(raw: Raw, encoded: Encoded) -> Examples:
    """The examples. Raises DataError naming the first row that cannot be read."""
    if encoded.unreadable:
        first = min(encoded.unreadable)
        raise DataError(
            f"{len(encoded.unreadable):,} of {len(raw):,} rows of X cannot be read, first "
            f"{raw.locate(first)}: {encoded.unreadable[first]}. Mend such rows or leave them out."
        )
    return encoded.examples


def _prepare(
    raw: Raw, request: Request, progress: Progress, *, held_out: float, calibrate: bool
) -> Prepared:
    """The schema and the examples, as `planning.prepare` makes them; nothing is audited."""
    schema = infer_schema(raw, task=request.task, kinds=request.kinds)
    raw = find_files(raw, schema, progress)
    start = choose_start(request, raw, schema)
    repeats = find_repeats(raw, schema, seed=request.seed, wanted=request.near_duplicates)
    splits = set_aside(raw, schema, repeats, held_out, seed=request.seed, calibrate=calibrate)
    schema = start.learned(schema, raw.table, splits.train, image_size=request.image_size)
    examples = readable(raw, encode(raw.table, schema, progress=progress))
    parts = {name: examples.take(getattr(splits, name)) for name in SPLIT_NAMES}
    return Prepared(
        raw=raw,
        schema=schema,
        audit=Audit((), (), repeats),
        splits=splits,
        inputs=input_spec(schema),
        output=output_spec(schema),
        examples=parts,
        start=start,
    )


def _plan(request: Request, prepared: Prepared, progress: Progress) -> Plan:
    """The plan for a number of steps, which times nothing."""
    if request.steps is None:
        family = None if prepared.start.backbone is None else "pretrained"
        draft = make_draft(request, prepared, family=family)
        rows = len(prepared.examples["train"])
        per_epoch = max(1, rows // draft.training.batch_size)
        request = replace(request, steps=draft.most_epochs * per_epoch)
    assert request.steps is not None
    # Nobody resumes this training: one checkpoint at its end is enough to fall back upon.
    settings = {"training.save_every": request.steps, **request.settings}
    return resolve(replace(request, settings=settings), prepared, NO_RIVALS, Budget(1.0), progress)


def _calibrated(model: LoadedModel, calibration: Examples) -> LoadedModel:
    """The model with its temperature fitted, where it names classes and rows were set aside."""
    if model.task.output.form != "classes" or not len(calibration):
        return model
    trust = fit_trust(NetworkPredictor(model).logits(calibration), calibration.targets)
    return replace(model, trust=trust)
