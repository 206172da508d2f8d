"""Data sets: what they hold, the formats they are read from, and how they are described."""

import dataclasses
import functools
import io
import json
import os
import re
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import datasets
from bench.datasets import (
    DataError,
    Dataset,
    DatasetInfo,
    amat,
    base,
    breast_cancer,
    caltech,
    digits,
    idx,
    omniglot,
)
from bench.datasets.matlab import read_matlab, upright

INFOS = {info.name: info for info in datasets.available()}


def needs(name: str) -> pytest.MarkDecorator:
    """Skips a test where the files of a data set are not in `$GRADEST_DATA`."""
    folder = os.environ.get("GRADEST_DATA", "")
    missing = [
        file.path
        for file in INFOS[name].files
        if not file.embedded and not any(Path(folder, file.path + end).exists() for end in ("", ".gz"))
    ]
    return pytest.mark.skipif(
        bool(missing) or not (folder or INFOS[name].files[0].embedded),
        reason=f"$GRADEST_DATA is not set or does not hold {', '.join(missing)}",
    )


def facts(**values: object) -> list[object]:
    """One parameter set a data set, skipped where its files are absent; underscores stand for hyphens."""
    names = {name: name.replace("_", "-") for name in values}
    return [pytest.param(names[key], value, marks=needs(names[key]), id=names[key]) for key, value in values.items()]


load = functools.lru_cache(maxsize=2)(datasets.load)  # two, as the large ones take 200 MB each


# What the data sets hold, from the real files


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in INFOS])
def test_parts_have_the_announced_shape_type_and_values(name: str) -> None:
    """Every part is what `DatasetInfo` says; of images, only dynamic training rows and grey sets hold intensities."""
    data = load(name)
    assert (data.name, data.dynamic, data.info) == (name, INFOS[name].dynamic, INFOS[name])
    for part, count in zip((data.train, data.valid, data.test), data.info.rows, strict=True):
        assert part.shape == (count, data.info.pixels)
        assert (part.dtype, part.device.type) == (torch.float32, "cpu")
        assert not count or not data.info.images or (part.amin() == 0 and part.amax() == 1)
    if not data.info.images:
        return
    parts = (data.train, data.valid, data.test)
    intensities = parts if data.info.grey else parts[: int(data.dynamic)]
    for part in filter(len, intensities):
        levels = len(np.unique(part[:100].numpy()))
        assert levels > 100 if data.info.pixels == 784 else levels == 17
    for part in parts[len(intensities) :]:
        assert ((part == 0) | (part == 1)).all()


@pytest.mark.parametrize(("name", "mean"), facts(mnist_dynamic=0.13096, fashion_dynamic=0.28550))
def test_mean_training_intensity(name: str, mean: float) -> None:
    """Published means of the first 50,000 training images."""
    assert round(load(name).train.mean(dtype=torch.float64).item(), 5) == mean


@pytest.mark.parametrize(
    ("name", "ones"),
    facts(
        digits=(26622, 5313, 5216),
        mnist_static=(5118041, 1028036, 1038896),
        mnist_threshold=(5196441, 1024990, 1052359),
        caltech_silhouettes=(1862842, 614266, 623421),
    ),
)
def test_number_of_ones(name: str, ones: tuple[int, int, int]) -> None:
    """The sums of the fixed parts, which change with the split, the threshold or the polarity."""
    data = load(name)
    assert tuple(int(part.sum(dtype=torch.float64)) for part in (data.train, data.valid, data.test)) == ones


@pytest.mark.parametrize(("name", "ones"), facts(mnist_dynamic=(1011892, 1038427), fashion_dynamic=(2263304, 2249125)))
def test_evaluation_rows_are_the_same_draw_on_every_machine(name: str, ones: tuple[int, int]) -> None:
    """The sums of the draw that `BINARISATION_SEED` fixes."""
    data = load(name)
    assert tuple(int(part.sum(dtype=torch.float64)) for part in (data.valid, data.test)) == ones


