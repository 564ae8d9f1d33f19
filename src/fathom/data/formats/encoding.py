"""Text encodings: whatever a text file is written in becomes UTF-8."""

from __future__ import annotations

import codecs
import io
import re
from hashlib import sha256
from pathlib import Path

from charset_normalizer import from_bytes

from fathom.core.errors import DataError
from fathom.core.progress import Progress
from fathom.data.formats import packed

MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins alike
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"\x1f\x8b", "compressed by gzip"),
    (b"PAR1", "a Parquet file"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
)
SAMPLE_BYTES = 64 * 1024
PIECE = 16 * 2**20
_SIGNS = frozenset("¢£¤¥¦¨¬¯±²³´¶¸¹º¼½¾¿×÷")
FEW = 40  # bytes beyond ASCII, too few for a statistical guess of the language


def read_utf8(path: Path, progress: Progress) -> tuple[bytes, str]:
    """A file of text, packed or not, as UTF-8, and the SHA-256 of what was in it, hexadecimal.

    An encoding that was guessed is told. Raises DataError as `to_utf8` does.
    """
    data = packed.read_bytes(path)
    content, encoding = to_utf8(data, path)
    if encoding:
        progress.say(f"{path.name} is not UTF-8; it was read as {encoding}.")
    return content, sha256(data).hexdigest()


def to_utf8(data: bytes, path: Path) -> tuple[bytes, str]:
    """Give the text as UTF-8 without a mark, and the name of an encoding that was guessed, or ''.

    Raises DataError where the file is empty, is no text, or cannot be decoded.
    """
    if not data[:SAMPLE_BYTES].strip() and not data.strip():
        needed = "a table needs a header line and rows below it"
        if packed.suffix(path) == ".ts":
            needed = "a file of series needs a header, a line @data, and a line for each series"
        raise DataError(f"{path} is empty: {needed}.")
    _refuse_binary(data, path)
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _decode(data, encoding, path).removeprefix(codecs.BOM_UTF8), ""
    if encoding := _unmarked_utf16(data):
        return _decode(data, encoding, path), encoding
    if b"\0" in data:
        at = data.index(b"\0")
        raise DataError(
            f"{path} is no text: byte {at} is zero; save the table as CSV, TSV or Parquet."
        )
    try:
        if not data.isascii():
            _recode(data, "utf-8")
    except UnicodeDecodeError:
        encoding = _guess(data)
        if not encoding:
            line = data.count(b"\n", 0, _first_wrong(data)) + 1
            raise DataError(
                f"{path} line {line} holds bytes of no known text encoding: save it as UTF-8."
            ) from None
        return _decode(data, encoding, path), encoding
    return data, ""


def _first_wrong(data: bytes) -> int:
    """The place of the first byte that is not UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _refuse_binary(data: bytes, path: Path) -> None:
    for signature, what in SIGNATURES:
        if data.startswith(signature):
            raise DataError(
                f"{path} is not text but {what}: unpack it or save the table as CSV, TSV or "
                "Parquet, and give the file the ending of its format."
            )


def _decode(data: bytes, encoding: str, path: Path) -> bytes:
    try:
        return _recode(data, encoding)
    except UnicodeError as error:
        raise DataError(
            f"{path} is not valid {encoding}, as which it begins ({error}): save it as UTF-8."
        ) from None


def _recode(data: bytes, encoding: str) -> bytes:
    """The text as UTF-8, decoded piece by piece: a whole one takes up to four bytes a character."""
    decoder = codecs.getincrementaldecoder(encoding)()
    out = io.BytesIO()
    for start in range(0, len(data), PIECE):
        piece = decoder.decode(data[start : start + PIECE], final=start + PIECE >= len(data))
        if encoding != "utf-8":
            out.write(piece.encode("utf-8"))
    return data if encoding == "utf-8" else out.getvalue()


def _unmarked_utf16(data: bytes) -> str:
    """UTF-16 without a mark: in Western text every second byte is zero."""
    sample = data[:4096]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if odd > 0.4 * len(sample) and even < 0.05 * len(sample):
        return "utf-16-le"
    if even > 0.4 * len(sample) and odd < 0.05 * len(sample):
        return "utf-16-be"
    return ""


def _guess(data: bytes) -> str:
    """The likeliest encoding, judged by the lines that are not plain ASCII; '' for none.

    Short texts fit many encodings equally well; of those Windows-1252, the commonest by far, is
    taken first, and without asking further where a few accents stand in words of ASCII letters.
    """
    lines, size = [], 0
    for found in re.finditer(rb"[^\r\n]*[\x80-\xff][^\r\n]*", data):
        lines.append(found.group())
        size += len(lines[-1])
        if size > SAMPLE_BYTES:
            break
    sample = b"\n".join(lines)
    if _central_european(sample) and _decodes(data, "cp1250"):
        return "cp1250"
    if _few_accents(sample) and _decodes(data, "cp1252"):
        return "cp1252"
    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        return ""
    chosen: str = best.encoding
    for match in matches:
        if "cp1252" in (match.encoding, *match.could_be_from_charset):
            chosen = "cp1252" if match.chaos <= best.chaos else chosen
    return chosen if _decodes(data, chosen) else ""


def _central_european(text: bytes) -> bool:
    """Whether Windows-1252 shows signs within words, all of which Windows-1250 shows as letters."""
    pairs = [
        (one, two)
        for one, two in zip(
            text.decode("cp1252", "replace"), text.decode("cp1250", "replace"), strict=True
        )
        if not one.isascii()
    ]
    signs = {pair for pair in pairs if pair[0] in _SIGNS}
    many = 5 * sum(pair in signs for pair in pairs) > len(pairs)
    return len(signs) > 1 and many and all(two.isalpha() for _, two in signs)


def _few_accents(text: bytes) -> bool:
    """Whether there are few bytes beyond ASCII, and most stand as accents do in Western words.

    Those stand alone, or among more ASCII letters than there are of them; where two bytes make a
    character, they stand side by side.
    """
    words = [w for w in re.findall(rb"[A-Za-z\x80-\xff]+", text) if not w.isascii()]
    beyond = [len(re.findall(rb"[\x80-\xff]", word)) for word in words]
    western = sum(n == 1 or 2 * n < len(w) for n, w in zip(beyond, words, strict=True))
    return sum(beyond) <= FEW and 2 * western > len(words)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        _recode(data, encoding)
    except UnicodeDecodeError:
        return False
    return True
