"""The archive of a published run: the records of `DIR/cells/*.json` in the one file `DIR/cells.zip`.

A run has hundreds of records, which are too many files for a repository. `bench.run.store` reads the archive as it
reads the folder, and `unzip` makes the folder of it again. Equal records make an equal archive, byte for byte: members
are sorted and carry no time.
"""

import io
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path, PurePosixPath

from estimators.errors import BadInput

NAME = "cells.zip"

_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError)
"""What zipfile raises at damaged bytes; some look to it like a compression or an encryption that it does not know."""


def pack(contents: Mapping[str, bytes]) -> bytes:
    """The archive of some records, given by cell id as the bytes of their files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for cell_id, content in sorted(contents.items()):
            member = zipfile.ZipInfo(f"cells/{cell_id}.json")  # dated 1980, the earliest that a zip can say
            member.external_attr = 0o644 << 16  # without permissions unzip would make files that nobody may read
            archive.writestr(member, content, zipfile.ZIP_DEFLATED, compresslevel=9)
    return buffer.getvalue()


def unpack(path: Path) -> Mapping[str, bytes]:
    """The records of an archive by cell id, as the bytes of their files; none where there is no archive.

    Raises:
        BadInput: the archive is damaged, as a whole or in one of its records.
    """
    try:
        state = path.stat()
    except FileNotFoundError:
        return {}
    return _unpack(path, (state.st_ino, state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=2)  # two, as a comparison reads two archives
def _unpack(path: Path, state: tuple[int, ...]) -> Mapping[str, bytes]:
    """Read once as long as the file's state is the same: a store asks for one record at a time."""
    file, contents, where = io.BytesIO(path.read_bytes()), {}, ""
    try:
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                where = f" at {name}"
                content = archive.read(name)  # of every member: only then does a damaged name show
                member = PurePosixPath(name)
                if member.parent == PurePosixPath("cells") and member.suffix == ".json":
                    contents[member.stem] = content
    except _DAMAGE as error:
        raise BadInput(
            f"{str(path)!r} is damaged{where} ({error}); fetch it again, or delete it and gradest run makes its records"
        ) from error
    return contents
