"""Every error that Fathom raises on purpose, in one tree.

FathomError
├── UserError            the user can mend it: one sentence, exit code 2, no traceback
│   ├── DataError        data that cannot be read or used
│   │   └── LeakError    a column gives the target away
│   ├── PlanError        an option or plan key that does not fit
│   │   └── BudgetError  a budget that does not parse or does not suffice
│   ├── ArtefactError    a run folder, bundle or checkpoint that is damaged or foreign
│   ├── StorageError     a disk that is full, over its quota or read-only
│   └── MissingExtraError     an optional package is not installed
└── InterruptedRunError          Ctrl-C after everything was saved: exit code 130
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class FathomError(Exception):
    """Root of the tree. `exit_code` is what the command returns."""

    exit_code = 1


class UserError(FathomError):
    """Something the user can mend. The message names the file, row or column, and the way out."""

    exit_code = 2


class DataError(UserError):
    """Data that cannot be read or used."""


class LeakError(DataError):
    """A column gives the target away, so that any figure would be a lie."""


class PlanError(UserError):
    """An option or a plan key that does not fit."""


class BudgetError(PlanError):
    """A budget that does not parse, or that is too small for the work."""


class ArtefactError(UserError):
    """A run folder, bundle or checkpoint that is damaged, incomplete or of another format."""


class StorageError(UserError):
    """A disk that takes nothing more: `reason` says why, `way_out` what mends it."""

    def __init__(self, file: object, reason: str, way_out: str) -> None:
        super().__init__(
            f"{reason}: {file} could not be written. {way_out}, then give the same command with "
            "--resume."
        )
        self.reason, self.way_out = reason, way_out


class MissingExtraError(UserError):
    """An optional package is missing."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs the package {package}: "
            f"install it with pip install 'fathom-learn[{extra}]'."
        )


class InterruptedRunError(FathomError):
    """The user pressed Ctrl-C; what was done is saved, and the message says how to go on."""

    exit_code = 130


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ' Did you mean X?' for the known name closest to `name`, or an empty string."""
    by_lower = {str(k).lower(): str(k) for k in known}
    close = get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""
