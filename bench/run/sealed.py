"""Files that carry the hash of what they hold: torch would read damaged numbers as if they were whole.

A file is a line that says whose it is, a line with the hash of all that follows, the header as a line of JSON, and a
body.
Nothing here needs torch.
"""

import hashlib
from pathlib import Path

from bench.run import files

TORN = "is torn or damaged"
LARGEST = 2**36
"""Bytes of a file, 64 GB: a state of several models of a few billion numbers."""
_HASH = 65
"""Length of the line of the hash."""


class Unusable(Exception):
    """A file that cannot be used; its words follow the file's name, or what it is."""


def seal(magic: bytes, header: str, body: bytes) -> bytes:
    """The content of a file.

    Args:
        magic: the first line, with its end.
        header: a line of JSON.
        body: all that follows.
    """
    content = header.encode() + b"\n" + body
    return magic + _hash(content) + content


def content_of(path: Path, magic: bytes) -> bytes | None:
    """What a file holds, its beginning alone where that is not the magic's; None where there is none.

    Raises:
        Unusable: it cannot be read, or is no file.
    """
    try:
        return files.content_of(path, LARGEST, begins=magic)
    except files.Unreadable as error:
        raise Unusable(str(error)) from error


def is_whole(magic: bytes, content: bytes) -> bool:
    """Whether what follows the hash is what was hashed."""
    first = len(magic) + _HASH
    return content[len(magic) : first] == _hash(content[first:])


def parts(magic: bytes, content: bytes) -> tuple[bytes, bytes]:
    """The header's line and the body."""
    line, _, body = content[len(magic) + _HASH :].partition(b"\n")
    return line, body


def _hash(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n"
