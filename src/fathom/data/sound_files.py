"""Opening single sounds safely: a file's path or its bytes, of any format that is read.

libsndfile decodes (WAV, FLAC, Ogg Vorbis and Opus, MP3, AIFF and others). `header` reads no more
than a header; whether the samples can be decoded shows at `open_sound`.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from math import ceil, gcd
from pathlib import Path
from typing import IO, Any

import numpy as np
import soundfile
from scipy.signal import resample_poly

from fathom.core.errors import DataError
from fathom.core.prediction import Array
from fathom.data.media import Look, Medium

SUFFIXES = frozenset((".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au"))
MAX_BYTES = 2**30  # of one file; a larger one is an attack or a mistake
MAX_CHANNELS = 64
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000
LARGEST = 32_767  # of a sample; the one below it stands for padding
MOST_CHUNKS, UNKNOWN_SIZE = 64, 0x7FFF_0000  # of a WAV file: parts looked at, and sizes no file has
_BROKEN = (soundfile.SoundFileError, OSError, ValueError, EOFError, RuntimeError, MemoryError)


@dataclass(frozen=True)
class Header:
    """What a header says: samples a second, samples of each channel (mp3: about so many)."""

    rate: int
    frames: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.frames / self.rate


def header(source: str | Path | bytes) -> Header | None:
    """What a sound's header says; None where it is damaged, empty or no sound."""
    try:
        with _opened(source) as sound:
            return None if _unfit(sound) else Header(sound.samplerate, sound.frames)
    except _BROKEN:
        return None


def open_sound(source: str | Path | bytes, rate: int, most: int) -> Array:
    """Decode the first `most` samples at `rate` a second: (n,) int16 of one channel, n >= 1.

    Channels are averaged; other rates are resampled behind a filter that keeps out what would fold
    back (polyphase, Kaiser window). Raises DataError, whose message is the reason, where the file
    is missing, damaged, empty, no sound, or above MAX_BYTES.
    """
    _check_bytes(source)
    try:
        with _opened(source) as sound:
            unfit = _unfit(sound)
            if unfit:
                raise DataError(unfit)
            wanted = ceil(most * sound.samplerate / rate) + 1
            samples = sound.read(min(wanted, sound.frames), dtype="float32", always_2d=True)
            found = samples.mean(axis=1)
            if not len(found):
                raise DataError("holds no sound")
            if not np.isfinite(found).all():
                raise DataError(f"{SOUNDS.unread}: it holds values that are no numbers")
            return as_samples(resampled(found, sound.samplerate, rate)[:most])
    except DataError:
        raise
    except _BROKEN as error:
        raise DataError(_reason(error)) from None


def is_cut_off(source: str | Path | bytes) -> bool:
    """Whether the header of a WAV file promises more samples than follow it.

    Such a file is read as far as it goes. Sizes that stand for 'not known', as programs write them
    that cannot go back to the header, promise nothing.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file:
            promised = _promised(file)
            start = file.tell()
            return promised > file.seek(0, io.SEEK_END) - start
    except OSError:
        return False


def _promised(file: IO[bytes]) -> int:
    """The bytes of samples that a WAV header names, of which the file stands at the first."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return 0
    for _ in range(MOST_CHUNKS):
        name = file.read(8)
        if len(name) < 8:
            break
        size = int.from_bytes(name[4:], "little")
        if name[:4] == b"data":
            return size if size < UNKNOWN_SIZE else 0
        file.seek(size + size % 2, io.SEEK_CUR)
    return 0


def resampled(values: Array, rate: int, wanted: int) -> Array:
    """Values (n,) at `rate` a second as float32 at `wanted` a second; at least one of them."""
    if rate == wanted or not len(values):
        return values
    common = gcd(rate, wanted)
    found = resample_poly(values, wanted // common, rate // common)
    return np.asarray(found, dtype=np.float32)


def as_samples(values: Array) -> Array:
    """Values (n,) between -1 and 1 as int16 from -32,767 to 32,767; what lies beyond is clipped."""
    return np.asarray(np.rint(np.clip(values, -1.0, 1.0) * LARGEST), dtype=np.int16)


def _opened(source: str | Path | bytes) -> Any:
    """A sound of which only the header is read yet."""
    return soundfile.SoundFile(
        io.BytesIO(source) if isinstance(source, bytes) else os.fspath(source)
    )


def _check_bytes(source: str | Path | bytes) -> None:
    try:
        size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    except FileNotFoundError:
        raise DataError(f"{SOUNDS.unread}: there is no such file") from None
    except OSError as error:
        raise DataError(f"{SOUNDS.unread}: {error.strerror}") from None
    if not size:
        raise DataError("is empty")
    if size > MAX_BYTES:
        raise DataError(f"is larger than {MAX_BYTES // 2**20:,} MiB, the most that is read")


def _unfit(sound: Any) -> str:
    """Why an opened file cannot be used; '' if it can."""
    if sound.channels > MAX_CHANNELS:
        return f"{SOUNDS.unread}: it has {sound.channels} channels, more than {MAX_CHANNELS}"
    if not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
        return f"{SOUNDS.unread}: it has {sound.samplerate:,} samples a second"
    return "" if sound.frames > 0 else "holds no sound"


def _look_inside(file: IO[bytes], digest: str) -> Look:
    if os.fstat(file.fileno()).st_size > MAX_BYTES:
        return Look(f"is larger than {MAX_BYTES // 2**20:,} MiB, the most that is read", digest)
    try:
        with soundfile.SoundFile(file) as sound:
            return Look(_unfit(sound), digest)
    except _BROKEN as error:
        return Look(_reason(error), digest)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{SOUNDS.unread}: {os.strerror(error.errno)}"
    said = str(getattr(error, "error_string", error)).strip().rstrip(".")
    if said.startswith("File does not exist"):  # libsndfile says so of broken MP3s that are there
        said = "it is damaged, cut short, or of another format than its name says"
    return f"{SOUNDS.unread}: {said or type(error).__name__}"


SOUNDS = Medium(
    kind="audio",
    column="audio",
    one="sound",
    many="sounds",
    such="WAV, FLAC, OGG or MP3 files",
    suffixes=SUFFIXES,
    inside=_look_inside,
    opens=lambda content: header(content) is not None,
)
"""Files of sound."""
