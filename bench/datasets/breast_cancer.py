"""The diagnostic breast cancer data of Wisconsin: rows of features and a class, for regressions; embedded."""

import io
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from bench.datasets.base import DataFile, Dataset, DatasetInfo, assemble, register_dataset

INFO = DatasetInfo(
    name="breast-cancer",
    summary="Wisconsin diagnostic breast cancer, 30 standardised features and the class, benign 1; embedded; no images",
    shape=(1, 31),
    rows=(407, 81, 81),
    dynamic=False,
    licence="CC BY 4.0 (UCI Machine Learning Repository)",
    citation="W. Wolberg, O. Mangasarian, N. Street and W. Street, Breast Cancer Wisconsin (Diagnostic), UCI, 1995, "
    "doi:10.24432/C5DW2B",
    files=(
        DataFile(
            path="breast-cancer.csv",
            checksum="sha256:feb0adc252908ad0b2c7286e5f9b4cc84fd5d8b50a807f8ade1b1edc5f27a355",
            mirrors=(),
            embedded=True,
            most=119889,
        ),
    ),
    images=False,
)
WHOLE = replace(
    INFO,
    name="breast-cancer-whole",
    summary="the same without a split: all rows are trained on, and the test rows are the same ones",
    rows=(569, 0, 569),
)


@register_dataset(INFO)
def parse(info: DatasetInfo, content: bytes) -> Dataset:
    """The rows of a text of 569 lines of 30 comma-separated features and the class, in scikit-learn's order.

    Each feature is standardised by its mean and its standard deviation over all rows. Row n goes to the test set where
    n mod 7 = 6, to the validation set where n mod 7 = 5, else to the training set.
    """
    rows = _standardised(content)
    remainder = np.arange(len(rows)) % 7
    parts = (rows[part] for part in (remainder < 5, remainder == 5, remainder == 6))
    return assemble(info, *map(torch.from_numpy, parts))


@register_dataset(WHOLE)
def parse_whole(info: DatasetInfo, content: bytes) -> Dataset:
    """All rows twice, to train and to evaluate on: S. Mohamed and others, 2019, arXiv 1906.10652."""
    rows = torch.from_numpy(_standardised(content))
    return assemble(info, rows, rows[:0], rows)


def _standardised(content: bytes) -> NDArray[np.float32]:
    rows = np.loadtxt(io.BytesIO(content), delimiter=",")
    features, classes = rows[:, :-1], rows[:, -1:]
    return np.hstack([(features - features.mean(0)) / features.std(0), classes]).astype(np.float32)
