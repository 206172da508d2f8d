"""The data sets: binary and grey images, and one of features for regressions; each a benchmark of its own.

Two of them never share a row of a table, not even two made from the same MNIST digits: the split and the way
in which intensities become bits, or stay grey, change the likelihood. Each registers in the file that reads it;
importing opens no data file.
"""

import os
from functools import lru_cache

from bench.datasets.base import SOURCES, DataError, DataFile, Dataset, DatasetInfo, assemble, register_dataset
from bench.datasets.files import VARIABLE, fetch

__all__ = [
    "DataError",
    "DataFile",
    "Dataset",
    "DatasetInfo",
    "assemble",
    "available",
    "described",
    "info",
    "load",
    "load_once",
    "register_dataset",
]

_SOURCES = SOURCES.entries


def available() -> tuple[DatasetInfo, ...]:
    """Every data set that `load` knows, the embedded one first, in the same order at every call."""
    return tuple(source.info for source in SOURCES.all().values())


def info(name: str) -> DatasetInfo:
    """The description of the data set called `name`, or of that which is defined at `module:Name`.

    Raises:
        DataError: there is none.
    """
    return SOURCES.get(name).info


def described(name: str) -> DatasetInfo | None:
    """The same; None for a name that is not known, of which whoever loads the rows says so."""
    try:
        return info(name)
    except DataError:
        return None


def load(name: str, *, download: bool = True) -> Dataset:
    """The data set called `name`, from the package, `$GRADEST_DATA`, the cache or, if `download`, a mirror.

    Raises:
        DataError: the name is unknown; or a file is missing, corrupt or unreadable; or a package is missing.
    """
    known, parse = SOURCES.get(name)
    try:
        return parse(known, *(fetch(file, download=download) for file in known.files))
    except DataError as fault:
        raise DataError(f"data set {name!r}: {fault}") from fault.__cause__


def load_once(name: str) -> Dataset:
    """`load`, remembered while `$GRADEST_DATA` stays the same; the rows are shared, and not to be changed.

    Raises:
        DataError: see `load`.
    """
    return _remembered(name, os.environ.get(VARIABLE))


@lru_cache(maxsize=2)
def _remembered(name: str, folder: str | None) -> Dataset:
    return load(name)
