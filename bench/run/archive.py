"""The archive of a published run: the records of `DIR/cells/*.json` in the one file `DIR/cells.zip`.

A run has hundreds of records, which are too many files for a repository. `bench.run.store` reads the archive as it
reads the folder, and `unzip` makes the folder of it again. Equal records make an equal archive, byte for byte: members
are sorted and carry no time.

An archive may come from anywhere. It is read into memory alone, and one that no run would have written is refused: that
names something outside of its folder, links, the same record twice or bytes without end.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path, PurePosixPath

from bench.records.content import LARGEST
from bench.run.files import MEGABYTE, Unreadable, content_of
from estimators.errors import BadInput

NAME = "cells.zip"
LARGEST_ARCHIVE = 1024 * MEGABYTE
"""Bytes of an archive: published ones have up to 2 MB."""
DENSEST = 100
"""Bytes that an archive may hold in each of its own; published records come to 4. One record is never too many."""

_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, RuntimeError)
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
        BadInput: the archive is damaged, as a whole or in one of its records, or no run has written it.
    """
    try:
        state = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return _unpack(path, (state.st_dev, state.st_ino, state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=2)  # two, as a comparison reads two archives
def _unpack(path: Path, state: tuple[int, ...]) -> Mapping[str, bytes]:
    """Read once as long as the file's state is the same: a store asks for one record at a time."""
    try:
        whole = content_of(path, LARGEST_ARCHIVE, follow=True) or b""
    except Unreadable as error:
        raise BadInput(f"{str(path)!r} {error}") from error
    contents, where = dict[str, bytes](), ""
    try:
        with zipfile.ZipFile(io.BytesIO(whole)) as archive:
            members = archive.infolist()
            if strange := _strange(members, len(whole)):
                raise BadInput(f"{str(path)!r} {strange}, which no run has written: fetch it again, or delete it")
            for member in members:
                where = f" at {member.filename}"
                with archive.open(member) as opened:  # of every member: only then does a damaged name show
                    content = opened.read(member.file_size + 1)  # whatever more its bytes would unpack to
                name = PurePosixPath(member.filename)
                if name.parent == PurePosixPath("cells") and name.suffix == ".json":
                    contents[name.stem] = content
    except BadInput:
        raise
    except _DAMAGE as error:
        raise BadInput(
            f"{str(path)!r} is damaged{where} ({error}); fetch it again, or delete it and gradest run makes its records"
        ) from error
    return contents


def _strange(members: Sequence[zipfile.ZipInfo], size: int) -> str:
    """What a run would not have written, in half a sentence; empty where there is nothing of the kind.

    Args:
        members: as the archive's directory lists them.
        size: bytes of the archive.
    """
    seen: set[PurePosixPath] = set()
    for member in members:
        name = member.filename
        if (place := PurePosixPath(name)) in seen:  # under whatever spelling: a//b and a/./b are a/b
            return f"holds {str(place)!r} twice"
        seen.add(place)
        if name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts or name[1:2] == ":":
            return f"names {name!r}, outside of its folder"
        if stat.S_ISLNK(member.external_attr >> 16):
            return f"holds {name!r} as a link"
        if member.flag_bits & 1:
            return f"holds {name!r} encrypted"
        if member.file_size > LARGEST:
            return f"holds {name!r} of {member.file_size / MEGABYTE:.0f} MB, where {LARGEST // MEGABYTE} are the most"
    total = sum(member.file_size for member in members)
    if total > DENSEST * size + LARGEST:
        return f"holds {total / MEGABYTE:.0f} MB in {size / MEGABYTE:.1f}"
    return ""
