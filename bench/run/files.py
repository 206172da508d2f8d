"""Files of a run: written whole or not at all, and read without waiting for whatever lies in their place.

A name in a run's folder may be a pipe that nobody writes to, a link to somewhere else, a folder, or a file of many
gigabytes. None of them is read: `content_of` says what it is instead.
"""

import errno
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path

MEGABYTE = 2**20
TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9]+-[0-9a-f]{8}\.tmp")
"""What a file is called while `write_atomic` writes it: its name, the process, and what makes it nobody else's."""
_OF_THIS_PROCESS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR)
"""Errors that say nothing about the file."""


class Unreadable(Exception):
    """What lies there is no file that we read; its words follow the path."""


def content_of(path: Path, most: int, *, follow: bool = False, begins: bytes = b"") -> bytes | None:
    """What a file holds; None where there is none.

    Args:
        path: of the file.
        most: bytes that are read at most; no file of its kind is larger.
        follow: whether it may be a link.
        begins: with what it must begin for the rest to be read.

    Raises:
        Unreadable: it is a folder, a pipe, a device or a link, may not be read, or is larger than that.
        OSError: this process has no descriptor or no memory left.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError) as error:
        if path.is_symlink():
            raise Unreadable("is a link to nowhere") from error
        return None
    except OSError as error:
        if error.errno in _OF_THIS_PROCESS:
            raise
        link = error.errno == errno.ELOOP
        raise Unreadable("is a link, not a file" if link else f"cannot be read ({error.strerror})") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Unreadable(f"is a {_what(found.st_mode)}, not a file")
        if found.st_size > most:
            raise Unreadable(
                f"is a file of {found.st_size / MEGABYTE:.0f} MB, where {most // MEGABYTE} MB are the most"
            )
        first = os.read(descriptor, len(begins)) if begins else b""
        return first + _read(descriptor, found.st_size) if first == begins else first
    except OSError as error:
        if error.errno in _OF_THIS_PROCESS:
            raise
        raise Unreadable(f"cannot be read ({error.strerror})") from error
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    """So many bytes, or what there is up to the end: a file may shrink or grow meanwhile."""
    whole = os.read(descriptor, size)  # all of it, but for files of gigabytes
    while len(whole) < size and (more := os.read(descriptor, size - len(whole))):
        whole += more
    return whole


def _what(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "folder"
    return "pipe" if stat.S_ISFIFO(mode) else "device"


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file under a temporary name in its folder, flush it to the disk, then rename it into place.

    A file that is there keeps its permissions, as it would if it were opened and written over, but that its owner may
    read it: a record that nobody may would be made again by each run. A link is replaced.

    Raises:
        OSError: it cannot be written; the error names the file, and nothing is left of the attempt.
    """
    if path.name in ("", ".."):  # `.`, `..` and `/` are folders, beside which there is no name to be had
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = None
    try:
        descriptor, temporary = _new(path)
        with os.fdopen(descriptor, "wb") as file:
            with suppress(FileNotFoundError):
                if stat.S_ISREG(there := path.lstat().st_mode):
                    os.fchmod(descriptor, stat.S_IMODE(there) | stat.S_IRUSR)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        temporary = None
        _flush_names(path.parent)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # an error of fsync names no file, one of open another
        raise
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def put_aside(path: Path) -> None:
    """Rename what lies in the place of a file of ours and is none, of whose ever making: nothing of it is lost."""
    path.rename(path.with_name(f"{path.name}.{secrets.token_hex(4)}.aside"))


def _flush_names(folder: Path) -> None:
    """Have the new name on the disk too: after a power cut the file is there, not the one of before."""
    with suppress(OSError):  # the file is whole and in place, and not every file system can flush a folder
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _new(path: Path) -> tuple[int, Path]:
    """A temporary file that was not there before, and the descriptor that it is open with."""
    while True:
        # Processes of two containers or machines that share a folder may have the same number.
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        with suppress(FileExistsError):
            return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666), temporary
