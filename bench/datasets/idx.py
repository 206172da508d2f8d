"""MNIST and Fashion-MNIST from their official idx files: intensities to be drawn to bits, thresholded, or grey.

The last 10,000 of the 60,000 training images are the validation set, as is usual; grey MNIST has none, since those who
train on it take all 60,000. These rows do not align with those of the static files, most of whose validation images
are among the first 50,000 here.
"""

import struct
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bench.datasets.base import DataError, DataFile, Dataset, DatasetInfo, Inside, assemble, register_dataset

MAGIC = 0x00000803
"""An idx file of unsigned bytes in three dimensions."""
THRESHOLD = 128
"""The least of the 256 intensities that counts as 1 in `mnist-threshold`."""

_MNIST_MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
_FASHION_MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


class _Packed(NamedTuple):
    """A gzipped file of images of 28 x 28."""

    sha256: str
    size: int
    rows: int
    sha256_inside: str


def _files(folder: str, mirrors: tuple[str, ...], train: _Packed, test: _Packed) -> tuple[DataFile, DataFile]:
    def file(name: str, of: _Packed) -> DataFile:
        inside = Inside(f"sha256:{of.sha256_inside}", 16 + of.rows * 28 * 28)
        where = tuple(mirror + name for mirror in mirrors)
        return DataFile(f"{folder}/{name}", f"sha256:{of.sha256}", where, most=of.size, inside=inside)

    return file("train-images-idx3-ubyte.gz", train), file("t10k-images-idx3-ubyte.gz", test)


LECUN = "Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST Database of Handwritten Digits, 1998"
MNIST = DatasetInfo(
    name="mnist-dynamic",
    summary="MNIST intensities, drawn to bits anew at each pass, once for evaluation; 50000/10000/10000",
    shape=(28, 28),
    rows=(50000, 10000, 10000),
    dynamic=True,
    licence="CC BY-SA 3.0",
    citation=f"{LECUN}; drawn as in R. Salakhutdinov and I. Murray, ICML 2008",
    files=_files(
        "mnist",
        _MNIST_MIRRORS,
        train=_Packed(
            sha256="440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            size=9912422,
            rows=60000,
            sha256_inside="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        test=_Packed(
            sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            size=1648877,
            rows=10000,
            sha256_inside="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
    ),
)
MNIST_THRESHOLD = replace(
    MNIST,
    name="mnist-threshold",
    summary="MNIST with pixels of at least 128 of 255 set to 1, no noise in the data; mnist-dynamic's split",
    dynamic=False,
    citation=LECUN,
)
MNIST_GREY = replace(
    MNIST,
    name="mnist-grey",
    summary="MNIST's grey values, x / 255, taken as they are: the likelihood is no probability; 60000/0/10000",
    rows=(60000, 0, 10000),
    dynamic=False,
    citation=f"{LECUN}; as in L. Liu et al., Bridging Discrete and Backpropagation, arXiv:2304.08612 "
    "(LiyuanLucasLiu/ReinMax)",
    grey=True,
)
FASHION = DatasetInfo(
    name="fashion-dynamic",
    summary="Fashion-MNIST intensities, drawn to bits anew at each pass, once for evaluation",
    shape=(28, 28),
    rows=(50000, 10000, 10000),
    dynamic=True,
    licence="MIT",
    citation="H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking "
    "Machine Learning Algorithms, arXiv:1708.07747",
    files=_files(
        "fashion_mnist",
        _FASHION_MIRRORS,
        train=_Packed(
            sha256="3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            size=26421880,
            rows=60000,
            sha256_inside="c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        ),
        test=_Packed(
            sha256="346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            size=4422102,
            rows=10000,
            sha256_inside="5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        ),
    ),
)


def read_idx(content: bytes) -> NDArray[np.uint8]:
    """The intensities, [N, height * width] from 0 to 255, of an idx file of images.

    Raises:
        DataError: the header is not that of images, or announces another size than the file has.
    """
    magic, count, height, width = struct.unpack_from(">4I", content) if len(content) >= 16 else (0, 0, 0, 0)
    if magic != MAGIC or len(content) != 16 + count * height * width:
        raise DataError(
            f"not an idx file of images: magic number {magic}, {count} x {height} x {width}, {len(content)} bytes"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=16).reshape(count, height * width)


@register_dataset(MNIST)
def parse_intensities(info: DatasetInfo, train: bytes, test: bytes) -> Dataset:
    """Rows x / 255 in [0, 1]; of a dynamic set, validation and test rows are drawn once."""
    rows, test_rows = (torch.from_numpy(read_idx(content).astype(np.float32)).div_(255) for content in (train, test))
    return assemble(info, rows[: info.rows[0]], rows[info.rows[0] :], test_rows)


@register_dataset(MNIST_THRESHOLD)
def parse_threshold(info: DatasetInfo, train: bytes, test: bytes) -> Dataset:
    """Rows of 1 where x >= 128, else 0."""
    rows, test_rows = (
        torch.from_numpy((read_idx(content) >= THRESHOLD).astype(np.float32)) for content in (train, test)
    )
    return assemble(info, rows[: info.rows[0]], rows[info.rows[0] :], test_rows)


register_dataset(MNIST_GREY)(parse_intensities)
register_dataset(FASHION)(parse_intensities)
