"""Omniglot at 28x28 as Burda, Grosse and Salakhutdinov made it (arXiv:1509.00519).

Other reductions of Lake's 105x105 drawings have other intensities and other rows, so their likelihoods are
not comparable with those measured here.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from bench.datasets.base import DataFile, Dataset, DatasetInfo, assemble, register_dataset
from bench.datasets.matlab import read_matlab, upright

SHUFFLE_SEED = 123
"""The seed with which the published code shuffles the training rows before it sets some aside."""
BITS_SEED = 5
"""The seed with which REBAR's code and RELAX's draw the bits of the static rows, all of train before those of test."""

INFO = DatasetInfo(
    name="omniglot",
    summary="Burda's 28x28 Omniglot intensities, drawn to bits anew at each pass, once for evaluation",
    shape=(28, 28),
    rows=(23000, 1345, 8070),
    dynamic=True,
    licence="none stated for this file; MIT for the drawings it is made from",
    citation="Y. Burda, R. Grosse and R. Salakhutdinov, Importance Weighted Autoencoders, arXiv:1509.00519; "
    "B. M. Lake, R. Salakhutdinov and J. B. Tenenbaum, Science 350, 2015",
    files=(
        DataFile(
            path="omniglot/chardata.mat",
            checksum="git-blob:016a3536ffe5e1d38e42563a18d7a78bfaf643ec",
            mirrors=(
                "https://github.com/yburda/iwae/raw/78a6075484bd7dd6f47a4bb9880d2295bc7a5220/"
                "datasets/OMNIGLOT/chardata.mat",
                "https://raw.githubusercontent.com/yburda/iwae/78a6075484bd7dd6f47a4bb9880d2295bc7a5220/"
                "datasets/OMNIGLOT/chardata.mat",
            ),
            most=100 << 20,  # its size is stated nowhere that could be read; GitHub takes no larger file
        ),
    ),
)
UNSHUFFLED = replace(
    INFO,
    name="omniglot-unshuffled",
    summary="the same, its validation rows the last 1345 of train as the file lies, as DisARM's code has it",
)
STATIC = replace(
    INFO,
    name="omniglot-static",
    summary="the same rows as omniglot's, drawn to bits once for all, as REBAR's code and RELAX's have it",
    dynamic=False,
)


@register_dataset(INFO)
def parse(info: DatasetInfo, content: bytes) -> Dataset:
    """The rows of `data` [784, 24345] and `testdata` [784, 8070], intensities in [0, 1], one image a column.

    The images are stored column by column and are turned upright, as the published code does (yburda/iwae).
    The validation set is that code's too: it permutes the training rows (NumPy's RandomState, whose stream is
    frozen, seed 123) and sets the last 1345 aside. The last rows of the file as it lies would be another
    split.
    """
    rows, test = _intensities(info, content)
    return _set_aside(info, _shuffled(rows), test)


@register_dataset(UNSHUFFLED)
def parse_unshuffled(info: DatasetInfo, content: bytes) -> Dataset:
    """The same images, of which the last 1345 of `data` as the file lies are set aside.

    That is the split of DisARM's code (Dong, Mnih and Tucker, arXiv:2006.10680), and of those that began with it.
    """
    return _set_aside(info, *_intensities(info, content))


@register_dataset(STATIC)
def parse_static(info: DatasetInfo, content: bytes) -> Dataset:
    """The rows and parts of `parse`, each pixel drawn once, in the order and with the seed of published code.

    It is that of REBAR (Tucker et al., arXiv:1703.07370) and RELAX (Grathwohl et al., arXiv:1711.00123): a uniform
    number for each pixel, of all train rows in the order of the file, then of all test rows, from NumPy's RandomState.
    """
    uniform = np.random.RandomState(BITS_SEED)
    rows, test = ((uniform.random_sample(part.shape) < part).astype(np.float32) for part in _intensities(info, content))
    return _set_aside(info, _shuffled(rows), test)


def _intensities(info: DatasetInfo, content: bytes) -> list[NDArray[np.float32]]:
    """All rows of train and those of test, upright."""
    return [upright(columns.T, *info.shape) for columns in read_matlab(content, "data", "testdata")]


def _shuffled(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows[np.random.RandomState(SHUFFLE_SEED).permutation(len(rows))]


def _set_aside(info: DatasetInfo, rows: NDArray[np.float32], test: NDArray[np.float32]) -> Dataset:
    """The data set whose validation rows are the last of these."""
    train, valid = (torch.from_numpy(part) for part in (rows[: info.rows[0]], rows[info.rows[0] :]))
    return assemble(info, train, valid, torch.from_numpy(test))
