"""Reading a local copy of a data file, which is verified each time."""

import gzip
import hashlib
import zlib
from pathlib import Path

from bench.datasets.base import DataError, DataFile


def checksum(content: bytes, kind: str) -> str:
    """`kind:<hex>`, as in `DataFile.checksum`; kind is "sha256" or "git-blob", the id git gives a file."""
    if kind == "git-blob":
        digest = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    else:
        digest = hashlib.new(kind, content)
    return f"{kind}:{digest.hexdigest()}"


def read(path: Path, file: DataFile) -> bytes:
    """The official bytes of `file` from the copy at `path`, unpacked where only the copy is compressed.

    The file is read once: the bytes that are returned are those that were hashed.

    Raises:
        DataError: the copy is corrupt, or cannot be read.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz" and not file.path.endswith(".gz"):
            content = gzip.decompress(content)
        found = checksum(content, kind=file.checksum.partition(":")[0])
    except (gzip.BadGzipFile, EOFError, zlib.error):
        found = "a broken gzip stream"
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    if found != file.checksum:
        raise DataError(f"{path} is corrupt (expected {file.checksum}, found {found})")
    return content
