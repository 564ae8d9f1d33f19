"""The file `bundle.json`, and the reading of a bundle's files: sizes, digests, formats, types."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import msgspec
from msgspec import Struct

from fathom.core.errors import ArtefactError, UserError
from fathom.core.files import inside
from fathom.core.schema import SCHEMA_FORMAT, TaskName
from fathom.inference import Precision, Views
from fathom.inference.trust import TRUST_FORMAT
from fathom.networks import NetworkSpec

BUNDLE_FORMAT = 1
MANIFEST, SCHEMA, TRUST = "bundle.json", "schema.json", "trust.json"
NETWORK, BASELINE = "model.safetensors", "baseline.safetensors"
FILES = (SCHEMA, TRUST, NETWORK, BASELINE)
FORMATS = {MANIFEST: BUNDLE_FORMAT, SCHEMA: SCHEMA_FORMAT, TRUST: TRUST_FORMAT}
LARGEST_JSON = 2**28
WAY_OUT = "copy the bundle again from where it was made, or run fathom fit anew"

ModelName = Literal["network", "baseline"]
T = TypeVar("T")


class Listing(Protocol):
    """A manifest of any kind."""

    @property
    def files(self) -> dict[str, FileEntry]:
        """Every other file of the bundle."""


M = TypeVar("M", bound=Listing)


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a bundle: its size in bytes and its SHA-256, hexadecimal."""

    size: int
    sha256: str


class BaselineEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """The baseline's name, and the JSON half of its state."""

    name: str
    config: dict[str, Any]


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """The file `bundle.json`.

    `default` is the model that was better on validation; `validation_scores` holds what each of the
    two reached there (higher is better; None where the split could not tell). The network's outputs
    are averaged over `views` of each example. `files` lists every other file.
    """

    fathom: str
    task: TaskName
    default: ModelName
    validation_scores: dict[ModelName, float | None]
    precision: Precision
    network: NetworkSpec
    baseline: BaselineEntry
    provenance: dict[str, Any]
    files: dict[str, FileEntry]
    views: Views = "one"
    format_version: int = BUNDLE_FORMAT


class _Header(Struct, frozen=True):
    """All that is looked at before it is known that the rest can be read."""

    format_version: int


def entry_of(content: bytes) -> FileEntry:
    """The entry of a file with this content."""
    return FileEntry(len(content), hashlib.sha256(content).hexdigest())


def read_manifest(folder: Path) -> Manifest:
    """The `bundle.json` of a folder. Raises ArtefactError where it is missing or not as written."""
    return check_files(folder, Manifest, FILES)


def check_files(folder: Path, kind: type[M], files: tuple[str, ...]) -> M:
    """The `bundle.json` of a folder as a manifest of some kind that lists just these `files`."""
    path = folder / MANIFEST
    _check_size(path, None)
    manifest = parse(_read(path), path, kind)
    wrong = sorted(set(files) ^ set(manifest.files))
    if wrong:
        raise ArtefactError(
            f"{path} is not as Fathom writes it: its list of files should be {', '.join(files)}, "
            f"but differs in {', '.join(map(repr, wrong[:5]))}; {WAY_OUT}."
        )
    return manifest


def read_file(folder: Path, name: str, entry: FileEntry) -> bytes:
    """The content of a bundle's file, which is that of its entry or else an ArtefactError.

    The bytes that were verified are the bytes that are used: nothing is opened twice.
    """
    inside(folder, name)  # refuses a link that leads out
    path = folder / name
    _check_size(path, entry.size)
    content = _read(path)
    if entry_of(content) != entry:
        raise ArtefactError(f"{path} is damaged: its SHA-256 is not the recorded one; {WAY_OUT}.")
    return content


def parse(content: bytes, path: Path, kind: type[T]) -> T:
    """Strictly typed JSON whose `format_version` this Fathom reads, or else an ArtefactError."""
    try:
        version = msgspec.json.decode(content, type=_Header).format_version
        known = FORMATS[path.name]
        if version > known:
            raise ArtefactError(
                f"{path} was written by a newer Fathom (format {version}; this one reads {known}): "
                "update with pip install --upgrade fathom-learn."
            )
        if version != known:
            raise ArtefactError(f"{path} has the unknown format {version}; {WAY_OUT}.")
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtefactError(f"{path} is damaged or not Fathom's: {error}; {WAY_OUT}.") from None
    except ArtefactError:
        raise
    except UserError as error:  # a value of a spec that makes no network
        raise ArtefactError(f"{path} is not as Fathom writes it: {error}") from None


def _check_size(path: Path, expected: int | None) -> None:
    """Before a byte is read."""
    if not path.is_file():
        raise ArtefactError(f"{path} is missing: the bundle is incomplete; {WAY_OUT}.")
    size = path.stat().st_size
    if expected is not None and size != expected:
        raise ArtefactError(
            f"{path} is damaged: it has {size:,} bytes, and {expected:,} were written; {WAY_OUT}."
        )
    if path.suffix == ".json" and size > LARGEST_JSON:
        raise ArtefactError(f"{path} has {size:,} bytes, too many for such a file; {WAY_OUT}.")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtefactError(
            f"{path} cannot be read ({error.strerror}): check its permissions."
        ) from None
