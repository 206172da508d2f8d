"""Data sets: what they hold, and what happens when their files are missing, corrupt or elsewhere."""

import dataclasses
import functools
import gzip
import http.server
import io
import json
import logging
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import datasets
from bench.datasets import (
    DataError,
    DataFile,
    Dataset,
    DatasetInfo,
    amat,
    base,
    caltech,
    digits,
    files,
    idx,
    omniglot,
)
from bench.datasets.matlab import read_matlab, upright
from bench.datasets.verify import checksum

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
        bool(missing) or (not folder and name != "digits"),
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
    """Every part is what `DatasetInfo` says, and only dynamic training rows hold intensities."""
    data = load(name)
    assert (data.name, data.dynamic, data.info) == (name, INFOS[name].dynamic, INFOS[name])
    for part, count in zip((data.train, data.valid, data.test), data.info.rows, strict=True):
        assert part.shape == (count, data.info.pixels)
        assert (part.dtype, part.device.type) == (torch.float32, "cpu")
        assert part.amin() == 0 and part.amax() == 1
    for part in (data.valid, data.test) if data.dynamic else (data.train, data.valid, data.test):
        assert ((part == 0) | (part == 1)).all()
    if data.dynamic:
        assert len(np.unique(data.train[:100].numpy())) > 100


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
    """A gzipped idx file of uint8 images [N, height, width]."""
    return gzip.compress(struct.pack(">4I", 0x803, *images.shape) + images.tobytes())


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
        idx.read_idx(gzip.compress(content))


def test_amat_against_a_slow_reading() -> None:
    """The strided reading agrees with splitting each line; a cut text is refused."""
    bits = np.random.default_rng(0).integers(0, 2, (5, 784))
    text = "".join(" ".join(map(str, row)) + "\n" for row in bits).encode()
    expected = [[int(bit) for bit in line.split()] for line in text.decode().splitlines()]
    assert amat.read_amat(text).tolist() == expected
    with pytest.raises(DataError, match="7839 bytes is not made of lines of 1568 bytes"):
        amat.read_amat(text[:-1])


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


# Where the files come from

CONTENT = b"0 1 1 0\n" * 1000
WRONG = b"<html>moved</html>"


class Place:
    """A user's folder, a cache and a server on this machine, all empty at first."""

    def __init__(self, folder: Path) -> None:
        """Keeps the folders under `folder`; the server answers 404 to what is not in `served`."""
        self.own, self.cache = folder / "own", folder / "cache"
        self.own.mkdir()
        self.served: dict[str, bytes] = {}
        self.missing_bytes = 0
        self.requests: list[str] = []
        place = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                place.requests.append(self.path)
                content = place.served.get(self.path)
                if content is None:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(content) + place.missing_bytes))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            self.dead = f"http://127.0.0.1:{unused.getsockname()[1]}"

    def file(self, *mirrors: str, path: str = "family/rows.amat", content: bytes = CONTENT) -> DataFile:
        """A data file with these mirrors; without any, one that refuses connections."""
        return DataFile(path, checksum(content, "sha256"), mirrors or (f"{self.dead}/rows.amat",))

    def put(self, folder: Path, name: str, content: bytes) -> Path:
        """Writes a file into one of the folders."""
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def cached(self) -> list[str]:
        """Every file in the cache."""
        return sorted(path.relative_to(self.cache).as_posix() for path in self.cache.rglob("*") if path.is_file())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """`$GRADEST_DATA`, the cache and the mirrors, in a temporary folder."""
    pytest.importorskip("pooch", reason="downloads data")
    place = Place(tmp_path)
    monkeypatch.setenv("GRADEST_DATA", str(place.own))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(files, "cache_folder", lambda: place.cache)
    yield place
    place.server.shutdown()
    place.server.server_close()


