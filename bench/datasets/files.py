"""Where the bytes of a data file come from.

The order is the package (for embedded data), `$GRADEST_DATA`, the user's cache, then a download into the
cache. A file that fails its checksum in `$GRADEST_DATA` is reported and left alone, since it is the user's;
one in the cache is deleted and downloaded afresh.
"""

import os
from pathlib import Path

from bench.datasets.base import DataError, DataFile, need
from bench.datasets.download import retrieve
from bench.datasets.verify import read

VARIABLE = "GRADEST_DATA"
LINE = 255
"""Characters of a message here at most: with the name of the data set before it, it is a line that one still reads."""


def fetch(file: DataFile, *, download: bool = True) -> bytes:
    """The official bytes of `file`, verified; without `download` only from a place on this machine.

    Raises:
        DataError: it is corrupt, unreadable, or nowhere to be had; the message names every place.
    """
    if file.embedded:
        return _read_or_advise(Path(__file__).parent / f"{file.path}.gz", file, "reinstall gradest")
    own = own_folder()
    if own and (path := _find(own, file)):
        return _read_or_advise(path, file, f"replace it with {file.mirrors[0] if file.mirrors else 'the right file'}")

    cache = cache_folder()
    damage = ""
    if path := _find(cache, file):
        try:
            return read(path, file)
        except DataError as fault:
            damage = "the cached copy was corrupt and was discarded; "
            _discard(path, fault)
    try:
        if not download:
            raise DataError("not downloaded")
        return retrieve(file, cache)
    except DataError as fault:
        raise DataError(_nowhere(file, own, cache, damage, str(fault))) from fault.__cause__


def _nowhere(file: DataFile, own: Path | None, cache: Path, damage: str, why: str) -> str:
    """One line of what was looked for, where, why no mirror served it, and what to do; no longer than a line may be.

    Where there is little room, long folders lose their middle, and then the reasons their end.
    """
    advice = f"put {file.mirrors[0]} there by hand" if file.mirrors else "put it there by hand"
    place = "" if own is None or own.is_dir() else ", no such folder"
    folders = [_short(own) if own else "not set", _short(cache)]

    def line(why: str, folders: list[str]) -> str:
        where = f"${VARIABLE} ({folders[0]}{place}) or the cache ({folders[1]})"
        return f"{damage}cannot find {file.path} in {where}; {why}; {advice}"

    room = LINE - len(line("", ["", ""]))
    why = _elided(why, max(40, room - sum(min(len(folder), 40) for folder in folders)), ahead=1)
    left = room - len(why)  # for both folders: half of it each, or what the other leaves
    own_most, cache_most = (max(12, left // 2, left - len(other)) for other in reversed(folders))
    return line(why, [_elided(folders[0], own_most), _elided(folders[1], cache_most)])


def _elided(text: str, most: int, ahead: float = 0.3) -> str:
    """A text of so many characters at most, this share of them from its start, the rest from its end."""
    if len(text) <= most:
        return text
    start = int(ahead * (most - 3))
    return f"{text[:start]}...{text[len(text) - (most - 3 - start) :]}"


def _short(path: Path) -> str:
    """A path, from the home folder where it lies there."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else str(path)


def own_folder() -> Path | None:
    """The folder that `$GRADEST_DATA` names, existing or not; None where the variable is unset or empty."""
    folder = os.environ.get(VARIABLE)
    return Path(os.path.expanduser(folder)) if folder else None


def cache_folder() -> Path:
    """The folder of downloaded files, that of `pooch.os_cache("gradest")`.

    Raises:
        DataError: pooch is not installed.
    """
    return Path(need("pooch", f"to find or download data that is not in ${VARIABLE}").os_cache("gradest"))


def _find(folder: Path, file: DataFile) -> Path | None:
    names = [file.path, f"{file.path}.gz", *([file.path.removesuffix(".gz")] if file.inside else [])]
    return next((path for name in names if os.path.exists(path := folder / name)), None)


def _read_or_advise(path: Path, file: DataFile, advice: str) -> bytes:
    try:
        return read(path, file)
    except DataError as fault:
        line = f"{fault}; {advice}"
        raise DataError(line if len(line) <= LINE else f"{fault}; replace it") from fault.__cause__


def _discard(path: Path, fault: DataError) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{fault}, and cannot be deleted ({error.strerror}); delete it by hand") from error
