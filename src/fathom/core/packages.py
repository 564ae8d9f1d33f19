"""Optional packages: whether one is installed."""

from __future__ import annotations

from importlib.util import find_spec

from fathom.core.errors import MissingExtraError


def require(package: str, extra: str) -> None:
    """Raise MissingExtraError where `package` is not installed, naming the extra that has it."""
    try:
        missing = find_spec(package) is None
    except ValueError:  # it was shut out by hand
        missing = True
    if missing:
        raise MissingExtraError(package, extra)