def failure(call: Callable[[], object]) -> str:
    """The message of the DataError that `call` must raise, which must be one line."""
    with pytest.raises(DataError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_own_folder_comes_first(place: Place) -> None:
    """`$GRADEST_DATA` wins over the cache and the network."""
    place.put(place.own, "family/rows.amat", CONTENT)
    place.put(place.cache, "family/rows.amat", WRONG)
    assert files.fetch(place.file(f"{place.url}/rows.amat")) == CONTENT
    assert place.requests == []


@pytest.mark.parametrize("folder", ["own", "cache"])
def test_a_compressed_copy_is_as_good(place: Place, folder: str) -> None:
    """The checksum is that of the official text, whatever holds it."""
    place.put(getattr(place, folder), "family/rows.amat.gz", gzip.compress(CONTENT, 1))
    assert files.fetch(place.file()) == CONTENT


def test_a_file_that_is_officially_compressed_is_verified_as_it_lies(place: Place) -> None:
    """The same content compressed anew is another file."""
    official = gzip.compress(CONTENT)
    file = place.file(path="family/rows.gz", content=official)
    path = place.put(place.own, file.path, official)
    assert files.fetch(file) == official
    path.write_bytes(gzip.compress(CONTENT, 1))
    assert "is corrupt" in failure(lambda: files.fetch(file))


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("rows.amat", WRONG, checksum(WRONG, "sha256")),
        ("rows.amat", CONTENT[:-1], checksum(CONTENT[:-1], "sha256")),
        ("rows.amat", b"", checksum(b"", "sha256")),
        ("rows.amat.gz", gzip.compress(CONTENT)[:-20], "a broken gzip stream"),
        ("rows.amat.gz", WRONG, "a broken gzip stream"),
        ("rows.amat.gz", gzip.compress(CONTENT)[:20] + b"\xff" * 20, "a broken gzip stream"),
    ],
    ids=["wrong", "truncated", "empty", "truncated-gz", "not-gz", "damaged-gz"],
)
def test_a_corrupt_file_of_the_user_is_reported_and_kept(place: Place, name: str, content: bytes, found: str) -> None:
    """Nothing else is tried: the user meant this file."""
    path = place.put(place.own, f"family/{name}", content)
    place.put(place.cache, "family/rows.amat", CONTENT)
    file = place.file(f"{place.url}/rows.amat")
    message = failure(lambda: files.fetch(file))
    assert message == (
        f"{path} is corrupt (expected {file.checksum}, found {found}); "
        f"replace it with the file at {place.url}/rows.amat"
    )
    assert path.read_bytes() == content and place.requests == []


def test_a_folder_in_the_place_of_a_file_is_reported(place: Place) -> None:
    """An error of the file system becomes one clear line."""
    (place.own / "family/rows.amat").mkdir(parents=True)
    assert "family/rows.amat cannot be read (Is a directory)" in failure(lambda: files.fetch(place.file()))


def test_the_cache_is_used_without_a_connection(place: Place) -> None:
    """No mirror is asked for what is at hand."""
    place.put(place.cache, "family/rows.amat", CONTENT)
    assert files.fetch(place.file(f"{place.url}/rows.amat")) == CONTENT
    assert place.requests == []


