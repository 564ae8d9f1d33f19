"""Every mistake that a user can make gets one sentence that helps, exit code 2, no traceback."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from fathom.core.budget import Budget
from fathom.core.errors import PlanError
from fathom.core.progress import Silent
from fathom.planning.plan import to_yaml
from fathom.planning.prepare import prepare
from fathom.planning.request import make_request
from fathom.planning.resolve import resolve
from fathom.planning.rivals import NO_RIVALS

ROWS = "\n".join(f"{i},{i % 7},{'yes' if i % 3 else 'no'}" for i in range(60))
TABLE = "age,visits,churn\n" + ROWS + "\n"


def picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def pictures(folder: Path, per_class: int = 12) -> Path:
    for label in ("cat", "dog"):
        for i in range(per_class):
            picture(folder / label / f"{i}.png", i)
    return folder


def bomb() -> bytes:
    """A PNG that says it is 60,000 pixels a side."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 100)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def write(name: str, content: str | bytes) -> Callable[[], list[str]]:
    def make() -> list[str]:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        return [name, "--target", "churn"]

    return make


def duplicate_rows() -> list[str]:
    Path("t.csv").write_text("age,churn,age\n" + "1,2,3\n" * 40)
    return ["t.csv", "--target", "churn"]


def two_targets() -> list[str]:
    rows = "".join(f"{i % 13},{i % 2},{i % 3 == 0}\n" for i in range(60))
    Path("t.csv").write_text("age,churn,late\n" + rows)
    return ["t.csv", "--target", "churn", "--target", "late"]


def rare_labels() -> list[str]:
    rows = "".join(f"{i % 13},a{';b' if i < 3 else ''}\n" for i in range(200))
    Path("t.csv").write_text("age,tags\n" + rows)
    return ["t.csv", "--target", "tags", "--task", "multilabel"]


