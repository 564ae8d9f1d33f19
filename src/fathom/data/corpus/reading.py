"""Reading a corpus: text files, source code, JSON Lines or texts in memory become documents."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from fathom.core.errors import DataError
from fathom.core.progress import Progress, Silent
from fathom.data.corpus import finding, json_lines
from fathom.data.corpus.decoding import Encodings, NoTextError, chunks_of, texts_of
from fathom.data.corpus.documents import Corpus, Document, Skipped
from fathom.data.corpus.finding import CORPORA
from fathom.data.corpus.pieces import utf8_size
from fathom.data.formats.memory import run_name

__all__ = ["CORPORA", "Corpus", "Document", "Source", "open_corpus"]

Source = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

_FILE_NAME = re.compile(r"\S+\.[A-Za-z][A-Za-z0-9]{0,7}")
MOST_PATH = 4_096  # characters
EMPTY = "is empty"
ZEROS = "is no text: it holds signs of value zero"
NO_FIELD = "is JSON of which no field is known to be the text"
T = TypeVar("T")


def open_corpus(
    source: Source, *, progress: Progress | None = None, text_field: str | None = None
) -> Corpus:
    """The documents of `source`, found but not yet read.

    `source` is a text file (also source code, or any file that can be decoded), a folder of such
    files, JSON Lines with a field of text, packed or not, a pattern such as 'part-*.jsonl', a list
    of paths, the name of a built-in corpus (CORPORA), or a sequence of texts in memory. A list of
    strings is one of paths where any is the path of a file, or all look like names of files. A text
    file is one document, as is a line of JSON. Of a folder, hidden files and folders, compiled
    code, installed packages, tables, pictures and what else is no text are left out and counted.
    `text_field` names the field of JSON Lines.

    Texts stay exactly as they are: line ends of whatever kind, blanks and letters. Raises DataError
    with one sentence for anything of which no text can be had.
    """
    shown = progress or Silent()
    if isinstance(source, str | os.PathLike):
        return _of_path(os.fspath(source), text_field, shown)
    items = list(source)
    if not items:
        raise DataError("The corpus is an empty list: give texts, or the paths of text files.")
    if not all(isinstance(item, str | os.PathLike) for item in items):
        wrong = next(item for item in items if not isinstance(item, str | os.PathLike))
        raise DataError(
            f"A corpus of {type(wrong).__name__} objects cannot be read: give {finding.READ}, or "
            "a list of texts."
        )
    if _are_paths(items):
        paths = [Path(item).expanduser() for item in items]
        skipped = Skipped()
        files = _guarded(str(paths[0]), lambda: finding.of_paths(paths, skipped))
        whole = paths[0] if len(paths) == 1 else paths[0].parent.resolve()
        return _of_files(files, whole, skipped, text_field, shown)
    return _of_texts([str(item) for item in items])


def _of_path(source: str, text_field: str | None, progress: Progress) -> Corpus:
    skipped = Skipped()
    files = _guarded(source, lambda: finding.of_path(source, skipped))
    return _of_files(files, Path(source).expanduser(), skipped, text_field, progress, source=source)


def _guarded(source: str, find: Callable[[], T]) -> T:
    try:
        return find()
    except PermissionError as error:
        raise DataError(
            f"{error.filename or source} may not be read by you: change its permissions."
        ) from None
    except OSError as error:
        raise DataError(f"{source} cannot be read: {error.strerror or error}.") from None


def _of_files(
    files: finding.Files,
    whole: Path,
    skipped: Skipped,
    text_field: str | None,
    progress: Progress,
    *,
    source: str = "",
) -> Corpus:
    """The corpus of some files, which are all that was found at `whole`, given as `source`."""
    encodings = Encodings(progress)
    usable, field = _guarded(str(whole), lambda: _with_field(files, whole, skipped, text_field))

    def reading(found: Skipped) -> Iterator[Document]:
        for path, called in usable:
            if json_lines.recognises(path):
                yield from json_lines.documents(path, called, field, found)
            else:
                yield from _text_file(path, called, encodings, found)

    corpus = Corpus(
        reading,
        source=source or str(whole),
        name=run_name(whole),
        text_field=field or None,
        files=tuple(path for path, _ in usable),
        size=sum(path.stat().st_size for path, _ in usable),
        skipped=skipped,
        said=encodings.tell,
    )
    _demand_some(corpus)
    return corpus


def _with_field(
    files: finding.Files, whole: Path, skipped: Skipped, text_field: str | None
) -> tuple[finding.Files, str]:
    """The files that can be read, and in which field JSON Lines have the text; '' without any.

    In a folder JSON Lines without such a field are left out. Raises DataError for others.
    """
    usable, field = [], ""
    for path, called in files:
        try:
            if json_lines.recognises(path):
                field = field or json_lines.find_field(path, text_field)
        except (DataError, PermissionError) as error:
            if not whole.is_dir() or len(files) == 1:
                raise
            unread = isinstance(error, PermissionError)
            skipped.add(called, finding.NOT_ALLOWED if unread else NO_FIELD)
        else:
            usable.append((path, called))
    return usable, field


def _demand_some(corpus: Corpus) -> None:
    """Raises DataError where there is not one document."""
    if next(corpus.documents(), None) is not None:
        return
    problems = corpus.problems
    if len(problems) == 1 and Path(corpus.source).is_file():
        raise DataError(f"{corpus.source} {problems[0].reason}: give {finding.READ}.")
    why = f" {corpus.left_out}" if problems else ""
    raise DataError(f"{corpus.called} holds no text to learn from: give {finding.READ}.{why}")


def _text_file(path: Path, name: str, encodings: Encodings, skipped: Skipped) -> Iterator[Document]:
    """The one document of a text file, in pieces where it is long; none where it is no text."""
    try:
        chunks = chunks_of(path)
        encoding = encodings.of(path, chunks)
    except NoTextError as error:
        skipped.add(name, str(error))
        return
    except PermissionError:
        skipped.add(name, "may not be read by you")
        return
    part, before = 0, ""
    for text in texts_of(chunks, encoding):
        if before:
            yield Document(name, before, part, last=False)
            part += 1
        before = text
    if part or before.strip():
        yield Document(name, before, part)
    else:
        skipped.add(name, EMPTY)


def _of_texts(texts: Sequence[str]) -> Corpus:
    """A corpus of texts in memory, called 'document 1', 'document 2' and so on."""

    def reading(skipped: Skipped) -> Iterator[Document]:
        for number, text in enumerate(texts, 1):
            name = f"document {number}"
            if not text.strip():
                skipped.add(name, EMPTY)
            elif "\0" in text:
                skipped.add(name, ZEROS)
            else:
                yield Document(name, text)

    try:
        size = sum(map(utf8_size, texts))
    except UnicodeEncodeError:
        raise DataError("A text of the corpus holds half of a pair of surrogates.") from None
    corpus = Corpus(reading, source="", name="corpus", size=size)
    _demand_some(corpus)
    return corpus


def _are_paths(items: Sequence[object]) -> bool:
    """Whether a list holds paths, or else texts."""
    if any(isinstance(item, os.PathLike) for item in items):
        return True
    texts = [str(item) for item in items]
    if any(len(text) > MOST_PATH or "\n" in text or "\0" in text for text in texts):
        return False
    return any(map(_exists, texts)) or all(map(_FILE_NAME.fullmatch, texts))


def _exists(text: str) -> bool:
    try:
        return Path(text).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):
        return False
