"""Packed text files: table.csv.gz, .bz2, .xz, .zst, or .zip with one file in it.

Nothing is unpacked to disk, so that no path inside an archive is ever followed. What grows beyond
all measure while it is unpacked is refused: a small file can be made to fill any memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow

from fathom.core.errors import DataError

MAX_BYTES = 16 * 2**30
HARMLESS_BYTES = 2**29  # whatever the ratio, so much fits any machine
MAX_RATIO = 200  # tables of text are packed to a third or a twentieth of their size
CHUNK = 2**24


def _open_zst(path: Path) -> IO[bytes]:
    stream: IO[bytes] = pyarrow.input_stream(str(path), compression="zstd")
    return stream


def _open_zip(path: Path) -> IO[bytes]:
    # The archive stays open as long as its member, which holds on to it.
    return zipfile.ZipFile(path).open(_member(path))


PACKERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.GzipFile,
    ".bz2": bz2.BZ2File,
    ".xz": lzma.LZMAFile,
    ".zst": _open_zst,
    ".zip": _open_zip,
}
_BROKEN = (
    *(OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile),
    *(NotImplementedError, RuntimeError, pyarrow.ArrowException),
)


def suffix(path: Path) -> str:
    """The ending of a file, in lower case, or of what is packed in it: '.csv' of 't.csv.gz'.

    Raises DataError for an archive that is damaged or holds more than one file.
    """
    outer = path.suffix.lower()
    if outer not in PACKERS:
        return outer
    inner = Path(path.stem).suffix.lower()
    if outer == ".zip" and path.is_file():
        inner = Path(_member(path).filename).suffix.lower()
    return inner


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where its ending says that it is packed.

    Raises DataError where it is damaged or would fill the memory.
    """
    if path.suffix.lower() not in PACKERS:
        return path.read_bytes()
    out = io.BytesIO()
    for chunk in chunks(path):
        out.write(chunk)
    return out.getvalue()


def chunks(path: Path, size: int = CHUNK) -> Iterator[bytes]:
    """The content of a file in chunks of `size` bytes, the last one shorter; else as `read_bytes`.

    Chunks of an unpacked stream may be shorter, none is empty.
    """
    packer = PACKERS.get(path.suffix.lower())
    if packer is None:
        with path.open("rb") as file:
            while chunk := file.read(size):
                yield chunk
        return
    allowed, done = allowed_bytes(path), 0
    try:
        with packer(path) as stream:
            while chunk := stream.read(size):
                done += len(chunk)
                if done > allowed:
                    raise too_large(path)
                yield chunk
    except (PermissionError, FileNotFoundError):
        raise
    except _BROKEN as error:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise DataError(
            f"{path} is damaged or not what its ending {path.suffix} says ({reason}): get it "
            "anew, or unpack it yourself."
        ) from None


def allowed_bytes(path: Path) -> int:
    """So much a packed file may unpack to."""
    return min(MAX_BYTES, max(HARMLESS_BYTES, MAX_RATIO * path.stat().st_size))


def too_large(path: Path) -> DataError:
    """The error for a file that unpacks to more."""
    allowed = allowed_bytes(path)
    return DataError(
        f"{path} unpacks to more than {allowed / 2**30:.1f} GiB, {allowed // path.stat().st_size} "
        "times its size, as files do that are made to fill the memory: if it is what it should "
        "be, unpack it yourself and give the unpacked file."
    )


def _member(path: Path) -> zipfile.ZipInfo:
    """The one file in an archive, besides what operating systems leave there."""
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [i for i in archive.infolist() if not i.is_dir() and not _litter(i.filename)]
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(f"{path} is damaged or no ZIP archive ({error}): get it anew.") from None
    if len(inside) != 1:
        names = ", ".join(i.filename for i in inside[:3]) + (" ..." if len(inside) > 3 else "")
        raise DataError(
            f"{path} holds {len(inside)} files{f' ({names})' if inside else ''}: unpack it, and "
            "give the file or the folder that you mean."
        )
    if inside[0].flag_bits & 1:
        raise DataError(f"{path} is locked with a password: unpack it, and give the file.")
    return inside[0]


def _litter(name: str) -> bool:
    return name.startswith("__MACOSX/") or Path(name).name in (".DS_Store", "Thumbs.db")
