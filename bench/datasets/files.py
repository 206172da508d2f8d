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


def fetch(file: DataFile, *, download: bool = True) -> bytes:
    """The official bytes of `file`, verified; without `download` only from a place on this machine.

    Raises:
        DataError: it is corrupt, unreadable, or nowhere to be had; the message names every place and mirror.
    """
    if file.embedded:
        return _read_or_advise(Path(__file__).parent / f"{file.path}.gz", file, "reinstall gradest")
    own = own_folder()
    if own and (path := _find(own, file)):
        return _read_or_advise(path, file, f"replace it with the file at {' or '.join(file.mirrors)}")

    cache = cache_folder()
    damage = ""
    if path := _find(cache, file):
        try:
            return read(path, file)
        except DataError as fault:
            damage = f"the cached {fault} and was discarded; "
            _discard(path, fault)
    try:
        if not download:
            raise DataError("not downloaded")
        return retrieve(file, cache)
    except DataError as fault:
        state = "" if own is None or own.is_dir() else ": no such folder"
        raise DataError(
            f"{damage}cannot find {file.path}; "
            f"looked in ${VARIABLE} ({own or 'not set'}{state}) and in the cache ({cache}); "
            f"{fault}; download {file.mirrors[0]} by hand and put it at {(own or cache) / file.path}"
        ) from fault.__cause__


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
    candidates = folder / file.path, folder / f"{file.path}.gz"
    return next((path for path in candidates if os.path.exists(path)), None)


def _read_or_advise(path: Path, file: DataFile, advice: str) -> bytes:
    try:
        return read(path, file)
    except DataError as fault:
        raise DataError(f"{fault}; {advice}") from fault.__cause__


def _discard(path: Path, fault: DataError) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{fault}, and cannot be deleted ({error.strerror}); delete it by hand") from error