@needs("mnist-dynamic")
def test_a_second_load_gives_the_same_rows() -> None:
    """Evaluations of two runs are comparable."""
    first, second = load("mnist-dynamic"), datasets.load("mnist-dynamic")
    assert all(torch.equal(a, b) for a, b in zip(first[1:4], second[1:4], strict=True))


@needs("mnist-dynamic")
def test_drawn_test_rows_have_the_mean_of_the_thresholded_ones() -> None:
    """They are the same images: only grey pixels can differ."""
    drawn, threshold = load("mnist-dynamic").test, load("mnist-threshold").test
    assert (drawn != threshold).double().mean() < 0.06
    assert abs(drawn.mean() - threshold.mean()) < 0.005


@needs("mnist-grey")
def test_grey_rows_are_all_intensities_of_the_official_files() -> None:
    """Published means of all 60,000 training images and of the test images, .1307 and .1325."""
    grey, dynamic = load("mnist-grey"), load("mnist-dynamic")
    assert torch.equal(grey.train[:50000], dynamic.train)
    assert [round(part.mean(dtype=torch.float64).item(), 4) for part in (grey.train, grey.test)] == [0.1307, 0.1325]
    assert not grey.dynamic and grey.valid.shape == (0, 784)


@needs("mnist-static")
def test_static_rows_are_not_those_of_the_dynamic_split() -> None:
    """Guards the trap of mixing the two: their first images show different digits."""
    assert (load("mnist-static").train[:100] != load("mnist-threshold").train[:100]).double().mean() > 0.1


@needs("caltech-silhouettes")
def test_silhouettes_are_ones_on_a_ground_of_zeros_and_upright() -> None:
    """The first class of the file, airplanes seen from the side, is wider than tall."""
    airplanes = load("caltech-silhouettes").train[:400].reshape(-1, 28, 28)
    assert airplanes[:, [0, -1]][:, :, [0, -1]].mean() < 0.05  # the four corners are ground
    heights, widths = airplanes.amax(2).sum(1), airplanes.amax(1).sum(1)
    assert widths.mean() > heights.mean() + 2


@needs("caltech-silhouettes")
def test_no_face_is_in_two_parts_of_the_silhouettes() -> None:
    """Photograph i of class 2 is framed anew as photograph i of class 3, 435 rows further in the file."""
    first, again, apart = 798, 1233, np.arange(435)
    assert ((first + apart) % 5 == (again + apart) % 5).all()
    train = load("caltech-silhouettes").train
    rows = np.flatnonzero(np.arange(8671) % 5 < 3)
    ours = {int(row): position for position, row in enumerate(rows)}
    kept = [row for row in range(first, again) if row in ours]
    near, far = ([ours[row + lag] for row in kept] for lag in (435, 440))
    here = train[[ours[row] for row in kept]]
    assert (here != train[near]).sum(1).double().mean() < 0.8 * (here != train[far]).sum(1).double().mean()


def test_digits_are_those_of_scikit_learn() -> None:
    """The embedded file is scikit-learn's, and each part of it holds all ten digits."""
    sklearn_datasets = pytest.importorskip("sklearn.datasets", reason="compares with scikit-learn's own copy")
    theirs = sklearn_datasets.load_digits()
    bits, remainder = theirs.data >= 8, np.arange(1797) % 7
    data = load("digits")
    for part, mine in (
        (data.train, remainder < 5),
        (data.valid, remainder == 5),
        (data.test, remainder == 6),
    ):
        assert np.array_equal(part.numpy(), bits[mine])
        assert len(set(theirs.target[mine])) == 10


