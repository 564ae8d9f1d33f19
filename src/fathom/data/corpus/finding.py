"""Which files a corpus consists of: a file, a folder, a pattern or a list of paths."""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from fathom.core.errors import DataError, nearest
from fathom.data.corpus import json_lines
from fathom.data.corpus.documents import Skipped
from fathom.data.formats import foreign, packed, shards
from fathom.data.media import Medium
from fathom.data.opening import PICTURES
from fathom.data.sound_files import SOUNDS

TABLES = (".csv", ".tsv", ".tab", ".parquet", ".feather", ".arrow", ".npz", ".npy", ".ts")
READ = (
    "a text file, a folder of text or source files, JSON Lines (.jsonl, .ndjson), "
    "a pattern or a list of such paths"
)
INSTALLED = "holds installed packages, other people's code"
# Folders of a project in which nobody wrote anything.
LEFT_OUT = {
    **dict.fromkeys(("node_modules", "site-packages", "dist-packages"), INSTALLED),
}
MADE_BY_TOOLS = ("__pycache__", "__MACOSX", ".git")  # which nobody needs to be told of
HIDDEN = "is hidden"
NOT_ALLOWED = "may not be read by you"
_TESTS = re.compile(r"/(tests?|idle_test)/")

Files = list[tuple[Path, str]]
"""Paths, each with the name by which people know it."""


def of_path(source: str, skipped: Skipped) -> Files:
    """The files of a path, a pattern or a built-in corpus. Raises DataError where there is none."""
    if not source.strip():
        raise DataError(f"The corpus is an empty path: give {READ}.")
    path = Path(source).expanduser()
    if path.is_dir():
        files = [(file, _below(file, path)) for file in _walk(path, path, skipped)]
        if not files and not len(skipped):
            raise DataError(f"{source} is an empty folder: put text files there.")
        return _readable(files, skipped)
    if path.is_file():
        return of_files([path])
    if path.exists():
        raise DataError(f"{source} is neither a file nor a folder: give one that is.")
    if matched := shards.matching(source):
        return of_files(matched)
    if source in CORPORA:
        return CORPORA[source](skipped)
    raise DataError(_missing(source, path))


def of_paths(paths: Sequence[Path], skipped: Skipped) -> Files:
    """Files and folders that were named one by one. Raises DataError as `of_path` does."""
    if not any(path.is_dir() for path in paths):
        return of_files(paths)
    found: Files = []
    for path in paths:
        below = f"{path.name}/" if path.is_dir() else ""
        found += [(file, f"{below}{name}") for file, name in of_path(str(path), skipped)]
    return found


def of_files(paths: Sequence[Path]) -> Files:
    """Files that were named one by one. Raises DataError for one that is not there or no text."""
    for path in paths:
        if not path.is_file():
            raise DataError(f"There is no file {str(path)!r}: check the list of paths.")
        if reason := no_text(path) or ("is JSON" if packed.suffix(path) == ".json" else ""):
            raise DataError(_way_out(path, reason))
    names = [path.name for path in paths]
    if len(set(names)) < len(names):
        common = Path(os.path.commonpath([path.resolve().parent for path in paths]))
        names = [path.resolve().relative_to(common).as_posix() for path in paths]
    return list(zip(paths, names, strict=True))


def no_text(path: Path) -> str:
    """Why a file is no text, as far as its ending tells; '' where it may be."""
    suffix = packed.suffix(path)
    if suffix in TABLES:
        return "is a table"
    media: tuple[Medium, ...] = (PICTURES, SOUNDS)
    for medium in media:
        if suffix in medium.suffixes:
            return f"is a {medium.many[:-1]}"
    if suffix in foreign.ADVICE and suffix != ".sql":
        return f"is {foreign.ADVICE[suffix].partition(',')[0]}"
    return ""


def _way_out(path: Path, reason: str) -> str:
    if reason == "is a table":
        return (
            f"{path} {reason}, and language is learned from running text: write its column of "
            "text as JSON Lines (in pandas, table[['text']].to_json('texts.jsonl', "
            "orient='records', lines=True)), or name what is to be predicted with --target."
        )
    if reason == "is JSON":
        return (
            f"{path} {reason}, which is read a record on each line: write its texts as such lines, "
            f"{json_lines.EXAMPLE}, and call the file {path.stem}.jsonl."
        )
    return f"{path} {reason}, which is no text: give {READ}."


def _readable(files: Files, skipped: Skipped) -> Files:
    """The files of a folder that may be text; packed ones only where their names say of what."""
    kept = []
    for path, name in files:
        try:
            reason = no_text(path)
        except DataError:
            reason = "is an archive that cannot be read"
        if not reason and path.suffix.lower() in packed.PACKERS and not json_lines.recognises(path):
            reason = "" if packed.suffix(path) in (".txt", ".md", ".rst", ".text") else "is packed"
        if reason:
            skipped.add(name, reason)
        else:
            kept.append((path, name))
    return kept


def _walk(folder: Path, root: Path, skipped: Skipped) -> Iterator[Path]:
    """The files below a folder in sorted order; links to folders are not followed."""
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    if folder != root and _is_run(folder, {entry.name for entry in entries}):
        skipped.add(_printable(_below(folder, root)), "is a run of Fathom's, which tells of texts")
        return
    for entry in entries:
        path = Path(entry.path)
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and entry.name in MADE_BY_TOOLS:
            continue
        if reason := _unwanted(entry.name, is_folder):
            skipped.add(_printable(_below(path, root)), reason)
        elif is_folder:
            try:
                yield from _walk(path, root, skipped)
            except PermissionError:
                skipped.add(_below(path, root), NOT_ALLOWED)
        elif entry.is_file():
            yield path
        elif entry.is_symlink():
            skipped.add(_below(path, root), "is a link that leads nowhere, or to a folder")


def _is_run(folder: Path, names: set[str]) -> bool:
    """Whether a folder is a run's: what it says of its test text must not be learned from."""
    if "request.json" not in names:
        return False
    with (folder / "request.json").open("rb") as file:
        return b'"format_version"' in file.read(2**16)


def _unwanted(name: str, is_folder: bool) -> str:
    """Why a file or folder of this name is left out; '' where it is not."""
    if name.startswith("."):
        return HIDDEN
    if is_folder and name in LEFT_OUT:
        return LEFT_OUT[name]
    return "" if _printable(name) == name else "has a name that is not UTF-8"


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _python(skipped: Skipped) -> Files:
    """The standard library of Python: text that every machine has, without its tests."""
    root = Path(sysconfig.get_paths()["stdlib"])
    sources = [path for path in _walk(root, root, skipped) if path.suffix == ".py"]
    files = [(path, _below(path, root)) for path in sources]
    return [(path, name) for path, name in files if not _TESTS.search(f"/{name}")]


CORPORA: dict[str, Callable[[Skipped], Files]] = {"python-library": _python}
"""Built-in corpora by name: what finds their files."""


def _missing(source: str, path: Path) -> str:
    if source.startswith(("http:", "https:", "ftp:", "s3:", "gs:", "hf:")):
        return f"{source} is not on this machine: download it and give the file's path."
    if shards.is_pattern(source):
        return f"No file matches {source!r}: check the pattern and the folder."
    if path.parent.is_dir():
        beside: Iterable[str] = (entry.name for entry in path.parent.iterdir())
        hint = nearest(path.name, [*beside, *CORPORA]) or f" Give {READ}."
        return f"There is no file or folder {source!r}.{hint}"
    return f"There is no folder {str(path.parent)!r}: check the path {source!r}."
