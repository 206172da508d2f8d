"""The data sets: binary images, each a benchmark of its own.

Two of them never share a row of a table, not even two made from the same MNIST digits: the split and the way
in which intensities become bits change the likelihood. Importing this package opens no file.
"""

import os
from functools import lru_cache

from bench.datasets import amat, caltech, digits, idx, omniglot
from bench.datasets.base import DataError, DataFile, Dataset, DatasetInfo
from bench.datasets.files import VARIABLE, fetch
from estimators.errors import unknown

__all__ = ["DataError", "DataFile", "Dataset", "DatasetInfo", "available", "load", "load_once"]

_SOURCES = {
    source.info.name: source
    for source in (*digits.SOURCES, *amat.SOURCES, *idx.SOURCES, *omniglot.SOURCES, *caltech.SOURCES)
}


def available() -> tuple[DatasetInfo, ...]:
    """Every data set that `load` knows, the embedded one first, in the same order at every call."""
    return tuple(source.info for source in _SOURCES.values())


def load(name: str, *, download: bool = True) -> Dataset:
    """The data set called `name`, from the package, `$GRADEST_DATA`, the cache or, if `download`, a mirror.

    Raises:
        DataError: the name is unknown; or a file is missing, corrupt or unreadable; or a package is missing.
    """
    if name not in _SOURCES:
        raise DataError(unknown("data set", name, list(_SOURCES), "gradest list datasets"))
    info, parse = _SOURCES[name]
    try:
        return parse(info, *(fetch(file, download=download) for file in info.files))
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
