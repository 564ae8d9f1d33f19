"""Options that more than one verb has."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]

_DATA = (
    click.option(
        "--target",
        metavar="COLUMN",
        multiple=True,
        help="The column to be learned; repeated, yes/no columns that may hold at once.",
    ),
    click.option("--test", metavar="FILE", help="A test set of its own, of the same columns."),
    click.option(
        "--task",
        type=click.Choice(["classification", "multilabel", "regression", "language"]),
        help="What to learn, where the guess is wrong; language: what comes next in a corpus.",
    ),
    click.option(
        "--group",
        metavar="COLUMN",
        help="Rows of one group (a patient, a customer) never stand on both sides of a split.",
    ),
    click.option(
        "--time",
        metavar="COLUMN",
        help="Train on the oldest rows, test on the newest by this column.",
    ),
    click.option("--drop", metavar="COLUMN", multiple=True, help="Leave a column out; repeatable."),
    click.option(
        "--allow-leaks", is_flag=True, help="Go on although a column gives the target away."
    ),
    click.option(
        "--budget",
        metavar="TIME",
        help="Time for the whole command: 90s, 10m, 1h30m.  [default: 90s]",
    ),
    click.option("--seed", default=0, show_default=True, help="The seed of everything random."),
    click.option(
        "--set",
        "settings",
        metavar="KEY=VALUE",
        multiple=True,
        help="Fix a key of the plan, such as network.depth=4 or optimizer=sgd; repeatable. "
        "`fathom inspect` prints all keys; data.kinds.COLUMN=category overrides a column's kind.",
    ),
)


def data_options(command: Command) -> Command:
    """Add the options that say what the data is and how it is used."""
    for option in reversed(_DATA):
        command = option(command)
    return command


class Device(click.ParamType[str]):
    """A processor by name; whether this machine has it is found out later, as that loads torch."""

    name = "device"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name as it is. Fails for anything that is no name of a device."""
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
            self.fail(f"{value!r} is no device: use auto, cpu, cuda, or cuda:1 for the second.")
        return value


def device_option(command: Command) -> Command:
    """Add `--device`."""
    option = click.option(
        "--device",
        type=Device(),
        default="auto",
        show_default=True,
        metavar="NAME",
        help="cpu, cuda, cuda:1 or auto.",
    )
    return option(command)
