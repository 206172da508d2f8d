"""MNIST binarised once and for all, in the text files that Larochelle published."""

import numpy as np
import torch
from torch import Tensor

from bench.datasets.base import DataError, DataFile, Dataset, DatasetInfo, assemble, register_dataset

LINE = 2 * 784
"""Bytes in a line: 784 digits, each followed by one separator, a space or, the last, a line feed."""

_CHECKSUMS = {
    "train": "sha256:ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "sha256:1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "sha256:e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}
_ROWS = {"train": 50000, "valid": 10000, "test": 10000}
_MIRRORS = (
    "https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
    "https://raw.githubusercontent.com/riannevdberg/sylvester-flows/"
    "32dde9b7d696fee94f946a338182e542779eecfe/data/MNIST_static/",
    "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
)


def _file(part: str) -> DataFile:
    name = f"binarized_mnist_{part}.amat"
    mirrors = tuple(mirror + name for mirror in _MIRRORS)
    return DataFile(f"binarized_mnist/{name}", _CHECKSUMS[part], mirrors, most=_ROWS[part] * LINE)


INFO = DatasetInfo(
    name="mnist-static",
    summary="MNIST drawn to bits once, Larochelle's fixed files; its own rows and split, not mnist-dynamic's",
    shape=(28, 28),
    rows=(_ROWS["train"], _ROWS["valid"], _ROWS["test"]),
    dynamic=False,
    licence="none stated",
    citation="H. Larochelle and I. Murray, The Neural Autoregressive Distribution Estimator, AISTATS 2011; "
    "R. Salakhutdinov and I. Murray, On the Quantitative Analysis of Deep Belief Networks, ICML 2008",
    files=tuple(map(_file, _CHECKSUMS)),
)


def read_amat(content: bytes) -> Tensor:
    """The rows, [N, 784] float32 in {0, 1}, of a text of N lines of 784 digits 0 or 1.

    Raises:
        DataError: the text is not made of whole lines, or a digit is neither 0 nor 1.
    """
    if len(content) % LINE:
        raise DataError(f"an amat file of {len(content)} bytes is not made of lines of {LINE} bytes")
    digits = np.frombuffer(content, dtype=np.uint8).reshape(-1, LINE)[:, ::2] - ord("0")
    if digits.size and digits.max() > 1:
        raise DataError("an amat file holds something else than the digits 0 and 1")
    return torch.from_numpy(digits.astype(np.float32))


@register_dataset(INFO)
def parse(info: DatasetInfo, train: bytes, valid: bytes, test: bytes) -> Dataset:
    """The rows of the three files, as they are."""
    return assemble(info, read_amat(train), read_amat(valid), read_amat(test))