def test_the_second_mirror_serves_when_the_first_is_dead(
    place: Place, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It does so in silence, and once."""
    place.served["/rows.amat"] = CONTENT
    file = place.file(f"{place.dead}/rows.amat", f"{place.url}/rows.amat")
    level = logging.getLogger("pooch").level
    assert files.fetch(file) == CONTENT
    assert files.fetch(file) == CONTENT
    assert place.requests == ["/rows.amat"]  # the second time it comes from the cache
    assert place.cached() == ["family/rows.amat"]
    assert capfd.readouterr() == ("", "") and not [r for r in caplog.records if r.name == "pooch"]
    assert logging.getLogger("pooch").level == level


def test_a_mirror_that_serves_something_else_is_passed_over(place: Place) -> None:
    """As when a host answers with a page of its own."""
    place.served |= {"/a": WRONG, "/b": CONTENT}
    assert files.fetch(place.file(f"{place.url}/a", f"{place.url}/b")) == CONTENT
    assert place.cached() == ["family/rows.amat"]


def test_wrong_bytes_are_an_error_and_leave_nothing(place: Place) -> None:
    """The line says where it looked, what it tried, why each failed and what to do."""
    place.served["/a"] = WRONG
    file = place.file(f"{place.url}/a", f"{place.url}/b", f"{place.dead}/c")
    assert failure(lambda: files.fetch(file)) == (
        "cannot find family/rows.amat; "
        f"looked in $GRADEST_DATA ({place.own}) and in the cache ({place.cache}); "
        f"tried {place.url}/a (wrong checksum), {place.url}/b (HTTP 404), {place.dead}/c (connection error); "
        f"download {place.url}/a by hand and put it at {place.own}/family/rows.amat"
    )
    assert list(place.cache.iterdir()) == []


def test_a_transfer_cut_short_leaves_nothing(place: Place) -> None:
    """A partial file is never taken for the whole."""
    place.served["/a"], place.missing_bytes = CONTENT, 100
    assert re.search(r"/a \((wrong checksum|.* error)\)", failure(lambda: files.fetch(place.file(f"{place.url}/a"))))
    assert list(place.cache.iterdir()) == []


def test_a_corrupt_cached_file_is_fetched_afresh(place: Place) -> None:
    """The cache heals itself."""
    place.put(place.cache, "family/rows.amat.gz", gzip.compress(CONTENT)[:-20])
    place.served["/rows.amat"] = CONTENT
    assert files.fetch(place.file(f"{place.url}/rows.amat")) == CONTENT
    assert place.cached() == ["family/rows.amat"]


def test_what_cannot_be_deleted_from_the_cache_is_named(place: Place) -> None:
    """As a folder under the name of the file."""
    path = place.cache / "family/rows.amat"
    path.mkdir(parents=True)
    message = failure(lambda: files.fetch(place.file(f"{place.url}/rows.amat")))
    assert message.startswith(f"{path} cannot be read (Is a directory), and cannot be deleted (")
    assert message.endswith("); delete it by hand") and place.requests == []


def test_a_corrupt_cached_file_that_cannot_be_replaced_is_named_and_gone(place: Place) -> None:
    """The line tells both faults."""
    path = place.put(place.cache, "family/rows.amat", WRONG)
    file = place.file()
    assert failure(lambda: files.fetch(file)).startswith(
        f"the cached {path} is corrupt (expected {file.checksum}, found {checksum(WRONG, 'sha256')}) "
        "and was discarded; cannot find family/rows.amat; "
    )
    assert place.cached() == []


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_folder_of_the_user_the_advice_names_the_cache(
    place: Place, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    """An empty variable is an unset one."""
    if value is None:
        monkeypatch.delenv("GRADEST_DATA")
    else:
        monkeypatch.setenv("GRADEST_DATA", value)
    message = failure(lambda: files.fetch(place.file()))
    assert "looked in $GRADEST_DATA (not set) and in the cache" in message
    assert message.endswith(f"put it at {place.cache}/family/rows.amat")


def test_a_folder_of_the_user_that_does_not_exist_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A typo in the variable is visible."""
    monkeypatch.setenv("GRADEST_DATA", str(place.own / "typo"))
    assert f"$GRADEST_DATA ({place.own}/typo: no such folder)" in failure(lambda: files.fetch(place.file()))


def test_a_cache_that_cannot_be_written_is_named(place: Place) -> None:
    """An unwritable cache is not blamed on the mirrors."""
    place.cache.write_bytes(b"a file where the folder should be")
    place.served["/rows.amat"] = CONTENT
    message = failure(lambda: files.fetch(place.file(f"{place.url}/rows.amat")))
    assert f"family/rows.amat cannot be written to the cache {place.cache} (File exists)" in message


def test_the_cache_is_the_one_pooch_gives_gradest() -> None:
    """The folder depends on the system, as pooch has it."""
    pooch = pytest.importorskip("pooch", reason="owns the cache folder")
    assert files.cache_folder() == Path(pooch.os_cache("gradest"))


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading and downloading need packages that the core does not."""
    monkeypatch.delenv("GRADEST_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    assert failure(lambda: datasets.load("mnist-static")) == (
        "data set 'mnist-static': the package 'pooch' is needed to find or download data that is not in "
        "$GRADEST_DATA; install it (pip install pooch)"
    )
    assert "the package 'scipy' is needed to read MATLAB files" in failure(lambda: read_matlab(b"", "X"))


def test_git_blob_checksum_is_the_one_git_computes() -> None:
    """A known id."""
    assert checksum(b"hello\n", "git-blob") == "git-blob:ce013625030ba8dba906f756967f9e9ca394464a"


# The catalogue


def test_unknown_name_answers_with_the_nearest() -> None:
    """Or, where none is near, with all of them."""
    assert failure(lambda: datasets.load("mnist-statik")) == (
        "unknown data set 'mnist-statik'; did you mean 'mnist-static'? "
        f"Known: {', '.join(INFOS)} (gradest list datasets)"
    )
    assert failure(lambda: datasets.load("imagenet")).startswith("unknown data set 'imagenet'. Known: digits, ")


def test_errors_name_the_data_set(place: Place) -> None:
    """The files of several data sets are shared, so the path alone does not tell."""
    place.put(place.own, "mnist/train-images-idx3-ubyte.gz", WRONG)
    message = failure(lambda: datasets.load("mnist-threshold"))
    assert message.startswith(f"data set 'mnist-threshold': {place.own}/mnist/train-images-idx3-ubyte.gz is corrupt ")


def test_a_damaged_installation_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded file is verified as well."""
    (tmp_path / "digits.csv.gz").write_bytes(gzip.compress(b"0,1\n"))
    monkeypatch.setattr(files, "__file__", str(tmp_path / "files.py"))
    assert failure(lambda: datasets.load("digits")).endswith("; reinstall gradest")


def test_load_downloads_verifies_and_parses(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way, for a small file in the form of Omniglot's, under a git blob id."""
    rng = np.random.default_rng(0)
    content = mat_bytes(data=rng.random((784, 25)), testdata=rng.random((784, 7)))
    place.served["/chardata.mat"] = content
    (file,) = omniglot.INFO.files
    file = dataclasses.replace(
        file, checksum=checksum(content, "git-blob"), mirrors=(f"{place.dead}/x", f"{place.url}/chardata.mat")
    )
    info = dataclasses.replace(omniglot.INFO, rows=(20, 5, 7), files=(file,))
    monkeypatch.setitem(datasets._SOURCES, "omniglot", base.Source(info, omniglot.parse))
    data = datasets.load("omniglot")
    assert [len(part) for part in (data.train, data.valid, data.test)] == [20, 5, 7]
    assert place.cached() == ["omniglot/chardata.mat"]


def test_the_catalogue_is_complete_and_in_order() -> None:
    """The order is that of listings; an entry can be written as JSON."""
    assert list(INFOS) == [
        "digits",
        "mnist-static",
        "mnist-dynamic",
        "mnist-threshold",
        "fashion-dynamic",
        "omniglot",
        "caltech-silhouettes",
    ]
    assert datasets.available() == datasets.available()
    assert json.loads(json.dumps([dataclasses.asdict(info) for info in INFOS.values()]))


@pytest.mark.parametrize("info", INFOS.values(), ids=INFOS)
def test_every_entry_says_what_it_is(info: DatasetInfo) -> None:
    """Texts are single lines, checksums well formed, and https mirrors come first."""
    for line in (info.summary, info.licence, info.citation):
        assert line and "\n" not in line
    assert info.pixels == info.shape[0] * info.shape[1]
    assert min(info.rows) > 0 and info.files
    for file in info.files:
        assert re.fullmatch(r"sha256:[0-9a-f]{64}|git-blob:[0-9a-f]{40}", file.checksum)
        assert file.embedded != bool(file.mirrors)
        secure = [mirror.startswith("https://") for mirror in file.mirrors]
        assert secure == sorted(secure, reverse=True) and secure[:1] == [True][: len(secure)]


def test_summaries_tell_the_benchmarks_apart() -> None:
    """No two have the same line."""
    assert len({info.summary for info in INFOS.values()}) == len(INFOS)


def test_importing_needs_only_numpy_and_torch() -> None:
    """The packages for reading and downloading are imported when used."""
    code = "import sys, bench.datasets; print([m for m in ('pooch', 'requests', 'scipy') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
