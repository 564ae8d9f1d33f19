"""What is wrong with texts, sounds and series is named truly, with a way out that works."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from fathom.core.blocks import InputSpec, NumbersBlock, TextBlock
from fathom.core.errors import DataError, PlanError
from fathom.core.progress import Silent
from fathom.data.infer import infer_schema
from fathom.data.media import look
from fathom.data.read import read
from fathom.data.sound_files import SOUNDS
from fathom.networks import called
from fathom.networks.fronts import the_sequence

HEADER = "@problemName x\n@univariate true\n@classLabel true a b\n@data\n"
ROWS = "1,2,4:a\n2,3,1:b\n" * 6


def series(tmp_path, text: str):
    path = tmp_path / "waves.ts"
    path.write_text(text)
    return path


def schema_of(path, target=None):
    raw = read(str(path), target=(target,) if target else (), progress=Silent())
    return infer_schema(raw, target=target)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"waves\.ts is empty: a file of series needs a header, a line @data"),
        (HEADER.replace("@data\n", "") + ROWS, r"no line @data: put one in front of line 4"),
        (ROWS, r"no line @data, and line 1 stands where a header should be"),
        (
            HEADER.replace("@classLabel true a b\n", "") + ROWS,
            r"line 4 ends in 'a', .* put a line such as @classLabel true a b",
        ),
        (HEADER + "?,?:a\n?,?:b\n" * 6, r"waves\.ts has no column left .* \(series: every value"),
    ],
)
def test_files_of_series_say_what_they_lack(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        schema_of(series(tmp_path, text))


def test_an_empty_column_is_not_to_be_declared(tmp_path):
    path = tmp_path / "empty.csv"
    pd.DataFrame({"body": [None] * 8, "kind": list("abab" * 2)}).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"Add columns that tell more\.$"):
        schema_of(path, "kind")
    with pytest.raises(DataError, match=r"or leave out --drop body\.$"):
        infer_schema(read(str(path), progress=Silent()), target="kind", drop=("body",))


def test_a_target_of_series_names_the_file_and_the_columns(tmp_path):
    path = tmp_path / "lists.jsonl"
    rows = [{"trace": [0.5, 1.5, i + 0.25][: 2 + i % 2], "kind": "ab"[i % 2]} for i in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"lists\.jsonl: the target 'trace' holds series .* kind\."):
        schema_of(path, "trace")


def test_texts_in_x_are_a_column_and_y_is_learned(tmp_path):
    np.savez(tmp_path / "texts.npz", X=np.array(["ab", "cd"] * 8), y=np.arange(16) % 2)
    raw = read(str(tmp_path / "texts.npz"), progress=Silent())
    assert (raw.target, raw.table.names) == ("y", ("X", "y"))


def test_a_folder_of_broken_sounds_says_why(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.wav").write_bytes(b"no sound at all")
    with pytest.raises(DataError, match=r"a/0\.wav cannot be read as sound: Format not recogn"):
        read(str(tmp_path), progress=Silent())


def test_a_broken_file_that_is_there_is_not_said_to_be_missing(tmp_path):
    path = tmp_path / "cut.mp3"
    path.write_bytes(b"\xff\xfb\x90\x00" + bytes(60))
    assert "does not exist" not in look(path, SOUNDS).reason


def test_a_family_that_does_not_fit_names_what_does():
    mixture = InputSpec({"note": TextBlock(9, 5, 5), "numbers": NumbersBlock((), ())})
    with pytest.raises(PlanError, match=r"--set network\.fields\.note\.family=lstm"):
        the_sequence(mixture, "recurrent")
    with pytest.raises(PlanError, match=r"tabm, rnn, lstm, gru\. Did you mean 'lstm'\?"):
        called("lstn", mixture)
