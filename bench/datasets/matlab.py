"""MATLAB v5 files and the column-major images in them."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets.base import DataError, need


def read_matlab(content: bytes, *keys: str) -> tuple[NDArray[Any], ...]:
    """The arrays called `keys`, in that order.

    Nothing else of the file is read. What is read runs no code: scipy makes numbers, texts and structures of a file of
    this version, and what is not an array of numbers is refused.

    Raises:
        DataError: scipy is not installed, the file is of another version or broken, or one of the arrays is missing or
            not of numbers.
    """
    load = need("scipy.io", "to read MATLAB files").loadmat
    try:
        found = load(io.BytesIO(content), variable_names=keys)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:  # scipy raises whatever its parser meets
        raise DataError(
            f"the MATLAB file cannot be read ({type(error).__name__}): it is broken or not of version 5"
        ) from error
    missing = [key for key in keys if key not in found]
    if missing:
        raise DataError(f"the MATLAB file holds no array called {' or '.join(missing)}")
    for key in keys:
        if found[key].dtype.kind not in "buif":
            raise DataError(f"{key} of the MATLAB file is no array of numbers")
    return tuple(found[key] for key in keys)


def upright(rows: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Rows [N, height * width] of images stored column by column, as rows read line by line.

    Row n becomes `rows[n].reshape((height, width), order="F").ravel()`.
    """
    columns = rows.reshape(-1, width, height)  # N x width x height: MATLAB's first index runs fastest
    return columns.transpose(0, 2, 1).reshape(len(rows), -1).astype(np.float32)
