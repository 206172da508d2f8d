"""Reading a local copy of a data file, which is verified each time, and never beyond the size that it may have."""

import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Callable
from pathlib import Path

from bench.datasets.base import DataError, DataFile

GZIP = b"\x1f\x8b"
"""The first bytes of a gzip stream; neither an image file nor a text of digits begins so."""
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "Is a directory"),
    (stat.S_ISFIFO, "a pipe, not a file"),
    (stat.S_ISSOCK, "a socket, not a file"),
    (lambda mode: not stat.S_ISREG(mode), "a device, not a file"),
)


def checksum(content: bytes, kind: str) -> str:
    """`kind:<hex>`, as in `DataFile.checksum`; kind is "sha256" or "git-blob", the id git gives a file."""
    if kind == "git-blob":
        digest = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    else:
        digest = hashlib.new(kind, content)
    return f"{kind}:{digest.hexdigest()}"


def most_of_a_copy(file: DataFile) -> int:
    """Bytes of a copy of `file` at most, however it is packed: gzip adds little to what it cannot make smaller."""
    largest = max(file.most, file.inside.most if file.inside else 0)
    return largest + largest // 100 + 4096


def read(path: Path, file: DataFile) -> bytes:
    """What a parser takes of the copy of `file` at `path`, verified, whether the copy is compressed or not.

    That is the official bytes, or the content of an officially compressed file that states it (`DataFile.inside`). The
    copy is read once: the bytes that are returned are those that were hashed. What is no file is not opened; neither
    the reading nor the unpacking goes on beyond the size that the official bytes have.

    Raises:
        DataError: the copy is corrupt, or cannot be read.
    """
    content, changed = _bytes(path, most_of_a_copy(file))
    wanted, most = (file.inside.checksum, file.inside.most) if file.inside else (file.checksum, file.most)
    officially_packed = file.inside is None and file.path.endswith(".gz")
    try:
        if content.startswith(GZIP) and not officially_packed:
            content = unpacked(content, most)
        found = checksum(content, wanted.partition(":")[0])
    except (gzip.BadGzipFile, EOFError, zlib.error):
        found = "a broken gzip stream"
    except _TooMuch as error:
        found = str(error)
    if found == wanted:
        return content
    if changed:
        raise DataError(f"{path} changed while it was read; try again when nothing writes to it")
    raise DataError(f"{path} is corrupt (expected {_short(wanted)}, found {_short(found)})")


class _TooMuch(Exception):
    """A stream holds more than it may."""


def unpacked(content: bytes, most: int) -> bytes:
    """What a gzip stream holds, of which no more than `most` bytes and one are unpacked.

    Raises:
        gzip.BadGzipFile, EOFError, zlib.error: it is broken, or ends early.
        _TooMuch: it holds more than `most` bytes.
    """
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        found = stream.read(most + 1)
    if len(found) > most:
        raise _TooMuch(f"more than the {most} bytes that it should unpack to")
    return found


def _bytes(path: Path, most: int) -> tuple[bytes, bool]:
    """The bytes of a regular file, and whether it changed meanwhile."""
    try:
        _check_kind(path, os.stat(path))  # before it is opened: to open a pipe blocks, and a device may do anything
        with open(path, "rb", opener=_without_blocking) as file:
            before = os.fstat(file.fileno())
            _check_kind(path, before)
            content = file.read(most + 1)
            after = os.fstat(file.fileno())
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    if len(content) > most:
        raise DataError(f"{path} is corrupt (expected at most {most} bytes, found {max(after.st_size, most + 1)})")
    return content, (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)


def _check_kind(path: Path, found: os.stat_result) -> None:
    for is_it, words in _KINDS:
        if is_it(found.st_mode):
            raise DataError(f"{path} cannot be read ({words})")


def _without_blocking(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _short(checksum: str) -> str:
    """The first digits of a checksum: enough to compare by eye, where a line has little room."""
    kind, colon, digits = checksum.partition(":")
    return f"{kind}:{digits[:12]}..." if colon and len(digits) >= 40 else checksum
