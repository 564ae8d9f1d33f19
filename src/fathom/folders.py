"""Run folders: where a run lies, whether it is finished, which one a resume means."""

from __future__ import annotations

import re
from pathlib import Path

from fathom.core.errors import ArtefactError, DataError, nearest

REQUEST, PLAN, REPORT = "request.json", "plan.yaml", "report.html"
EVIDENCE, STORY = "evidence.json", "story.json"
SCHEMA, LOG, TEST_ACCESS, REPLANS = "schema.json", "log.jsonl", "test_access.jsonl", "replans.jsonl"
TUNING, TUNING_DATABASE = "tuning.json", "tuning.sqlite3"
BUNDLE, CHECKPOINTS, FAULT = "bundle", "checkpoints", "fault.txt"
TOKENIZER = "tokenizer.json"  # of a run on a corpus


def safe_name(text: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "run"


def make_root(out: str | Path) -> Path:
    """The folder of runs, made and tried. Raises DataError where nothing can be written."""
    root = Path(out)
    probe = root / ".fathom-can-write"
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DataError(
            f"Nothing can be written to the folder {root} ({error.strerror}): "
            "choose another with --out FOLDER."
        ) from None
    return root


def siblings(root: Path, name: str) -> list[Path]:
    """The runs NAME, NAME-2, NAME-3 … that exist, oldest first."""
    pattern = re.compile(re.escape(name) + r"(?:-(\d+))?")
    found = [(int(m[1] or 1), p) for p in root.iterdir() if (m := pattern.fullmatch(p.name))]
    return [path for _, path in sorted(found) if path.is_dir()]


def new_folder(root: Path, name: str) -> Path:
    """Make NAME, or the next free NAME-2, NAME-3 …; two commands at once get different ones.

    Raises DataError for a name that the file system does not take.
    """
    number = 1
    while True:
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        except OSError as error:  # a name of 300 characters, say
            raise DataError(
                f"The folder {folder} cannot be made ({error.strerror}): choose another --name."
            ) from None
        else:
            return folder


def is_run(folder: Path) -> bool:
    """Whether a run was begun in the folder."""
    return (folder / REQUEST).is_file()


def is_finished(folder: Path) -> bool:
    """Whether the run came to its report."""
    return (folder / REPORT).exists()


def find_run(run: str | Path) -> Path:
    """The folder of a run given as path or as name under runs/. Raises ArtefactError."""
    for folder in (Path(run), Path("runs") / run):
        if (folder / PLAN).exists():
            return folder
    known = [p.parent.name for p in Path("runs").glob(f"*/{PLAN}")]
    raise ArtefactError(
        f"{run} is not a run: there is no {PLAN} in it.{nearest(Path(run).name, known)}"
    )
