"""The command line: quick to start, examples in every help, one verb a file."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.usefixtures("few_rounds")


@pytest.mark.parametrize("verb", [(), ("fit",), ("inspect",), ("predict",), ("report",)])
def test_every_help_has_examples_on_lines_of_their_own(command, verb):
    outcome = command(*verb, "--help")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert any(line.strip() == "Examples:" for line in lines)
    assert any(line.strip().startswith("fathom ") for line in lines)


SERIES = "--set series_id=patient --set series_time=minute"


@pytest.mark.parametrize(
    ("verb", "shown"),
    [
        ((), ("sounds or texts", ".ts")),
        (
            ("fit",),
            ("sounds", "texts (.txt)", ".ts files", SERIES, "paths of sounds", "pretrained="),
        ),
        (("inspect",), ("sounds", "texts", ".ts", SERIES, "paths of sounds", "pretrained=")),
        (("predict",), ("sounds", "texts", ".ts", "long table")),
    ],
)
def test_help_shows_every_kind_of_data_on_short_lines(command, monkeypatch, verb, shown):
    monkeypatch.setenv("COLUMNS", "100")
    said = command(*verb, "--help").out
    assert [word for word in shown if word not in said] == []
    assert max(map(len, said.splitlines())) <= 100


def test_starting_loads_neither_torch_nor_pandas():
    code = (
        "import sys, fathom, fathom.cli.command as c; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'sklearn', 'matplotlib')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_verb_or_option_is_the_users_mistake(command):
    assert command("fits").code == 2
    assert command("fit", "digits", "--budgets", "3s").code == 2
    assert command("fit").code == 2