def damaged_parquet() -> list[str]:
    pd.DataFrame({"a": range(50), "churn": [0, 1] * 25}).to_parquet("t.parquet")
    content = Path("t.parquet").read_bytes()
    Path("t.parquet").write_bytes(content[: len(content) // 2])
    return ["t.parquet", "--target", "churn"]


def no_pictures() -> list[str]:
    for label in ("cat", "dog"):
        Path("photos", label).mkdir(parents=True)
        for i in range(12):
            Path("photos", label, f"{i}.png").write_text("this is no picture")
    return ["photos"]


def only_bombs() -> list[str]:
    for label in ("cat", "dog"):
        Path("photos", label).mkdir(parents=True)
        for i in range(12):
            Path("photos", label, f"{i}.png").write_bytes(bomb())
    return ["photos"]


def empty_folder() -> list[str]:
    Path("photos").mkdir()
    return ["photos"]


def good(*options: str) -> Callable[[], list[str]]:
    return lambda: [*write("t.csv", TABLE)(), *options]


def blocked_output() -> list[str]:
    Path("occupied").write_text("a file where a folder should be")
    return [*good()(), "--out", "occupied/runs"]


CASES = {
    "missing file": (lambda: ["nowhere.csv", "--target", "churn"], "nowhere.csv"),
    "empty file": (write("t.csv", ""), "t.csv"),
    "header only": (write("t.csv", "age,visits,churn\n"), "t.csv"),
    "unknown target": (lambda: [*good()()[:1], "--target", "chrun"], "churn"),
    "unknown one of two targets": (good("--target", "visist"), "visits"),
    "a target that is no yes or no": (good("--target", "visits"), "'visits'"),
    "two targets of another task": (
        good("--target", "visits", "--task", "regression"),
        "--task multilabel",
    ),
    "a target that is dropped": (
        lambda: [*two_targets(), "--drop", "late"],
        "'late'",
    ),
    "labels that nothing parts": (good("--task", "multilabel"), "--task classification"),
    "labels too rare": (rare_labels, "training rows that have a label"),
    "no target": (lambda: good()()[:1], "--target"),
    "no target, and how to say it in Python": (lambda: good()()[:1], "target=COLUMN"),
    "one class": (write("t.csv", "a,churn\n" + "".join(f"{i},no\n" for i in range(40))), "churn"),
    "five rows": (write("t.csv", "\n".join(TABLE.splitlines()[:6])), "5 "),
    "ragged": (write("t.csv", TABLE + "1,2,yes,4,5\n" + ROWS), "62"),
    "undecodable": (write("t.csv", b"\x89\x00\xff\xfe\x01" * 400), "t.csv"),
    "duplicate columns": (duplicate_rows, "age"),
    "damaged parquet": (damaged_parquet, "t.parquet"),
    "no pictures": (no_pictures, "photos"),
    "decompression bombs": (only_bombs, "photos"),
    "empty folder": (empty_folder, "photos"),
    "unwritable output": (blocked_output, "--out"),
    "budget of no time": (good("--budget", "soon"), "soon"),
    "budget too small": (good("--budget", "1s"), "--budget"),
    "unknown plan key": (good("--set", "network.dept=3"), "network.depth"),
    "plan value of another type": (good("--set", "network.depth=deep"), "network.depth"),
    "plan value out of range": (good("--set", "label_smoothing=2"), "label_smoothing"),
    "unknown network": (good("--set", "network=convnets"), "convnet"),
    "network for pictures": (good("--set", "network=convnet"), "picture"),
    "name too long": (good("--name", "x" * 300), "--name"),
    "unknown optimizer": (good("--set", "optimizer=adm"), "adam"),
    "unknown column to drop": (good("--drop", "agee"), "age"),
    "unknown group": (good("--group", "patient"), "patient"),
    "unknown device": (good("--device", "tpu"), "tpu"),
    "a scheme that is not there yet": (lambda: ["env:CartPole-v1"], "env:"),
}


@pytest.mark.parametrize("case", CASES)
def test_mistake_gets_one_sentence_and_exit_code_2(case, command):
    make, named = CASES[case]
    outcome = command("fit", *make())
    assert outcome.code == 2, outcome.err
    errors = [line for line in outcome.err.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert named in errors[0]
    assert "Traceback" not in outcome.err + outcome.out
    assert not any(Path("runs").glob("*")) if Path("runs").exists() else True


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("network.depht=3", "'network.depth'"),
        ("network.depth=x", "network.depth is 'x': it must be a whole number."),
        ("optimizer.betas=[0.9,x]", "training.optimizer.betas[1] is 'x': it must be a number."),
        ("normalization=leyer", "network.normalization is 'leyer': it must be "),
        ("schedule=linaer", "it must be 'linear' or 'cosine' or 'constant'."),
        ("optimizer=adamm", "'adamm'"),
        ("network=mpl", "'mlp'"),
        ("rest_learning_rate=x", "it must be a number or null."),
    ],
)
def test_a_setting_is_refused_before_any_data_is_read(command, setting, told):
    outcome = command("fit", "nowhere.csv", "--target", "y", "--set", setting)
    assert outcome.code == 2
    assert told in outcome.err
    assert "nowhere" not in outcome.err
    assert not list(Path("runs").iterdir()) if Path("runs").exists() else True


def test_a_setting_that_some_network_has_is_no_mistake_yet():
    settings = {"members": 4, "network.family": "tabm", "optimizer": "sgd", "learning_rate": "1e-2"}
    make_request("wine", settings)
    for key, value in (("patch", 4), ("widths", [8, 16]), ("stem", 2), ("stem", "patch")):
        make_request("wine", {key: value})
    with pytest.raises(PlanError, match="patch"):
        make_request("wine", {"network": "mlp", "patch": 4})


def test_words_that_no_request_has():
    with pytest.raises(PlanError, match=r"no task 'regresion'.*Did you mean 'regression'"):
        make_request("wine", {}, task="regresion")
    with pytest.raises(PlanError, match="settings is"):
        make_request("wine", ["network.depth"])
    with pytest.raises(PlanError, match="'red' is given twice"):
        make_request("wine", {}, target=("red", "round", "red"))


def test_a_run_folder_is_repeated_and_never_taken_for_pictures(command):
    assert command("fit", "wine", "--steps", "5").code == 0
    assert command("fit", "runs/wine").code == 0
    weights = "bundle/model.safetensors"
    assert Path("runs/wine", weights).read_bytes() == Path("runs/wine-2", weights).read_bytes()
    looked = command("inspect", "runs/wine")
    assert looked.code == 2
    assert "runs/wine/plan.yaml" in looked.err
    Path("runs/wine/plan.yaml").unlink()
    assert "is a run folder" in command("fit", "runs/wine").err


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("seed: 0", "seed: zero", "seed is 'zero': it must be a whole number."),
        ("depth: 2", "depth: [2", "is no YAML"),
    ],
)
def test_a_plan_that_was_edited_wrongly_is_named(command, old, new, told):
    make = resolve(
        request := make_request("wine", {"network.depth": 2}, steps=5),
        prepare(request, Budget(60.0), Silent()),
        NO_RIVALS,
        Budget(60.0),
        Silent(),
    )
    text = to_yaml(make)
    assert old in text
    Path("plan.yaml").write_text(text.replace(old, new))
    outcome = command("fit", "plan.yaml")
    assert outcome.code == 2
    assert told in outcome.err
    assert "plan.yaml" in outcome.err


def test_a_learning_rate_that_blows_up_is_named(command):
    outcome = command("fit", "wine", "--steps", "20", "--set", "learning_rate=1e9")
    assert outcome.code == 2, outcome.err
    assert "learning_rate" in outcome.err
    assert "Traceback" not in outcome.err


def test_rows_without_target_are_dropped_and_counted(command):
    rows = TABLE + "70,3,\n71,4,\n"
    Path("t.csv").write_text(rows)
    outcome = command("inspect", "t.csv", "--target", "churn", "--budget", "60s")
    assert outcome.code == 0, outcome.err
    assert "2 rows" in outcome.out + outcome.err


@pytest.mark.slow
def test_truncated_pictures_are_named_and_left_out(command):
    folder = pictures(Path("photos"), per_class=40)
    broken = folder / "cat" / "3.png"
    broken.write_bytes(broken.read_bytes()[:200])
    outcome = command("fit", "photos", "--steps", "5")
    assert outcome.code == 0, outcome.err
    assert "3.png" in outcome.err + Path("runs/photos/report.html").read_text()


def test_leak_stops_the_run_and_names_the_column(command):
    generator = np.random.default_rng(0)
    y = generator.integers(0, 2, 300)
    frame = pd.DataFrame({"noise": generator.normal(size=300), "copy": y * 2.5, "y": y})
    frame.to_csv("t.csv", index=False)
    outcome = command("fit", "t.csv", "--target", "y")
    assert outcome.code == 2
    assert "'copy'" in outcome.err
    assert "--allow-leaks" in outcome.err
    assert "noise" not in outcome.err
