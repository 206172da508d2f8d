"""MATLAB v5 files and the column-major images in them."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.datasets.base import DataError, need


def read_matlab(content: bytes, *keys: str) -> tuple[NDArray[Any], ...]:
    """The arrays called `keys`, in that order.

    Raises:
        DataError: scipy is not installed, or one of the arrays is missing.
    """
    found = need("scipy.io", "to read MATLAB files").loadmat(io.BytesIO(content), variable_names=keys)
    missing = [key for key in keys if key not in found]
    if missing:
        raise DataError(f"the MATLAB file holds no array called {' or '.join(missing)}")
    return tuple(found[key] for key in keys)


def upright(rows: NDArray[Any], height: int, width: int) -> NDArray[np.float32]:
    """Rows [N, height * width] of images stored column by column, as rows read line by line.

    Row n becomes `rows[n].reshape((height, width), order="F").ravel()`.
    """
    columns = rows.reshape(-1, width, height)  # N x width x height: MATLAB's first index runs fastest
    return columns.transpose(0, 2, 1).reshape(len(rows), -1).astype(np.float32)
