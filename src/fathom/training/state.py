"""What a run in progress is, apart from its tensors; and both as a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from fathom.core.errors import ArtefactError
from fathom.training.schedule import Replan

Tensors = dict[str, Tensor]


class TrainingState(msgspec.Struct, forbid_unknown_fields=True):
    """The file `state.json` of a checkpoint: all that is no tensor.

    There is no random state in it: every draw is seeded from (seed, its name, step), so that a run
    which goes on and a run which resumes draw the same, whatever was drawn before.
    `streaks` counts for each phase the updates skipped in a row, `window_loss` and `window_updates`
    make the mean loss since the last line of the log. `identity` is the Trainer's.
    """

    identity: str = ""
    step: int = 0
    seconds: float = 0.0
    source: dict[str, Any] = {}
    best_step: int | None = None
    best_score: float | None = None
    replans: list[Replan] = []
    skipped_steps: int = 0
    streaks: dict[str, int] = {}
    rollbacks: int = 0
    window_loss: float = 0.0
    window_updates: int = 0


def read_state(values: Mapping[str, Any]) -> TrainingState:
    """A state from its JSON values. Raises ArtefactError where they are another version's."""
    try:
        return msgspec.convert(values, TrainingState)
    except msgspec.ValidationError as error:
        raise ArtefactError(f"The checkpoint is of another version of Fathom: {error}.") from None


def split_source(state: Mapping[str, Any]) -> tuple[Tensors, dict[str, Any]]:
    """A source's state as its tensors and its JSON values."""
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    return tensors, {key: value for key, value in state.items() if key not in tensors}


def prefixed(groups: Mapping[str, Mapping[str, Tensor]]) -> Tensors:
    """Tensors of several owners in one dictionary, as 'owner/name'."""
    return {f"{owner}/{name}": t for owner, group in groups.items() for name, t in group.items()}


def of_owner(tensors: Mapping[str, Tensor], owner: str) -> Tensors:
    """The part of `prefixed` that belongs to one owner."""
    prefix = f"{owner}/"
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def load_module(module: nn.Module, tensors: Tensors) -> None:
    """Copy saved tensors into a module. Raises ArtefactError where they are another network's."""
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ArtefactError(
            "The checkpoint belongs to another network than the plan describes "
            f"({reason}): resume with the plan that it was made with."
        ) from None


def copies(module: nn.Module) -> Tensors:
    """The state of a module, copied."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def all_finite(modules: Iterable[nn.Module]) -> bool:
    """Whether every weight and buffer is a finite number."""
    tensors = (t for module in modules for t in module.state_dict().values())
    return all(bool(torch.isfinite(t).all()) for t in tensors if t.is_floating_point())
