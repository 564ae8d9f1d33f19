"""Folders with a folder of files for each class: of pictures, of sound, or of texts.

    photos/cat/1.png           photos/train/cat/1.png  photos/test/cat/7.png
    photos/dog/2.png           photos/train/dog/2.png  photos/test/dog/8.png

Reading only looks at the header of a picture or sound; whether all of it can be decoded shows when
it is encoded.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd

from fathom.core.errors import DataError
from fathom.core.progress import Progress
from fathom.core.schema import Kind, Schema
from fathom.data.formats.names import ORDER, SPLITS
from fathom.data.formats.text_files import TEXTS, read_text
from fathom.data.media import Medium, look_at_all, tell_of_several
from fathom.data.opening import PICTURES
from fathom.data.parallel import WAITING, in_order
from fathom.data.raw import Problem, Raw, Signs
from fathom.data.sound_files import SOUNDS
from fathom.data.table import Column, Table

MEDIA = (PICTURES, SOUNDS, TEXTS)
MOST_HEADER = 10_000  # bytes of a first line that may be a header
STRAY = 0.1  # of the files of a folder that may be of another kind, as covers among sounds are
SOURCES = (".md", ".rst", ".py", ".c", ".js", ".java", ".tex")  # endings of text that nobody sorts


@dataclass(frozen=True)
class ClassFile:
    """A file of such a folder: its path, class ('' for none) and given split ('' for none)."""

    path: Path
    label: str = ""
    split: str = ""


def recognises(path: Path) -> bool:
    """Whether the path is a folder (its content is checked while reading), a picture or a sound."""
    if path.is_dir():
        return True
    return any(path.suffix.lower() in medium.suffixes for medium in (PICTURES, SOUNDS))


def read_file(path: Path, *, labelled: bool, progress: Progress, signs: Signs | None = None) -> Raw:
    """Read a folder of files, or, for prediction, a flat folder or one file.

    With `labelled` every file needs a class folder, and unreadable files are left out; without,
    they keep their place and are named in `problems` too.
    """
    return _read(path, medium_of(path, labelled=labelled), labelled=labelled, progress=progress)


def holds_texts(path: Path, schema: Schema) -> bool:
    """Whether a path is texts to predict for a model of a folder of texts, and no table.

    A text file alone, or such files in a flat folder, would else be taken for tables.
    """
    if [(f.name, f.kind) for f in schema.inputs] != [(TEXTS.column, TEXTS.kind)]:
        return False
    path = path.expanduser()
    paths = visible(path) if path.is_dir() else [path]
    texts = [p for p in paths if p.suffix.lower() in TEXTS.suffixes and p.is_file()]
    return bool(texts) and not _has_column(texts[0], TEXTS.column)


def _has_column(path: Path, name: str) -> bool:
    """Whether the first line of a text file is a header with this column."""
    with path.open("rb") as file:
        first = file.readline(MOST_HEADER)
    names = re.split(rb"[\t,;|]", first.removeprefix(BOM_UTF8))
    return name.encode() in [each.strip().strip(b'"') for each in names]


def read_texts(path: Path, progress: Progress) -> Raw:
    """Texts to predict: those of a folder, or one file."""
    return _read(path.expanduser(), TEXTS, labelled=False, progress=progress)


def _read(path: Path, medium: Medium, *, labelled: bool, progress: Progress) -> Raw:
    if labelled and not path.is_dir():
        raise DataError(
            f"{path} is one {medium.many[:-1]}: to learn, give a folder with a folder per class."
        )
    if labelled:
        files, problems = class_files(path, medium)
    elif path.is_dir():
        files, problems = _any_files(path, medium)
    else:
        files, problems = [ClassFile(path)], []
    if not files:
        raise DataError(_nothing_found(path))
    looks = look_at_all([file.path for file in files], medium, progress)
    root = path if path.is_dir() else path.parent
    seen = list(zip(files, looks, strict=True))
    bad = [Problem(_below(file.path, root), look.reason) for file, look in seen if look.reason]
    if labelled and 2 * len(bad) > len(files):
        raise DataError(
            f"{path} is no folder of {medium.many}: {len(bad)} of its {len(files)} files in class "
            f"folders cannot be used: {bad[0].where} {bad[0].reason}. Put one folder of "
            f"{medium.such} for each class there."
        )
    tell_of_several([_below(file.path, root) for file, look in seen if look.several], progress)
    if labelled:
        seen = [(file, look) for file, look in seen if not look.reason]
    files, digests = [file for file, _ in seen], [look.digest for _, look in seen]
    raw = _raw(root, medium, files, digests)
    name = (path if path.is_dir() else path.with_suffix("")).resolve().name.lower()
    return replace(raw, name=name, source=str(path), problems=(*problems, *bad))


def medium_of(path: Path, *, labelled: bool = True) -> Medium:
    """What a file is, or most files of a folder are; pictures where nothing tells.

    Raises DataError where a folder holds two kinds of files, and neither is a stray few. Texts
    count where they lie in folders to learn from (`labelled`); beside those they may be notes.
    """
    paths = list(walk(path)) if path.is_dir() else [path]
    found = {
        medium.kind: [p for p in paths if p.suffix.lower() in medium.suffixes]
        for medium in (PICTURES, SOUNDS)
    }
    named = {p.with_suffix("") for medium in (PICTURES, SOUNDS) for p in found[medium.kind]}
    texts = [p for p in paths if p.suffix.lower() in TEXTS.suffixes]
    texts = [p for p in texts if p.with_suffix("") not in named]  # captions, boxes
    found[TEXTS.kind] = [p for p in texts if labelled and p.parent != path]
    *_, fewer, more = sorted(MEDIA, key=lambda medium: len(found[medium.kind]))
    few, many = found[fewer.kind], found[more.kind]
    if len(few) > STRAY * len(many):
        raise DataError(
            f"{path} holds {fewer.many} and {more.many}, such as {_below(few[0], path)} and "
            f"{_below(many[0], path)}: keep one of the two, or name both in the columns of a table."
        )
    return more if many else TEXTS if texts else PICTURES


def _raw(root: Path, medium: Medium, files: list[ClassFile], digests: list[str]) -> Raw:
    names = [_below(file.path, root) for file in files]
    content = sha256("\n".join(f"{n}\0{d}" for n, d in zip(names, digests, strict=True)).encode())
    columns: dict[str, Column] = {medium.column: _cells(medium, files, root)}
    kinds: dict[str, Kind] = {medium.column: medium.kind}
    labelled = all(file.label for file in files)
    if labelled:
        columns["label"] = pd.Series([f.label for f in files], dtype="str")
    given = all(file.split for file in files) and len({file.split for file in files}) > 1
    return Raw(
        name="",
        source="",
        table=Table(columns),
        given_split=np.array([f.split for f in files], dtype=object) if given else None,
        kinds={**kinds, "label": "category"} if labelled else kinds,
        target="label" if labelled else None,
        digest=f"sha256:{content.hexdigest()}",
        where=names.__getitem__,
        looked_at=frozenset({medium.column}),
    )


def _cells(medium: Medium, files: list[ClassFile], root: Path) -> Column:
    """Absolute paths; of text files their texts."""
    resolved = root.resolve()
    paths = [resolved / file.path.relative_to(root) for file in files]
    if medium is TEXTS:
        return pd.Series(list(in_order(read_text, paths, workers=WAITING)), dtype="str")
    return pd.Series([str(path) for path in paths], dtype="str")


def class_files(root: Path, medium: Medium) -> tuple[list[ClassFile], list[Problem]]:
    """Every file below the class folders, sorted; and what was left out."""
    problems: list[Problem] = []
    files: list[ClassFile] = []
    splits = split_folders(root, medium)
    for folder, split in splits or [(root, "")]:
        files += _of_classes(folder, split, problems, root, medium)
    taken = {folder.name for folder, _ in splits}
    for extra in visible(root) if splits else ():
        if extra.is_dir() and extra.name not in taken:
            reason = "was left out: it lies beside the folders of the splits"
            problems.append(Problem(extra.name, reason))
    files, notes = without_companions(files, medium)
    files, twins = without_twins(files) if medium is PICTURES else (files, [])
    return files, [*problems, *notes, *twins]


def split_folders(root: Path, medium: Medium) -> list[tuple[Path, str]]:
    """The folders of given splits directly below `root`, each with the split that it names.

    They count as splits only if one is for training and they hold class folders in common, since
    'train' may also be a class, as beside 'bus' and 'car'. Raises DataError where all folders are
    named after splits, but none with class folders is for training.
    """
    folders = [p for p in visible(root) if p.is_dir()]
    named = [(p, SPLITS[p.name.lower()]) for p in folders if p.name.lower() in SPLITS]
    named.sort(key=lambda entry: ORDER.index(entry[1]))
    classes = [{c.name for c in visible(p) if c.is_dir()} for p, _ in named]
    train = classes[0] if named and named[0][1] == "train" else set()
    alone = len(folders) == len(named)
    if named and alone and not train:
        raise DataError(
            f"{root} has the folders {', '.join(p.name for p in folders)}, but none named train "
            f"with a folder of {medium.many} for each class: sort the {medium.many} into such "
            "folders."
        )
    shared = any(train & other for other in classes[1:])
    return named if train and (shared or alone) else []


def _of_classes(
    folder: Path, split: str, problems: list[Problem], root: Path, medium: Medium
) -> Iterator[ClassFile]:
    loose = [p for p in visible(folder) if p.is_file() and p.suffix.lower() in medium.suffixes]
    reason = "was left out: it lies in no class folder"
    problems += [Problem(_below(file, root), reason) for file in loose[:3]]
    if len(loose) > 3:
        reason = f"{len(loose) - 3} more {medium.many} were left out: they lie in no class folder"
        problems.append(Problem(_below(folder, root), reason))
    for label in visible(folder):
        if label.is_dir():
            for file in walk(label):
                yield ClassFile(file, label.name, split)


def without_companions(
    files: list[ClassFile], medium: Medium
) -> tuple[list[ClassFile], list[Problem]]:
    """Leave out texts that lie beside a picture or sound of the same name: captions, or boxes."""
    own = {f.path.with_suffix("") for f in files if f.path.suffix.lower() in medium.suffixes}
    notes = {f for f in files if f.path.suffix.lower() in TEXTS.suffixes}
    notes = {f for f in notes if f.path.with_suffix("") in own}
    if medium is TEXTS or not notes:
        return files, []
    reason = (
        f"{len(notes)} texts were left out: each lies beside a {medium.many[:-1]} of the same "
        "name, as captions and boxes do"
    )
    return [f for f in files if f not in notes], [Problem("*.txt", reason)]


def without_twins(files: list[ClassFile]) -> tuple[list[ClassFile], list[Problem]]:
    """Leave out PNG files that lie beside a JPEG of the same name: masks, or copies.

    Only where nearly all files come in such pairs; then learning from both would be a mistake.
    """
    jpegs = {f.path.with_suffix("") for f in files if f.path.suffix.lower() in (".jpg", ".jpeg")}
    twins = {f for f in files if f.path.suffix.lower() == ".png"}
    twins = {f for f in twins if f.path.with_suffix("") in jpegs}
    if 2 * len(twins) < 0.9 * len(files):
        return files, []
    reason = (
        f"{len(twins)} PNG files were left out: each lies beside a JPEG of the same name, as masks "
        "and copies do"
    )
    return [f for f in files if f not in twins], [Problem("*.png", reason)]


def visible(folder: Path) -> list[Path]:
    """What a folder holds, sorted by name, without hidden entries and what systems leave there.

    Raises DataError for a name that is not UTF-8, since it could be written to no report.
    """
    left_out = (".", "__MACOSX", "Thumbs.db", "desktop.ini")
    paths = sorted(p for p in folder.iterdir() if not p.name.startswith(left_out))
    for path in paths:
        try:
            path.name.encode()
        except UnicodeEncodeError:
            raise DataError(
                f"The name {path.name!a} in {folder} is not UTF-8: rename it."
            ) from None
    return paths


def walk(folder: Path) -> Iterator[Path]:
    """Every visible entry below a folder, in sorted order; links to folders are not followed."""
    for path in visible(folder):
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
        else:
            yield path


def _any_files(root: Path, medium: Medium) -> tuple[list[ClassFile], list[Problem]]:
    """Files for prediction: with classes if the folder has them, else all of the medium in it."""
    inside = visible(root)
    flat = any(p.is_file() and p.suffix.lower() in medium.suffixes for p in inside)
    parts = {SPLITS.get(p.name.lower()) for p in inside if p.is_dir()}
    if not flat and ("train" in parts or parts - {"validation", "test"}):
        return class_files(root, medium)
    files = [p for p in walk(root) if p.suffix.lower() in medium.suffixes]
    left_out = [p for p in walk(root) if p.suffix.lower() not in medium.suffixes]
    reason = f"is no {medium.many[:-1]} and was left out"
    return [ClassFile(path) for path in files], [Problem(_below(p, root), reason) for p in left_out]


def _below(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path != root else root.name


def _nothing_found(path: Path) -> str:
    """Say what the folder holds instead of a folder of files for each class."""
    inside = visible(path)
    tables = [p.name for p in inside if p.suffix.lower() in (".csv", ".tsv", ".parquet")]
    suffixes = Counter(p.suffix.lower() for p in inside if p.is_file())
    if not inside:
        return (
            f"{path} is an empty folder: put a folder of pictures, sounds or texts for each class "
            "there."
        )
    for medium in (PICTURES, SOUNDS):
        if any(suffix in medium.suffixes for suffix in suffixes):
            return (
                f"The {medium.many} in {path} lie in no class folder: move each into a folder "
                "named after its class."
            )
    if tables:
        return f"{path} is a folder of tables: name one of them, such as {path / tables[0]}."
    if any(suffix in (*TEXTS.suffixes, *SOURCES) for suffix in suffixes):
        return (
            f"The texts in {path} lie in no class folder: move each into a folder named after its "
            "class, or give --task language to learn what comes next in them."
        )
    such = ", or ".join(medium.such for medium in MEDIA)
    return f"{path} holds nothing to learn from: put a folder of {such} for each class there."
