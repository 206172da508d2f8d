"""Omniglot at 28x28 as Burda, Grosse and Salakhutdinov made it (arXiv:1509.00519).

Other reductions of Lake's 105x105 drawings have other intensities and other rows, so their likelihoods are
not comparable with those measured here.
"""

import numpy as np
import torch

from bench.datasets.base import DataFile, Dataset, DatasetInfo, assemble, register_dataset
from bench.datasets.matlab import read_matlab, upright

SHUFFLE_SEED = 123
"""The seed with which the published code shuffles the training rows before it sets some aside."""

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


@register_dataset(INFO)
def parse(info: DatasetInfo, content: bytes) -> Dataset:
    """The rows of `data` [784, 24345] and `testdata` [784, 8070], intensities in [0, 1], one image a column.

    The images are stored column by column and are turned upright, as the published code does (yburda/iwae).
    The validation set is that code's too: it permutes the training rows (NumPy's RandomState, whose stream is
    frozen, seed 123) and sets the last 1345 aside. The last rows of the file as it lies would be another
    split.
    """
    data, testdata = read_matlab(content, "data", "testdata")
    rows, test = (torch.from_numpy(upright(columns.T, *info.shape)) for columns in (data, testdata))
    rows = rows[torch.from_numpy(np.random.RandomState(SHUFFLE_SEED).permutation(len(rows)))]
    return assemble(info, rows[: info.rows[0]], rows[info.rows[0] :], test)
