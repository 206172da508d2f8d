"""What a data set is: its description, its files and its rows."""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from bench.registry import Registry
from estimators.errors import BadInput

BINARISATION_SEED = 20221001
"""Seed of the one draw that fixes the validation and test rows of every dynamic data set."""


class DataError(BadInput):
    """A data set is unknown, missing, corrupt or unreadable; the message is one line and says what to do."""


LARGEST = 1 << 30
"""Bytes of a data file whose size is not stated, at most: what is larger is taken for something else."""


@dataclass(frozen=True)
class Inside:
    """What an officially compressed file holds, by which a copy is known that was unpacked or packed anew."""

    checksum: str
    """`sha256:<hex>` of the content."""
    most: int
    """Bytes of the content."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set, in its official format."""

    path: str
    """Relative to `$GRADEST_DATA` and to the cache, with forward slashes; `path + ".gz"` is accepted too."""
    checksum: str
    """`sha256:<hex>` or `git-blob:<hex>` of the official bytes, however the copy at hand is compressed."""
    mirrors: tuple[str, ...]
    """Where to download it from, in the order to try; empty for a file that ships with the package."""
    embedded: bool = False
    """Whether the file lies beside this module (as `path + ".gz"`) and nowhere else."""
    most: int = LARGEST
    """Bytes of the official file, or more where that is not known: a download and an unpacking end there."""
    inside: Inside | None = None
    """Of a file that is officially compressed: its content, which a parser then gets in the place of the file."""


@dataclass(frozen=True)
class DatasetInfo:
    """What can be said of a data set without opening a file."""

    name: str
    """The name that `bench.datasets.load` takes."""
    summary: str
    """One line that tells this benchmark from the others."""
    shape: tuple[int, int]
    """Height and width of an image; a row is the image read line by line, top line first."""
    rows: tuple[int, int, int]
    """Number of training, validation and test rows; no validation rows where the published split has none."""
    dynamic: bool
    """Whether the training rows are intensities, to be drawn as Bernoulli variables anew at each pass."""
    licence: str
    """As stated by the source, or that none is."""
    citation: str
    """Who made the data, and where."""
    files: tuple[DataFile, ...]
    """The files it is read from, in the order in which the parser takes them."""
    grey: bool = False
    """Whether all rows are intensities that are taken as they are, in training and in evaluation: what a Bernoulli
    likelihood says of them is minus a cross-entropy, and no probability."""
    images: bool = True
    """Whether rows hold values in [0, 1], which a VAE with its Bernoulli likelihood takes; else numbers of any size,
    such as features and a class, of which a problem of another kind knows the meaning."""

    @property
    def pixels(self) -> int:
        """X, the length of a row."""
        return math.prod(self.shape)


class Dataset(NamedTuple):
    """The rows of one benchmark, float32 on the CPU."""

    name: str
    """The name it was loaded by."""
    train: Tensor
    """[N, X] intensities in [0, 1] where `dynamic` or `info.grey`, else values in {0, 1}; any without `info.images`."""
    valid: Tensor
    """[N, X] values in {0, 1}, the same at every load; in [0, 1] where `info.grey`; any without `info.images`."""
    test: Tensor
    """[N, X] values in {0, 1}, the same at every load; in [0, 1] where `info.grey`; any without `info.images`."""
    dynamic: bool
    """Whether `train` is to be drawn Bernoulli anew at each pass."""
    info: DatasetInfo
    """Where it comes from."""


class Source(NamedTuple):
    """A data set that can be loaded: what `register_dataset` makes."""

    info: DatasetInfo
    """Its description."""
    parse: Callable[..., Dataset]
    """A pure function from `info` and the verified bytes of each of `info.files`, see `DataFile`, to the rows."""


SOURCES: Registry[Source] = Registry(
    "data set",
    "bench.datasets",
    ("digits", "amat", "idx", "omniglot", "caltech", "breast_cancer"),
    "gradest.datasets",
    "gradest list datasets",
    DataError,
)
Parser = TypeVar("Parser", bound=Callable[..., Dataset])


def register_dataset(info: DatasetInfo) -> Callable[[Parser], Parser]:
    """Decorator of the function that reads a data set, from `info` and the verified bytes of its files.

    Raises:
        BadInput: a name is taken by another function.
    """

    def decorate(parse: Parser) -> Parser:
        SOURCES.add(info.name, Source(info, parse), parse)
        return parse

    return decorate


def assemble(info: DatasetInfo, train: Tensor, valid: Tensor, test: Tensor) -> Dataset:
    """A `Dataset` from its three parts, each [N, X]; those of a dynamic data set are all intensities.

    The validation and test intensities are drawn once here, validation first, from one generator seeded with
    `BINARISATION_SEED`, so that two runs evaluate the same rows.

    Raises:
        DataError: a part has not the shape that `info` announces, or holds what is no value of an image.
    """
    for part, rows, count in zip(("train", "valid", "test"), (train, valid, test), info.rows, strict=True):
        if rows.shape != (count, info.pixels):
            raise DataError(f"{part} rows have shape {tuple(rows.shape)}, expected {(count, info.pixels)}")
        if not rows.isfinite().all():
            raise DataError(f"{part} rows hold numbers that are not finite")
        if info.images and ((rows < 0) | (rows > 1)).any():
            raise DataError(
                f"{part} rows hold values outside of [0, 1], and a likelihood of bits takes none: scale them, or say "
                "images=False in the data set's description, for a problem of another kind"
            )
    if info.dynamic:
        generator = torch.Generator("cpu").manual_seed(BINARISATION_SEED)
        valid, test = _draw(valid, generator), _draw(test, generator)
    return Dataset(info.name, train, valid, test, info.dynamic, info)


def _draw(intensity: Tensor, generator: torch.Generator) -> Tensor:
    """Bits, 1 with the probability that `intensity` states.

    Not `torch.bernoulli`, whose stream depends on how torch was built; nor the default dtype, which is the
    caller's.
    """
    uniform = torch.rand(intensity.shape, generator=generator, dtype=torch.float32, device="cpu")
    return (uniform < intensity).to(torch.float32)


def need(package: str, purpose: str) -> Any:
    """Import an optional package at the moment of its use.

    Raises:
        DataError: it is not installed; `purpose` ("to ...") says what it was wanted for.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        raise DataError(f"the package {name!r} is needed {purpose}; install it (pip install {name})") from error
