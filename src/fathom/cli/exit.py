"""From an exception to one sentence and an exit code."""

from __future__ import annotations

import os
import sys
import traceback

import click

from fathom.core.errors import FathomError


def _complain(sentence: str) -> None:
    click.echo(click.style("Error: ", fg="red", bold=True, reset=True) + sentence, err=True)


def run(command: click.Command, arguments: list[str], started: float) -> int:
    """Run a click command that was started at `started` (monotonic); return its exit code."""
    try:
        return _called(command, arguments, started)
    except (KeyboardInterrupt, click.Abort):
        _complain("Stopped.")
        return 130
    except Exception as error:
        _complain(_fault(error))
        return 1


def _called(command: click.Command, arguments: list[str], started: float) -> int:
    """Run it; what the user can mend becomes one sentence and its exit code."""
    try:
        command.main(arguments, prog_name="fathom", standalone_mode=False, obj=started)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except FathomError as error:
        _complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong with the work.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _fault(error: Exception) -> str:
    """A fault of ours: short here, in full where the notes say; in full here if nowhere else."""
    notes = getattr(error, "__notes__", [])
    if not notes:
        traceback.print_exception(error)
    first = str(error).splitlines()[0] if str(error) else "no message"
    return " ".join(
        [f"This is a fault of Fathom's, not yours: {type(error).__name__}: {first}.", *notes]
    )