def test_digits_need_no_folder_and_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded data set works in the barest installation."""
    monkeypatch.setenv("GRADEST_DATA", "nowhere")
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert datasets.load("digits").train.shape == (1285, 64)


# The formats, from small files made here


def small(info: DatasetInfo, rows: tuple[int, int, int], shape: tuple[int, int] = (28, 28)) -> DatasetInfo:
    """`info` announcing fewer rows."""
    return dataclasses.replace(info, rows=rows, shape=shape)


def idx_bytes(images: np.ndarray) -> bytes:
    """An idx file of uint8 images [N, height, width]."""
    return struct.pack(">4I", 0x803, *images.shape) + images.tobytes()


def mat_bytes(**arrays: np.ndarray) -> bytes:
    """A MATLAB v5 file."""
    savemat = pytest.importorskip("scipy.io", reason="writes MATLAB files").savemat
    buffer = io.BytesIO()
    savemat(buffer, arrays)
    return buffer.getvalue()


@pytest.fixture
def grey() -> np.ndarray:
    """Nine images of 2 x 3, with 127 and 128 among the intensities."""
    return np.random.default_rng(0).integers(126, 130, (9, 2, 3)).astype(np.uint8)


def test_idx_intensities(grey: np.ndarray) -> None:
    """Pixels are divided by 255 and the split follows the order of the file."""
    data = idx.parse_intensities(small(idx.MNIST, (3, 2, 4), (2, 3)), idx_bytes(grey[:5]), idx_bytes(grey[5:]))
    assert torch.equal(data.train, torch.tensor(grey[:3].reshape(3, 6) / 255.0, dtype=torch.float32))
    assert data.valid.shape == (2, 6) and data.test.shape == (4, 6)


def test_grey_rows_are_never_drawn_and_none_are_set_aside(grey: np.ndarray) -> None:
    info = small(idx.MNIST_GREY, (5, 0, 4), (2, 3))
    data = idx.parse_intensities(info, idx_bytes(grey[:5]), idx_bytes(grey[5:]))
    expected = torch.tensor(grey.reshape(9, 6) / 255.0, dtype=torch.float32)
    assert torch.equal(data.train, expected[:5]) and torch.equal(data.test, expected[5:])
    assert data.valid.shape == (0, 6) and not data.dynamic and data.info.grey


def test_idx_parts_are_the_first_and_last_rows_of_the_training_file_and_the_test_file() -> None:
    """Black and white images, whose draw is certain; for intensities and the threshold alike."""
    images = np.random.default_rng(1).integers(0, 2, (9, 2, 3)).astype(np.uint8)
    files = idx_bytes(255 * images[:5]), idx_bytes(255 * images[5:])
    for info, parse in (
        (idx.MNIST, idx.parse_intensities),
        (idx.FASHION, idx.parse_intensities),
        (idx.MNIST_THRESHOLD, idx.parse_threshold),
    ):
        data = parse(small(info, (3, 2, 4), (2, 3)), *files)
        for part, expected in ((data.train, images[:3]), (data.valid, images[3:5]), (data.test, images[5:])):
            assert part.dtype == torch.float32
            assert np.array_equal(part, expected.reshape(-1, 6))
        assert (data.name, data.dynamic) == (info.name, info is not idx.MNIST_THRESHOLD)


def test_idx_pixels_are_read_line_by_line() -> None:
    """Five images of 2 x 3 numbered through, where a header of 3 x 2 or another start would show."""
    images = np.arange(30).astype(np.uint8).reshape(5, 2, 3)
    assert idx.read_idx(idx_bytes(images)).tolist() == [list(range(6 * n, 6 * n + 6)) for n in range(5)]
    with pytest.raises(DataError, match="magic number 2051, 5 x 2 x 3, 47 bytes"):
        idx.read_idx(idx_bytes(images) + b"0")


def test_digits_are_thresholded_at_half_and_dealt_by_seven() -> None:
    """Row n holds the intensity n in its first pixel and 7, 8 in the next two: 8 is 1, 7 is 0."""
    rows = [[n, 7, 8, 16, *[0] * 60] for n in range(15)]
    text = "".join(",".join(map(str, row)) + "\n" for row in rows).encode()
    data = digits.parse(small(digits.INFO, (11, 2, 2), (8, 8)), text)
    for part, numbers in (
        (data.train, [0, 1, 2, 3, 4, 7, 8, 9, 10, 11, 14]),
        (data.valid, [5, 12]),
        (data.test, [6, 13]),
    ):
        assert part[:, :5].tolist() == [[float(n >= 8), 0, 1, 1, 0] for n in numbers]
        assert not part[:, 5:].any()
    grey = digits.parse_grey(small(digits.GREY, (11, 2, 2), (8, 8)), text)
    assert grey.test[:, :5].tolist() == [[n / 16, 7 / 16, 8 / 16, 1, 0] for n in (6, 13)]
    assert grey.valid[:, 0].tolist() == [5 / 16, 12 / 16] and len(grey.train) == 11


def test_static_rows_are_those_of_their_file() -> None:
    bits = np.random.default_rng(2).integers(0, 2, (6, 784))
    train, valid, test = (
        "".join(" ".join(map(str, row)) + "\n" for row in part).encode() for part in (bits[:3], bits[3:4], bits[4:])
    )
    data = amat.parse(small(amat.INFO, (3, 1, 2)), train, valid, test)
    for part, expected in ((data.train, bits[:3]), (data.valid, bits[3:4]), (data.test, bits[4:])):
        assert part.dtype == torch.float32
        assert np.array_equal(part, expected)


def test_idx_threshold(grey: np.ndarray) -> None:
    """128 is 1, 127 is 0, in all three parts."""
    info = small(idx.MNIST_THRESHOLD, (3, 2, 4), (2, 3))
    data = idx.parse_threshold(info, idx_bytes(grey[:5]), idx_bytes(grey[5:]))
    assert np.array_equal(torch.cat((data.train, data.valid, data.test)), grey.reshape(9, 6) > 127)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        struct.pack(">4I", 0x801, 1, 2, 3) + bytes(6),
        struct.pack(">4I", 0x803, 1, 2, 3) + bytes(5),
    ],
    ids=["empty", "labels", "short"],
)
def test_idx_of_another_form_is_refused(content: bytes) -> None:
    """A file of labels, or one that ends early, is not read as images."""
    with pytest.raises(DataError, match="not an idx file of images"):
        idx.read_idx(content)


def test_amat_against_a_slow_reading() -> None:
    """The strided reading agrees with splitting each line; a cut text is refused."""
    bits = np.random.default_rng(0).integers(0, 2, (5, 784))
    text = "".join(" ".join(map(str, row)) + "\n" for row in bits).encode()
    expected = [[int(bit) for bit in line.split()] for line in text.decode().splitlines()]
    assert amat.read_amat(text).tolist() == expected
    with pytest.raises(DataError, match="7839 bytes is not made of lines of 1568 bytes"):
        amat.read_amat(text[:-1])
    with pytest.raises(DataError, match="something else than the digits 0 and 1"):
        amat.read_amat(text[:-2] + b"2\n")


def test_upright_against_one_image_at_a_time() -> None:
    """The transposition agrees with a column-major reshape of each image."""
    rows = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    expected = np.stack([row.reshape((2, 3), order="F").ravel() for row in rows])
    assert np.array_equal(upright(rows, 2, 3), expected)


def test_omniglot_is_split_and_oriented_as_published() -> None:
    """Against the lines of the published code, yburda/iwae, on the same arrays."""
    rng = np.random.default_rng(0)
    data, testdata = rng.random((784, 25)), rng.random((784, 7))
    loaded = omniglot.parse(
        small(omniglot.INFO, (20, 5, 7)), mat_bytes(data=data, testdata=testdata, targetchar=np.ones((1, 25)))
    )
    rows = data.T.astype("float32").reshape((-1, 28, 28)).reshape((-1, 784), order="F")
    rows = rows[np.random.RandomState(seed=123).permutation(25)]
    assert np.array_equal(loaded.train, rows[:20])
    test_rows = torch.from_numpy(upright(testdata.T, 28, 28))
    redrawn = base.assemble(loaded.info, torch.from_numpy(rows[:20]), torch.from_numpy(rows[20:]), test_rows)
    assert torch.equal(loaded.valid, redrawn.valid) and torch.equal(loaded.test, redrawn.test)
    assert not torch.equal(loaded.valid[:5], loaded.test[:5])


def test_static_omniglot_is_drawn_and_split_as_published() -> None:
    """Against the lines of the published code, duvenaud/relax, on the same arrays."""
    rng = np.random.default_rng(0)
    data, testdata = rng.random((784, 25)), rng.random((784, 7))
    file = mat_bytes(data=data, testdata=testdata)
    loaded = omniglot.parse_static(small(omniglot.STATIC, (20, 5, 7)), file)
    rows, test = (
        part.T.astype("float32").reshape((-1, 28, 28)).reshape((-1, 784), order="F") for part in (data, testdata)
    )
    np.random.seed(5)
    rows = (np.random.rand(*rows.shape) < rows).astype(float)
    test = (np.random.rand(*test.shape) < test).astype(float)
    rows = rows[np.random.RandomState(seed=123).permutation(25)]
    for part, expected in zip(loaded[1:4], (rows[:20], rows[20:], test), strict=True):
        assert np.array_equal(part, expected)


def test_unshuffled_omniglot_sets_the_last_rows_of_the_file_aside() -> None:
    """Its train rows are all intensities, as those of the shuffled one."""
    data, testdata = np.random.default_rng(0).random((2, 784, 25))
    info = small(omniglot.UNSHUFFLED, (20, 5, 25))
    loaded = omniglot.parse_unshuffled(info, mat_bytes(data=data, testdata=testdata))
    rows, test = (torch.from_numpy(upright(part.T, 28, 28)) for part in (data, testdata))
    expected = base.assemble(info, rows[:20], rows[20:], test)
    assert all(torch.equal(part, other) for part, other in zip(loaded[1:4], expected[1:4], strict=True))


def test_caltech_is_inverted_turned_and_split_by_five() -> None:
    """Against one image at a time."""
    ground = np.random.default_rng(0).integers(0, 2, (10, 784)).astype(np.uint8)
    loaded = caltech.parse(small(caltech.INFO, (6, 2, 2)), mat_bytes(X=ground, Y=np.arange(10)))
    silhouettes = 1 - np.stack([row.reshape(28, 28).T.ravel() for row in ground])
    assert np.array_equal(loaded.train, silhouettes[[0, 1, 2, 5, 6, 7]])
    assert np.array_equal(loaded.valid, silhouettes[[3, 8]])
    assert np.array_equal(loaded.test, silhouettes[[4, 9]])


def test_matlab_file_without_the_array_is_refused() -> None:
    """The error names the array."""
    with pytest.raises(DataError, match="holds no array called testdata"):
        read_matlab(mat_bytes(data=np.ones(3)), "data", "testdata")


def test_a_part_of_another_size_is_refused() -> None:
    """The error names the part and both shapes."""
    with pytest.raises(DataError, match=r"valid rows have shape \(3, 64\), expected \(2, 64\)"):
        base.assemble(small(digits.INFO, (1, 2, 3), (8, 8)), torch.ones(1, 64), torch.ones(3, 64), torch.ones(3, 64))


def test_evaluation_rows_are_drawn_once_validation_first_and_training_rows_stay() -> None:
    """From one generator of seed 20221001, as docs/data.md says: 1 where the uniform number is below the intensity."""
    rng = torch.Generator().manual_seed(0)
    train, valid, test = (torch.rand(count, 6, generator=rng) for count in (3, 4, 2))
    info = small(idx.MNIST, (3, 4, 2), (2, 3))
    data = base.assemble(info, train, valid, test)
    generator = torch.Generator().manual_seed(20221001)
    assert torch.equal(data.train, train)
    assert torch.equal(data.valid, (torch.rand(4, 6, generator=generator) < valid).float())
    assert torch.equal(data.test, (torch.rand(2, 6, generator=generator) < test).float())
    assert (data.name, data.dynamic, data.info) == ("mnist-dynamic", True, info)
    static = base.assemble(dataclasses.replace(info, dynamic=False), train, valid, test)
    assert static[1:5] == (train, valid, test, False)


def drawn(valid: float) -> Dataset:
    """Rows of constant intensity: 0 to train, `valid` to validate, 0.5 to test."""
    info = small(idx.MNIST, (1, 500, 500))
    return base.assemble(info, torch.zeros(1, 784), torch.full((500, 784), valid), torch.full((500, 784), 0.5))


def test_drawing_follows_the_intensity() -> None:
    """Within five standard errors; 0 and 1 are certain."""
    rows = 500 * 784
    assert abs(drawn(0.25).valid.mean() - 0.25) < 5 * (0.25 * 0.75 / rows) ** 0.5
    assert drawn(0.0).valid.sum() == 0 and drawn(1.0).valid.sum() == rows


def test_drawing_depends_on_no_global_state_and_changes_none() -> None:
    """Neither the global generator nor the default dtype matters."""
    expected, state = drawn(0.25), torch.get_rng_state()
    try:
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(7)
        before = torch.get_rng_state()
        again = drawn(0.25)
        assert torch.equal(torch.get_rng_state(), before)
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_rng_state(state)
    assert torch.equal(expected.test, again.test) and again.test.dtype == torch.float32


# The catalogue


def test_the_catalogue_is_complete_and_in_order() -> None:
    """The order is that of listings; an entry can be written as JSON."""
    assert list(INFOS) == [
        "digits",
        "digits-grey",
        "mnist-static",
        "mnist-dynamic",
        "mnist-threshold",
        "mnist-grey",
        "fashion-dynamic",
        "omniglot",
        "omniglot-unshuffled",
        "omniglot-static",
        "caltech-silhouettes",
        "breast-cancer",
        "breast-cancer-whole",
    ]
    assert datasets.available() == datasets.available()
    assert json.loads(json.dumps([dataclasses.asdict(info) for info in INFOS.values()]))


LAROCHELLE = "www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/binarized_mnist_"
SYLVESTER = "raw.githubusercontent.com/riannevdberg/sylvester-flows/32dde9b7d696fee94f946a338182e542779eecfe/"
STATIC = {
    f"binarized_mnist/binarized_mnist_{part}.amat": (
        f"sha256:{checksum}",
        [
            f"https://{LAROCHELLE}{part}.amat",
            f"https://{SYLVESTER}data/MNIST_static/binarized_mnist_{part}.amat",
            f"http://{LAROCHELLE}{part}.amat",
        ],
    )
    for part, checksum in (
        ("train", "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
        ("valid", "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
        ("test", "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"),
    )
}
MNIST = {
    f"mnist/{name}-images-idx3-ubyte.gz": (
        f"sha256:{checksum}",
        [
            f"https://storage.googleapis.com/cvdf-datasets/mnist/{name}-images-idx3-ubyte.gz",
            f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}-images-idx3-ubyte.gz",
        ],
    )
    for name, checksum in (
        ("train", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("t10k", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    )
}
FASHION = {
    f"fashion_mnist/{name}-images-idx3-ubyte.gz": (
        f"sha256:{checksum}",
        [
            f"https://storage.googleapis.com/tensorflow/tf-keras-datasets/{name}-images-idx3-ubyte.gz",
            f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{name}-images-idx3-ubyte.gz",
        ],
    )
    for name, checksum in (
        ("train", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        ("t10k", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
    )
}
COMMIT = "78a6075484bd7dd6f47a4bb9880d2295bc7a5220"
OMNIGLOT = {
    "omniglot/chardata.mat": (
        "git-blob:016a3536ffe5e1d38e42563a18d7a78bfaf643ec",
        [
            f"https://github.com/yburda/iwae/raw/{COMMIT}/datasets/OMNIGLOT/chardata.mat",
            f"https://raw.githubusercontent.com/yburda/iwae/{COMMIT}/datasets/OMNIGLOT/chardata.mat",
        ],
    )
}
CALTECH = {
    "caltech101_silhouettes/caltech101_silhouettes_28.mat": (
        "sha256:862d0a4b828256d54ad5de7c5066c18c72f355cac5b7cde4c1c3be7c000d180b",
        ["https://people.cs.umass.edu/~marlin/data/caltech101_silhouettes_28.mat"],
    )
}
CANCER = {"breast-cancer.csv": ("sha256:feb0adc252908ad0b2c7286e5f9b4cc84fd5d8b50a807f8ade1b1edc5f27a355", [])}
DIGITS = {"digits.csv": ("sha256:7a6c50de32a86fd68a6daefeb36cb989fe7d2a1030b86bf5a2accefe077c50f0", [])}


@pytest.mark.parametrize(
    ("name", "rows", "dynamic", "parse", "files"),
    [
        ("digits", (1285, 256, 256), False, digits.parse, DIGITS),
        ("digits-grey", (1285, 256, 256), False, digits.parse_grey, DIGITS),
        ("mnist-static", (50000, 10000, 10000), False, amat.parse, STATIC),
        ("mnist-dynamic", (50000, 10000, 10000), True, idx.parse_intensities, MNIST),
        ("mnist-threshold", (50000, 10000, 10000), False, idx.parse_threshold, MNIST),
        ("mnist-grey", (60000, 0, 10000), False, idx.parse_intensities, MNIST),
        ("fashion-dynamic", (50000, 10000, 10000), True, idx.parse_intensities, FASHION),
        ("omniglot", (23000, 1345, 8070), True, omniglot.parse, OMNIGLOT),
        ("omniglot-unshuffled", (23000, 1345, 8070), True, omniglot.parse_unshuffled, OMNIGLOT),
        ("omniglot-static", (23000, 1345, 8070), False, omniglot.parse_static, OMNIGLOT),
        ("caltech-silhouettes", (5203, 1734, 1734), False, caltech.parse, CALTECH),
        ("breast-cancer", (407, 81, 81), False, breast_cancer.parse, CANCER),
        ("breast-cancer-whole", (569, 0, 569), False, breast_cancer.parse_whole, CANCER),
    ],
)
def test_a_benchmark_is_its_files_its_split_and_the_way_to_bits(
    name: str, rows: tuple[int, int, int], dynamic: bool, parse: object, files: dict[str, tuple[str, list[str]]]
) -> None:
    """A changed line here is another benchmark, whose numbers are not those published before."""
    info = INFOS[name]
    shapes = {"digits.csv": (8, 8), "breast-cancer.csv": (1, 31)}
    assert (info.rows, info.dynamic, info.shape) == (rows, dynamic, shapes.get(info.files[0].path, (28, 28)))
    assert info.images == (files is not CANCER)
    assert info.grey == name.endswith("-grey")
    assert {file.path: (file.checksum, [*file.mirrors]) for file in info.files} == files
    assert [file.path for file in info.files] == [*files]
    assert all(file.embedded == (files is DIGITS or files is CANCER) for file in info.files)
    assert datasets._SOURCES[name].parse is parse


def test_a_data_set_is_remembered_by_its_name_and_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def load(name: str) -> object:
        asked.append((name, os.environ.get("GRADEST_DATA")))
        return asked[-1]

    monkeypatch.setattr(datasets, "load", load)
    datasets._remembered.cache_clear()
    try:
        for name, folder in (("a", "one"), ("b", "one"), ("b", "two"), ("b", None), ("a", None)):
            monkeypatch.setenv("GRADEST_DATA", folder) if folder else monkeypatch.delenv("GRADEST_DATA", raising=False)
            assert datasets.load_once(name) is datasets.load_once(name) == (name, folder)
        assert len(asked) == 5
    finally:
        datasets._remembered.cache_clear()


@pytest.mark.parametrize("info", INFOS.values(), ids=INFOS)
def test_every_entry_says_what_it_is(info: DatasetInfo) -> None:
    """Texts are single lines, checksums well formed, and https mirrors come first."""
    for line in (info.summary, info.licence, info.citation):
        assert line and "\n" not in line
    assert info.pixels == info.shape[0] * info.shape[1]
    train, valid, test = info.rows
    assert min(train, test) > 0 <= valid and info.files
    for file in info.files:
        assert re.fullmatch(r"sha256:[0-9a-f]{64}|git-blob:[0-9a-f]{40}", file.checksum)
        assert file.embedded != bool(file.mirrors)
        secure = [mirror.startswith("https://") for mirror in file.mirrors]
        assert secure == sorted(secure, reverse=True) and secure[:1] == [True][: len(secure)]


def test_summaries_tell_the_benchmarks_apart() -> None:
    """No two have the same line."""
    assert len({info.summary for info in INFOS.values()}) == len(INFOS)
