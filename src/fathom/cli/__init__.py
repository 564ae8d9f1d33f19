"""The command line: one small file for each verb. No torch until a verb runs."""

from __future__ import annotations

import sys
import time


def main() -> None:
    """Run the command; the exit code says who has to act (0 nobody, 2 the user, 1 we, 130 ^C)."""
    started = time.monotonic()  # the budget of a command counts from its very start
    from fathom.cli.command import fathom
    from fathom.cli.exit import run

    sys.exit(run(fathom, sys.argv[1:], started))
