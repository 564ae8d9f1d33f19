"""Media: what files can hold, beside a table or in folders, and how they are looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fathom.core.progress import Progress
from fathom.core.schema import Kind
from fathom.data.parallel import WAITING, in_order

SHOWN_EVERY = 200


@dataclass(frozen=True)
class Look:
    """What a look at a file showed: why it cannot be used ('' if it can), the SHA-256 of its
    content, and whether it has several frames or pages.
    """

    reason: str
    digest: str
    several: bool = False


@dataclass(frozen=True)
class Medium:
    """What a file can hold: the kind of its column, words for it, and how its files are known.

    `column` is what a folder of such files calls it; `one` and `many` name it in sentences, `such`
    the files that people have. `inside` looks at a file of which the digest is known, `opens` tells
    whether some bytes are such a file.
    """

    kind: Kind
    column: str
    one: str
    many: str
    such: str
    suffixes: frozenset[str]
    inside: Callable[[IO[bytes], str], Look]
    opens: Callable[[bytes], bool]

    @property
    def unread(self) -> str:
        """How the reason begins where a file cannot be read."""
        return f"cannot be read as {self.one}"


def look(path: Path, medium: Medium) -> Look:
    """Read a file's content once, for its digest, and look at its header."""
    if not path.is_file():
        gone = not path.is_symlink() and not path.exists()
        if gone:
            return Look(f"{medium.unread}: there is no such file", "")
        return Look("is no file, but a link that leads nowhere, or to a folder", "")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not file.tell():
                return Look("is empty", digest)
            file.seek(0)
            return medium.inside(file, digest)
    except OSError as error:
        return Look(f"cannot be opened: {error.strerror}", "")


def look_at_all(paths: Iterable[Path], medium: Medium, progress: Progress) -> list[Look]:
    """`look` at every file, in threads; every byte is read once.

    The digest of a data set is what tells whether a run can be resumed or repeated on it, so that
    times of change would not do. Reading costs little beside decoding (LOG.md has figures).
    """
    paths = list(paths)
    found: list[Look] = []
    for result in in_order(lambda path: look(path, medium), paths, workers=WAITING):
        found.append(result)
        if len(found) % SHOWN_EVERY == 0:
            progress.advance(len(found), len(paths), f"{medium.many} looked at")
    return found


def tell_of_several(places: list[str], progress: Progress) -> None:
    """Say that of animations and files of several pages the first picture is used."""
    if places:
        files = "1 file holds" if len(places) == 1 else f"{len(places):,} files hold"
        such = "" if len(places) == 1 else " such as"
        progress.say(
            f"{files} several frames or pages,{such} {places[0]}: the first of each is used."
        )
