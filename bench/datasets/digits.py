"""The embedded data set: scikit-learn's digits, small enough to ship and to train on in seconds."""

import io
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from bench.datasets.base import DataFile, Dataset, DatasetInfo, assemble, register_dataset

GREATEST = 16
"""The greatest intensity."""
HALF = 8
"""Half of it: the threshold above which, or at which, a pixel is 1."""

INFO = DatasetInfo(
    name="digits",
    summary="scikit-learn's 8x8 digits, thresholded at half intensity; embedded, needs no download",
    shape=(8, 8),
    rows=(1285, 256, 256),
    dynamic=False,
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998, doi:10.24432/C50P49",
    files=(
        DataFile(
            path="digits.csv",
            checksum="sha256:7a6c50de32a86fd68a6daefeb36cb989fe7d2a1030b86bf5a2accefe077c50f0",
            mirrors=(),
            embedded=True,
            most=261118,
        ),
    ),
)
GREY = replace(
    INFO,
    name="digits-grey",
    summary="scikit-learn's 8x8 digits as grey values, intensity over 16, taken as they are; embedded",
    grey=True,
)


@register_dataset(INFO)
def parse(info: DatasetInfo, content: bytes) -> Dataset:
    """The rows of a text of 1797 lines of 64 comma-separated intensities, 0 to 16, in scikit-learn's order.

    Row n goes to the test set where n mod 7 = 6, to the validation set where n mod 7 = 5, else to the
    training set. Long stretches of the file repeat the ten digits in order; 7 and 10 being coprime, no part
    misses a digit.
    """
    return _dealt(info, (_intensities(content) >= HALF).astype(np.float32))


@register_dataset(GREY)
def parse_grey(info: DatasetInfo, content: bytes) -> Dataset:
    """The same rows in the same parts, x / 16 in [0, 1]."""
    return _dealt(info, (_intensities(content) / GREATEST).astype(np.float32))


def _intensities(content: bytes) -> NDArray[np.uint8]:
    return np.loadtxt(io.BytesIO(content), delimiter=",", dtype=np.uint8)


def _dealt(info: DatasetInfo, rows: NDArray[np.float32]) -> Dataset:
    remainder = np.arange(len(rows)) % 7
    train, valid, test = (torch.from_numpy(rows[part]) for part in (remainder < 5, remainder == 5, remainder == 6))
    return assemble(info, train, valid, test)
